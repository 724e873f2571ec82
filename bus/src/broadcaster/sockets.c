// SPDX-License-Identifier: MIT
// The broadcaster's XPUB socket. Its options were chosen by experiment: libzmq's defaults lose
// events.
#include "sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zmq.h>

#include <talus/error.h>

#include "zmq_error.h"

#define HEARTBEAT_MS         500
#define HEARTBEAT_TIMEOUT_MS 1500
#define RECONNECT_MAX_MS     5000
#define INBOUND_MAX          8192 // bytes: subscriptions and the handshake are far smaller
#define ENDPOINT_CAPACITY    1024 // bytes of a resolved endpoint
#define LEAST_LINGER_MS      100  // closing with none can abort the process (libzmq 4.3.4)

static int safe_linger(int linger_ms)
{
    return linger_ms > LEAST_LINGER_MS ? linger_ms : LEAST_LINGER_MS;
}

void talus__xpub_close(void *socket, int linger_ms)
{
    const int linger = safe_linger(linger_ms);

    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_close(socket);
}

void *talus__xpub_open(void *context, int send_high_water_mark, int linger_ms)
{
    const int64_t inbound_max = INBOUND_MAX;
    const struct {
        int option;
        int value;
    } options[] = {
        {ZMQ_XPUB_VERBOSE, 1}, // each subscription is answered, not only a topic's first
        {ZMQ_RCVHWM, 0},       // else subscriptions are lost
        {ZMQ_SNDHWM, send_high_water_mark},
        // From the start, as the pipe of a subscriber that dies lingers by what holds then: with
        // the default, for ever, what was unsent stays and the context never ends.
        {ZMQ_LINGER, safe_linger(linger_ms)},
        {ZMQ_IMMEDIATE, 1}, // nothing is kept for a subscriber that is gone
        {ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS},
        {ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS},
        {ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS},
    };
    void *socket = zmq_socket(context, ZMQ_XPUB);
    if (!socket)
        return NULL;
    int failed = zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &inbound_max, sizeof inbound_max);
    for (size_t i = 0; !failed && i < sizeof options / sizeof options[0]; i++) {
        failed =
            zmq_setsockopt(socket, options[i].option, &options[i].value, sizeof options[i].value);
    }
    if (failed) {
        int saved = errno;
        talus__xpub_close(socket, 0);
        errno = saved;
        return NULL;
    }
    return socket;
}

// Binds and gives the endpoint that libzmq made of it.
static int bind_socket(void *socket, const char *endpoint, char **resolved)
{
    const int is_ipv6 = strchr(endpoint, '[') != NULL;
    char text[ENDPOINT_CAPACITY];
    size_t size = sizeof text;

    if (zmq_setsockopt(socket, ZMQ_IPV6, &is_ipv6, sizeof is_ipv6) != 0 ||
        zmq_bind(socket, endpoint) != 0 ||
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, text, &size) != 0)
        return talus__zmq_error();
    *resolved = strdup(text);
    return *resolved ? 0 : TALUS_ENOMEM;
}

static int attach_connected(struct talus__attachment *attachment, void *socket,
                            const char *endpoint)
{
    const int is_ipv6 = strchr(endpoint, '[') != NULL;

    if (zmq_setsockopt(socket, ZMQ_IPV6, &is_ipv6, sizeof is_ipv6) != 0 ||
        zmq_connect(socket, endpoint) != 0)
        return talus__zmq_error();
    attachment->endpoint = strdup(endpoint);
    return attachment->endpoint ? 0 : TALUS_ENOMEM;
}

static int attach_bound(struct talus__attachment *attachment, void *socket, const char *endpoint)
{
    int error = talus__ipc_lock_take(&attachment->lock, endpoint);
    if (error)
        return error;
    return bind_socket(socket, endpoint, &attachment->endpoint);
}

static int attach_directory(struct talus__attachment *attachment, void *socket, const char *path,
                            const char *origin, unsigned mode)
{
    char endpoint[ENDPOINT_CAPACITY];

    attachment->directory = strdup(path);
    if (!attachment->directory)
        return TALUS_ENOMEM;
    int error = talus__directory_open(path, mode);
    if (!error)
        error = talus__directory_endpoint(path, origin, "pub", endpoint, sizeof endpoint);
    if (!error)
        error = talus__directory_claim(path, TALUS__ROLE_PUBLISHER, origin, &attachment->claim);
    if (!error)
        error = bind_socket(socket, endpoint, &attachment->endpoint);
    if (error)
        return error;
    // The socket's own mode comes from the umask. Until it is set, the directory's mode guards it.
    return chmod(endpoint + strlen("ipc://"), mode & 0666) == 0 ? 0 : TALUS_ESYSTEM;
}

static int attach_one(struct talus__attachment *attachment, void *socket,
                      const struct talus__endpoint *endpoint, const char *origin, unsigned mode)
{
    switch (endpoint->kind) {
    case TALUS__ENDPOINT_DIRECTORY:
        return attach_directory(attachment, socket, endpoint->text, origin, mode);
    case TALUS__ENDPOINT_BIND:
        return attach_bound(attachment, socket, endpoint->text);
    case TALUS__ENDPOINT_CONNECT:
        return attach_connected(attachment, socket, endpoint->text);
    }
    return TALUS_EENDPOINT;
}

int talus__attach(struct talus__attachments *attachments, void *socket,
                  const struct talus__endpoints *endpoints, const char *origin,
                  unsigned directory_mode)
{
    attachments->count = 0;
    attachments->items = calloc(endpoints->count, sizeof *attachments->items);
    if (!attachments->items)
        return TALUS_ENOMEM;
    for (size_t i = 0; i < endpoints->count; i++) {
        struct talus__attachment *attachment = &attachments->items[i];
        attachment->claim.fd = -1;
        attachment->lock.fd = -1;
        attachments->count++;
        int error = attach_one(attachment, socket, &endpoints->items[i], origin, directory_mode);
        if (error) {
            int saved = errno;
            talus__detach(attachments, false);
            errno = saved;
            return error;
        }
    }
    return 0;
}

char *talus__attachments_text(const struct talus__attachments *attachments)
{
    size_t size = 1;

    for (size_t i = 0; i < attachments->count; i++)
        size += strlen(attachments->items[i].endpoint) + 1;
    char *text = malloc(size);
    if (!text)
        return NULL;
    char *at = text;
    for (size_t i = 0; i < attachments->count; i++)
        at += sprintf(at, "%s%s", i > 0 ? "," : "", attachments->items[i].endpoint);
    *at = '\0';
    return text;
}

void talus__detach(struct talus__attachments *attachments, bool is_forked)
{
    for (size_t i = 0; i < attachments->count; i++) {
        struct talus__attachment *attachment = &attachments->items[i];
        if (attachment->claim.lock_path)
            talus__directory_release(&attachment->claim, is_forked);
        talus__ipc_lock_release(&attachment->lock, is_forked);
        free(attachment->directory);
        free(attachment->endpoint);
    }
    free(attachments->items);
    attachments->items = NULL;
    attachments->count = 0;
}
