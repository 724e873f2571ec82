// SPDX-License-Identifier: MIT
// The payload is made once; each event changes its time in place.
#include "clients/cli/bench/sink.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <talus.h>
#include <zmq.h>

#include "clients/cli/bench/packet.h"
#include "clients/cli/clock.h"
#include "clients/cli/report.h"
#include "clients/cli/text.h"
#include "common/event_id.h"
#include "common/random.h"

enum { SEND_TIMEOUT_S = 10, GATHERED_MAX = 64 << 20, TIME_DIGITS = 13, FLUSH_BYTES = 1 << 20 };

static const char json_head[] = "[\"" PACKET_TYPE "\",{\"t\":", json_pad[] = ",\"pad\":\"",
                  json_tail[] = "\"},\"";

struct sink {
    talus_broadcaster_t *broadcaster; // or
    int descriptor;                   // or
    void *context, *publisher;        // of ZeroMQ
    char origin[20];
    uint64_t number;
    text_t gathered; // lines that are not written yet
    char *payload;   // msgpack for a bus, else the JSON array up to the id
    size_t payload_size;
    size_t time_at; // where in it the time stands
};

// {"t": TIME, "pad": "…"}
static bool make_msgpack(sink_t *sink, size_t pad)
{
    static const char head[] = "\x82\xa1t\xcf", key[] = "\xa3pad\xdb";
    char *out = sink->payload = malloc(pad + 32);
    if (!out)
        return false;
    memcpy(out, head, 4);
    sink->time_at = 4;
    memcpy(out + 12, key, 5);
    for (int i = 0; i < 4; i++)
        out[17 + i] = (char)(pad >> (24 - 8 * i));
    memset(out + 21, 'x', pad);
    sink->payload_size = 21 + pad;
    return true;
}

static bool make_json(sink_t *sink, size_t pad)
{
    size_t room = pad + 64;
    char *out = sink->payload = malloc(room);
    if (!out)
        return false;
    sink->time_at = sizeof(json_head) - 1;
    size_t size = (size_t)snprintf(out, room, "%s%0*d%s", json_head, TIME_DIGITS, 0, json_pad);
    memset(out + size, 'x', pad);
    memcpy(out + size + pad, json_tail, sizeof(json_tail) - 1);
    sink->payload_size = size + pad + sizeof(json_tail) - 1;
    return true;
}

static sink_t *new_sink(size_t size, bool (*make)(sink_t *, size_t), int *status)
{
    sink_t *sink = calloc(1, sizeof(*sink));
    assert(size >= PACKET_PAYLOAD_MIN && size <= SINK_PAYLOAD_MAX);
    if (sink) {
        sink->descriptor = -1;
        text_init(&sink->gathered, GATHERED_MAX);
        if (make(sink, size - PACKET_PAYLOAD_MIN))
            return sink;
    }
    report("out of memory");
    *status = EXIT_FAILED;
    sink_close(&sink);
    return NULL;
}

sink_t *sink_open_bus(const char *endpoint, size_t size, int *status)
{
    sink_t *sink = new_sink(size, make_msgpack, status);
    if (!sink)
        return NULL;
    talus_error_t error = talus_broadcaster_new(&sink->broadcaster, endpoint, NULL);
    if (error) {
        *status = report_bus_error("publish", endpoint, error);
        sink_close(&sink);
        return NULL;
    }
    snprintf(sink->origin, sizeof(sink->origin), "%s", talus_broadcaster_origin(sink->broadcaster));
    return sink;
}

// Of the shape that a broadcaster's has, so that events are of the same size.
static void choose_origin(char origin[20])
{
    // Of no consequence if it fails.
    if (!tl_random_name(origin, 12))
        strcpy(origin, "aaaaaaaaaaaa");
}

static int connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (strlen(path) >= sizeof(address.sun_path))
        errno = ENAMETOOLONG;
    else if (descriptor >= 0) {
        memcpy(address.sun_path, path, strlen(path));
        if (connect(descriptor, (struct sockaddr *)&address, sizeof(address)) == 0)
            return descriptor;
    }
    int cause = errno;
    if (descriptor >= 0)
        close(descriptor);
    errno = cause;
    return -1;
}

static int connect_tcp(const char *address)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char host[64];
    const char *colon = strrchr(address, ':');
    if (!colon || (size_t)(colon - address) >= sizeof(host)) {
        errno = EINVAL;
        return -1;
    }
    snprintf(host, sizeof(host), "%.*s", (int)(colon - address), address);
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    int descriptor = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor >= 0 && connect(descriptor, found->ai_addr, found->ai_addrlen) != 0) {
        int cause = errno;
        close(descriptor);
        errno = cause;
        descriptor = -1;
    }
    freeaddrinfo(found);
    return descriptor;
}

static bool bind_publisher(sink_t *sink, const char *endpoint)
{
    const int none = 0, unbounded = 0;
    sink->context = zmq_ctx_new();
    sink->publisher = sink->context ? zmq_socket(sink->context, ZMQ_XPUB) : NULL;
    if (!sink->publisher)
        return false;
    zmq_setsockopt(sink->publisher, ZMQ_LINGER, &none, sizeof(none));
    zmq_setsockopt(sink->publisher, ZMQ_SNDHWM, &unbounded, sizeof(unbounded));
    return zmq_bind(sink->publisher, endpoint) == 0;
}

sink_t *sink_open_server(const char *address, size_t size, int *status)
{
    static const char unix_prefix[] = "unix:", zmq_prefix[] = "zmq:";
    const struct timeval timeout = {.tv_sec = SEND_TIMEOUT_S};
    sink_t *sink = new_sink(size, make_json, status);
    bool is_open;
    if (!sink)
        return NULL;
    choose_origin(sink->origin);
    if (strncmp(address, zmq_prefix, sizeof(zmq_prefix) - 1) == 0) {
        is_open = bind_publisher(sink, address + sizeof(zmq_prefix) - 1);
    } else {
        bool is_unix = strncmp(address, unix_prefix, sizeof(unix_prefix) - 1) == 0;
        sink->descriptor =
            is_unix ? connect_unix(address + sizeof(unix_prefix) - 1) : connect_tcp(address);
        is_open = sink->descriptor >= 0;
    }
    if (!is_open) {
        report("cannot send events to \"%s\": %s", address, zmq_strerror(errno));
        *status = EXIT_FAILED;
        sink_close(&sink);
        return NULL;
    }
    if (sink->descriptor >= 0)
        setsockopt(sink->descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    return sink;
}

void sink_close(sink_t **sink)
{
    if (!*sink)
        return;
    talus_broadcaster_destroy(&(*sink)->broadcaster);
    if ((*sink)->descriptor >= 0)
        close((*sink)->descriptor);
    if ((*sink)->publisher)
        zmq_close((*sink)->publisher);
    if ((*sink)->context)
        zmq_ctx_term((*sink)->context);
    text_fini(&(*sink)->gathered);
    free((*sink)->payload);
    free(*sink);
    *sink = NULL;
}

const char *sink_origin(const sink_t *sink)
{
    return sink->origin;
}

int sink_wait_ready(sink_t *sink, int timeout_ms)
{
    char subscription[256];
    if (sink->broadcaster) {
        talus_error_t error =
            talus_broadcaster_wait_subscribers(sink->broadcaster, 1, timeout_ms, NULL);
        if (error)
            report("the server does not listen on the bus: %s", talus_strerror(error));
        return error ? EXIT_FAILED : EXIT_DONE;
    }
    if (!sink->publisher)
        return EXIT_DONE;
    zmq_setsockopt(sink->publisher, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
    if (zmq_recv(sink->publisher, subscription, sizeof(subscription), 0) >= 0)
        return EXIT_DONE;
    report("the server does not subscribe: %s", zmq_strerror(errno));
    return EXIT_FAILED;
}

static sink_result_t emit_on_bus(sink_t *sink, const char *room, uint64_t time)
{
    const talus_emit_t event = {.session = room,
                                .type = PACKET_TYPE,
                                .data = sink->payload,
                                .data_size = sink->payload_size};
    for (int i = 0; i < 8; i++)
        sink->payload[sink->time_at + (size_t)i] = (char)(time >> (56 - 8 * i));
    talus_error_t error = talus_emit(sink->broadcaster, &event, NULL);
    if (error == TALUS_EQUEUEFULL)
        return SINK_FULL;
    if (error)
        report("cannot emit: %s", talus_strerror(error));
    return error ? SINK_FAILED : SINK_DONE;
}

static void write_time(sink_t *sink, uint64_t time)
{
    for (size_t i = TIME_DIGITS; i > 0; i--, time /= 10)
        sink->payload[sink->time_at + i - 1] = (char)('0' + time % 10);
}

static sink_result_t send_message(sink_t *sink, const char *room, const char *id, size_t id_size)
{
    zmq_msg_t body;
    if (zmq_msg_init_size(&body, sink->payload_size + id_size) != 0) {
        report("out of memory");
        return SINK_FAILED;
    }
    memcpy(zmq_msg_data(&body), sink->payload, sink->payload_size);
    memcpy((char *)zmq_msg_data(&body) + sink->payload_size, id, id_size);
    if (zmq_send(sink->publisher, room, strlen(room), ZMQ_SNDMORE) < 0 ||
        zmq_msg_send(&body, sink->publisher, 0) < 0) {
        report("cannot send: %s", zmq_strerror(errno));
        zmq_msg_close(&body);
        return SINK_FAILED;
    }
    return SINK_DONE;
}

static sink_result_t emit_to_server(sink_t *sink, const char *room, uint64_t time)
{
    static const char end[] = "\"]";
    char id[TL_EVENT_ID_MAX + sizeof(end)];
    size_t size = tl_event_id_write(id, sink->origin, strlen(sink->origin), sink->number + 1);
    memcpy(id + size, end, sizeof(end));
    size += sizeof(end) - 1;
    write_time(sink, time);
    if (sink->publisher)
        return send_message(sink, room, id, size);
    text_append_string(&sink->gathered, room);
    text_append(&sink->gathered, " ", 1);
    text_append(&sink->gathered, sink->payload, sink->payload_size);
    text_append(&sink->gathered, id, size);
    text_append(&sink->gathered, "\n", 1);
    if (sink->gathered.has_failed) {
        report("out of memory");
        return SINK_FAILED;
    }
    return text_size(&sink->gathered) < FLUSH_BYTES ? SINK_DONE : sink_flush(sink);
}

sink_result_t sink_emit(sink_t *sink, const char *room, uint64_t time)
{
    sink_result_t result =
        sink->broadcaster ? emit_on_bus(sink, room, time) : emit_to_server(sink, room, time);
    sink->number += result == SINK_DONE;
    return result;
}

sink_result_t sink_flush(sink_t *sink)
{
    for (size_t sent = 0; sent < text_size(&sink->gathered);) {
        ssize_t size = send(sink->descriptor, text_bytes(&sink->gathered) + sent,
                            text_size(&sink->gathered) - sent, 0);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0) {
            report("cannot send events: %s", strerror(errno));
            return SINK_FAILED;
        }
        sent += (size_t)size;
    }
    text_clear(&sink->gathered);
    return SINK_DONE;
}
