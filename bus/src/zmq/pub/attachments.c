// SPDX-License-Identifier: MIT
// Where the broadcaster's sockets are bound and connected, with the files that this takes.
#include "bus/src/zmq/pub/attachments.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include <talus/error.h>

#include "bus/src/base/log.h"
#include "bus/src/codec/body.h"
#include "bus/src/zmq/zmq_error.h"

#define ENDPOINT_CAPACITY 1024 // bytes of a resolved endpoint
#define PORT_MOST         65535
#define REPLAY_SUFFIX     ".replay"

// ---- Binding and connecting

static int set_ipv6(void *socket, const char *endpoint)
{
    const int is_ipv6 = strchr(endpoint, '[') != NULL;

    return zmq_setsockopt(socket, ZMQ_IPV6, &is_ipv6, sizeof is_ipv6);
}

// Binds and gives the endpoint that libzmq made of it.
static int bind_socket(void *socket, const char *endpoint, char **resolved)
{
    char text[ENDPOINT_CAPACITY];
    size_t size = sizeof text;

    if (set_ipv6(socket, endpoint) != 0 || zmq_bind(socket, endpoint) != 0 ||
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, text, &size) != 0)
        return talus__zmq_error();
    *resolved = strdup(text);
    return *resolved ? 0 : TALUS_ENOMEM;
}

// The socket's own mode comes from the umask. Until it is set, the directory's mode guards it.
static int share_socket(const char *directory, const char *endpoint, unsigned mode)
{
    return talus__directory_share_socket(directory, endpoint + strlen("ipc://"), mode);
}

// ---- The replay socket

// Adds an endpoint to those that heads name. One too many is left out: it is bound all the same.
static int add_replay(struct talus__attachments *attachments, const char *endpoint)
{
    // Whoever asks knows better where this host is.
    const char *port = strncmp(endpoint, "tcp://0.0.0.0:", 14) == 0 ? endpoint + 14
                       : strncmp(endpoint, "tcp://[::]:", 11) == 0  ? endpoint + 11
                                                                    : NULL;
    char text[ENDPOINT_CAPACITY + TALUS__REPLAY_MAX];
    const char *before = attachments->replay;
    int size = snprintf(text, sizeof text, "%s%s%s%s", before, *before ? "," : "",
                        port ? "tcp://*:" : "", port ? port : endpoint);

    if (size < 0 || size > TALUS__REPLAY_MAX) {
        talus__log(TALUS_LOG_WARNING, "replay endpoint %s is left out of heads: too long",
                   endpoint);
        return 0;
    }
    char *replay = strdup(text);
    if (!replay)
        return TALUS_ENOMEM;
    free(attachments->replay);
    attachments->replay = replay;
    return 0;
}

static int bind_replay(struct talus__attachments *attachments, void *router, const char *endpoint)
{
    char *resolved = NULL;

    int error = bind_socket(router, endpoint, &resolved);
    if (!error && resolved)
        error = add_replay(attachments, resolved);
    free(resolved);
    return error;
}

// On the next port or, if that is taken or there is none, on any.
static int bind_replay_tcp(struct talus__attachments *attachments, void *router,
                           const char *published)
{
    char endpoint[ENDPOINT_CAPACITY];
    const char *colon = strrchr(published, ':');
    int host_size = (int)(colon - published);
    long port = strtol(colon + 1, NULL, 10) + 1;
    int error = TALUS_EADDRINUSE;

    if (port <= PORT_MOST) {
        snprintf(endpoint, sizeof endpoint, "%.*s:%ld", host_size, published, port);
        error = bind_replay(attachments, router, endpoint);
    }
    if (error != TALUS_EADDRINUSE)
        return error;
    talus__log(TALUS_LOG_INFO, "port %ld is taken: replays are on another one", port);
    snprintf(endpoint, sizeof endpoint, "%.*s:*", host_size, published);
    return bind_replay(attachments, router, endpoint);
}

static int bind_replay_beside(struct talus__attachments *attachments,
                              struct talus__attachment *attachment, void *router)
{
    char endpoint[ENDPOINT_CAPACITY];
    int size = snprintf(endpoint, sizeof endpoint, "%s" REPLAY_SUFFIX, attachment->endpoint);

    if (strncmp(attachment->endpoint, "tcp://", 6) == 0)
        return bind_replay_tcp(attachments, router, attachment->endpoint);
    if (size < 0 || (size_t)size >= sizeof endpoint)
        return TALUS_EPATHTOOLONG;
    int error = talus__ipc_lock_take(&attachment->replay_lock, endpoint);
    return error ? error : bind_replay(attachments, router, endpoint);
}

static int bind_replay_configured(struct talus__attachments *attachments, void *router,
                                  const char *list)
{
    struct talus__endpoints endpoints;

    int error = talus__endpoints_parse(list, true, &endpoints);
    if (error)
        return error;
    attachments->replay_locks = calloc(endpoints.count, sizeof *attachments->replay_locks);
    error = attachments->replay_locks ? 0 : TALUS_ENOMEM;
    for (size_t i = 0; !error && i < endpoints.count; i++) {
        const struct talus__endpoint *endpoint = &endpoints.items[i];
        if (endpoint->kind != TALUS__ENDPOINT_BIND) {
            error = TALUS_EENDPOINT;
            break;
        }
        attachments->replay_locks[i].fd = -1;
        attachments->replay_lock_count++;
        error = talus__ipc_lock_take(&attachments->replay_locks[i], endpoint->text);
        if (!error)
            error = bind_replay(attachments, router, endpoint->text);
    }
    talus__endpoints_fini(&endpoints);
    return error;
}

// ---- The endpoints

static int attach_connected(struct talus__attachment *attachment, void *socket,
                            const char *endpoint)
{
    if (set_ipv6(socket, endpoint) != 0 || zmq_connect(socket, endpoint) != 0)
        return talus__zmq_error();
    attachment->endpoint = strdup(endpoint);
    return attachment->endpoint ? 0 : TALUS_ENOMEM;
}

static int attach_bound(struct talus__attachments *attachments,
                        struct talus__attachment *attachment, const char *endpoint,
                        const struct talus__attach_options *options)
{
    int error = talus__ipc_lock_take(&attachment->lock, endpoint);
    if (!error)
        error = bind_socket(options->socket, endpoint, &attachment->endpoint);
    if (!error && options->router && !options->replay)
        error = bind_replay_beside(attachments, attachment, options->router);
    return error;
}

static void make_ledger(int fd, void *arg)
{
    const struct talus__attach_options *options = *(const struct talus__attach_options **)arg;

    talus__ledger_fini(options->ledger); // of a try before
    talus__ledger_create(options->ledger, fd, options->origin, options->queue_events);
}

// The replay socket comes first, and the XPUB last: whoever sees that finds the other, too.
static int attach_directory(struct talus__attachments *attachments,
                            struct talus__attachment *attachment, const char *path,
                            const struct talus__attach_options *options)
{
    char endpoint[ENDPOINT_CAPACITY], replay[ENDPOINT_CAPACITY];
    unsigned mode = options->directory_mode;

    attachment->directory = strdup(path);
    if (!attachment->directory)
        return TALUS_ENOMEM;
    int error = talus__directory_open(path, mode);
    if (!error)
        error = talus__directory_endpoint(path, options->origin, "pub", endpoint, sizeof endpoint);
    if (!error)
        error = talus__directory_endpoint(path, options->origin, "replay", replay, sizeof replay);
    if (!error)
        error = talus__directory_claim_prepared(path, TALUS__ROLE_PUBLISHER, options->origin,
                                                options->ledger->header ? NULL : make_ledger,
                                                &options, &attachment->claim);
    if (!error && options->router) {
        error = bind_replay(attachments, options->router, replay);
        if (!error)
            error = share_socket(path, replay, mode);
    }
    if (!error)
        error = bind_socket(options->socket, endpoint, &attachment->endpoint);
    return error ? error : share_socket(path, endpoint, mode);
}

static int attach_one(struct talus__attachments *attachments, struct talus__attachment *attachment,
                      const struct talus__endpoint *endpoint,
                      const struct talus__attach_options *options)
{
    switch (endpoint->kind) {
    case TALUS__ENDPOINT_DIRECTORY:
        return attach_directory(attachments, attachment, endpoint->text, options);
    case TALUS__ENDPOINT_BIND:
        return attach_bound(attachments, attachment, endpoint->text, options);
    case TALUS__ENDPOINT_CONNECT:
        return attach_connected(attachment, options->socket, endpoint->text);
    }
    return TALUS_EENDPOINT;
}

static int attach_all(struct talus__attachments *attachments,
                      const struct talus__endpoints *endpoints,
                      const struct talus__attach_options *options)
{
    attachments->items = calloc(endpoints->count, sizeof *attachments->items);
    attachments->replay = strdup("");
    if (!attachments->items || !attachments->replay)
        return TALUS_ENOMEM;
    int error = 0;
    if (options->router && options->replay)
        error = bind_replay_configured(attachments, options->router, options->replay);
    for (size_t i = 0; !error && i < endpoints->count; i++) {
        struct talus__attachment *attachment = &attachments->items[i];
        attachment->claim.fd = -1;
        attachment->claim.bell = -1;
        attachment->lock.fd = -1;
        attachment->replay_lock.fd = -1;
        attachments->count++;
        error = attach_one(attachments, attachment, &endpoints->items[i], options);
    }
    return error;
}

int talus__attach(struct talus__attachments *attachments, const struct talus__endpoints *endpoints,
                  const struct talus__attach_options *options)
{
    *attachments = (struct talus__attachments){.count = 0};
    int error = attach_all(attachments, endpoints, options);
    if (error) {
        int saved = errno;
        talus__detach(attachments, false);
        errno = saved;
    }
    return error;
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

void talus__attachments_abandon(struct talus__attachments *attachments)
{
    for (size_t i = 0; i < attachments->count; i++)
        talus__directory_abandon(&attachments->items[i].claim);
}

void talus__detach(struct talus__attachments *attachments, bool is_forked)
{
    for (size_t i = 0; i < attachments->count; i++) {
        struct talus__attachment *attachment = &attachments->items[i];
        if (attachment->claim.lock_path)
            talus__directory_release(&attachment->claim, is_forked);
        talus__ipc_lock_release(&attachment->replay_lock, is_forked);
        talus__ipc_lock_release(&attachment->lock, is_forked);
        free(attachment->directory);
        free(attachment->endpoint);
    }
    for (size_t i = 0; i < attachments->replay_lock_count; i++)
        talus__ipc_lock_release(&attachments->replay_locks[i], is_forked);
    free(attachments->replay_locks);
    free(attachments->replay);
    free(attachments->items);
    *attachments = (struct talus__attachments){.count = 0};
}
