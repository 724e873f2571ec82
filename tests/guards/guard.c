// SPDX-License-Identifier: MIT
// Runs one hot path again and again, the same way each time, for scripts/guard to count the
// instructions of it.
//
//   guard CASE COUNT
//
// Everything is real: bus, bridge, Socket.IO server, sockets. What has to be alike in every run is
// the order of things, so the bus is inproc, emitting waits until the bus thread has sent, the
// gateway's loop turns when it is told, and clients read when it has turned. Only the main thread's
// instructions are counted, and only those of the project's own files: this one drives.

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <talus.h>

#include "bus/src/zmq/sub/guard.h"
#include "gateway/bridge/internal.h"
#include "gateway/transport/http_server.h"

enum {
    CLIENTS_MAX = 100,
    BURST = 16,
    EMITS_AT_ONCE = 1024, // what the broadcaster's queue holds is more
    INPUT_SIZE = 1 << 18,
    PATIENCE_S = 300, // for a run under valgrind
    HOUR_MS = 3600 * 1000,
};

#define BUS       "inproc://guard"
#define OTHER_BUS "inproc://guard-presence"
#define ROOM      "guard-room"

// {"t": 1234567890123, "pad": 180 times x}
static unsigned char payload[198] = "\x82\xa1t\xcf\x00\x00\x01\x1f\x71\xfb\x04\xcb\xa3pad\xd9\xb4";

static const talus_emit_t event = {
    .session = ROOM, .type = "guard", .data = payload, .data_size = sizeof payload};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "guard: %s: %s\n", what, errno ? strerror(errno) : "not as expected");
    exit(1);
}

static void check(bool is_well, const char *what)
{
    if (!is_well)
        die(what);
}

// ---- The bus: a broadcaster that emits on a thread of its own

struct emitter {
    talus_broadcaster_t *bus;
    pthread_t thread;
    sem_t go;
    sem_t done;
    int count; // to emit; negative: the end
};

static void emit(talus_broadcaster_t *bus, int count)
{
    for (int i = 0; i < count; i++)
        check(talus_emit(bus, &event, NULL) == 0, "emit");
    check(talus_broadcaster_flush(bus, PATIENCE_S * 1000) == 0, "flush");
}

static void *run_emitter(void *arg)
{
    struct emitter *emitter = arg;
    for (;;) {
        while (sem_wait(&emitter->go) != 0)
            continue;
        if (emitter->count < 0)
            return NULL;
        emit(emitter->bus, emitter->count);
        sem_post(&emitter->done);
    }
}

static void emitter_start(struct emitter *emitter)
{
    check(talus_broadcaster_new(&emitter->bus, BUS, NULL) == 0, "broadcaster");
    sem_init(&emitter->go, 0, 0);
    sem_init(&emitter->done, 0, 0);
    check(pthread_create(&emitter->thread, NULL, run_emitter, emitter) == 0, "thread");
}

// Returns when the events are in the subscribers' pipes.
static void emitter_emit(struct emitter *emitter, int count)
{
    emitter->count = count;
    sem_post(&emitter->go);
    while (sem_wait(&emitter->done) != 0)
        continue;
}

static void emitter_stop(struct emitter *emitter)
{
    emitter->count = -1;
    sem_post(&emitter->go);
    pthread_join(emitter->thread, NULL);
    talus_broadcaster_destroy(&emitter->bus);
    sem_destroy(&emitter->go);
    sem_destroy(&emitter->done);
}

// ---- The gateway, in this thread

struct client {
    int fd;
    unsigned frames; // that it has read
};

struct gateway {
    struct gw_loop *loop;
    struct gw_metrics metrics;
    struct sio_server *sio;
    struct http_server *http;
    struct bridge *bridge;
    struct client clients[CLIENTS_MAX];
    int client_count;
};

static void on_request(struct http_exchange *exchange, const struct http_request *request,
                       void *arg)
{
    sio_server_handle(((struct gateway *)arg)->sio, exchange, request);
}

static void gateway_start(struct gateway *gateway)
{
    static const struct cors cors = {.is_any = true};
    struct sio_server_options sio;
    struct http_server_options http;
    struct bridge_options bridge;
    char error[256] = "";
    sio_server_options_init(&sio);
    sio.engine.ping_interval_ms = HOUR_MS;
    sio.engine.cors = &cors;
    http_server_options_init(&http);
    bridge_options_init(&bridge);
    gateway->loop = gw_loop_new();
    gateway->sio = sio_server_new(gateway->loop, &gateway->metrics, &sio);
    gateway->http = http_server_new(gateway->loop, &gateway->metrics, &http, on_request, gateway);
    bridge.loop = gateway->loop;
    bridge.bus = BUS;
    bridge.publish = OTHER_BUS;
    bridge.presence_limit = 0;
    bridge.linger_ms = HOUR_MS;
    gateway->bridge = bridge_new(&bridge, error, sizeof error);
    check(gateway->bridge, error);
    check(bridge_attach(gateway->bridge, gateway->sio, gateway->loop, &gateway->metrics) &&
              bridge_start(gateway->bridge),
          "bridge");
}

static void gateway_stop(struct gateway *gateway)
{
    for (int i = 0; i < gateway->client_count; i++)
        close(gateway->clients[i].fd);
    http_server_destroy(&gateway->http);
    sio_server_destroy(&gateway->sio);
    bridge_destroy(&gateway->bridge);
    gw_loop_destroy(&gateway->loop);
}

// The size of a server's frame. Not with ws_split_server_frame, which would be counted.
static size_t frame_size(const uint8_t *bytes, size_t size)
{
    if (size < 4 || bytes[1] > 126)
        return 0;
    return bytes[1] < 126 ? 2u + bytes[1] : 4u + ((unsigned)bytes[2] << 8 | bytes[3]);
}

// Counts the frames of what has arrived. All of it lies in one read, since the server writes it
// with one call and it is no longer than the buffer.
static void client_read(struct client *client)
{
    static uint8_t input[INPUT_SIZE];
    ssize_t size = recv(client->fd, input, sizeof input, MSG_DONTWAIT);
    for (ssize_t at = 0; at < size;) {
        size_t used = frame_size(input + at, (size_t)(size - at));
        check(used > 0 && used <= (size_t)(size - at), "a frame is cut");
        client->frames++;
        at += (ssize_t)used;
    }
}

static void client_send(const struct client *client, const char *text)
{
    uint8_t frame[256] = {0x81, (uint8_t)(0x80 | strlen(text)), 1, 2, 3, 4};
    size_t size = strlen(text);
    check(size < 126, "size");
    for (size_t i = 0; i < size; i++)
        frame[6 + i] = (uint8_t)(text[i] ^ frame[2 + (i & 3)]);
    check(send(client->fd, frame, 6 + size, 0) == (ssize_t)(6 + size), "send");
}

static void wait_frames(struct gateway *gateway, struct client *client, unsigned frames)
{
    while (client->frames < frames) {
        gw_loop_turn(gateway->loop, true);
        client_read(client);
    }
}

// Connects a client, and joins it to the room.
static void gateway_add_client(struct gateway *gateway)
{
    static const char request[] = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
                                  "Host: localhost\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    struct client *client = &gateway->clients[gateway->client_count++];
    char head[2048];
    int fds[2];
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0, "socket");
    *client = (struct client){.fd = fds[0]};
    http_server_take(gateway->http, fds[1]);
    check(send(client->fd, request, sizeof request - 1, 0) == sizeof request - 1, "send");
    ssize_t size;
    while ((size = recv(client->fd, head, sizeof head - 1, MSG_DONTWAIT)) < 0)
        gw_loop_turn(gateway->loop, true);
    head[size > 0 ? size : 0] = '\0';
    check(strstr(head, " 101 ") && strstr(head, "0{\"sid\""), "the handshake");
    client_send(client, "40/graph,");
    wait_frames(gateway, client, 1);
    client_send(client, "42/graph,[\"join_session\",{\"session_id\":\"" ROOM "\"}]");
    wait_frames(gateway, client, 2);
}

// ---- A client that polls

static void request(struct gateway *gateway, const struct client *client, const char *method,
                    const char *query, const char *body, char response[4096])
{
    char text[1024];
    int size = snprintf(text, sizeof text,
                        "%s /socket.io/?EIO=4&transport=polling%s HTTP/1.1\r\nHost: localhost\r\n"
                        "Content-Length: %zu\r\nContent-Type: text/plain\r\n\r\n%s",
                        method, query, strlen(body), body);
    check(send(client->fd, text, (size_t)size, 0) == size, "send");
    if (!response) { // what one turn hands to libuv reaches epoll in the next
        gw_loop_turn(gateway->loop, false);
        gw_loop_turn(gateway->loop, false);
        return;
    }
    ssize_t got;
    while ((got = recv(client->fd, response, 4095, MSG_DONTWAIT)) < 0)
        gw_loop_turn(gateway->loop, true);
    response[got > 0 ? got : 0] = '\0';
    check(strstr(response, " 200 "), "a response");
}

// Connects a client that polls, and joins it; `query` names its session in further requests.
static void gateway_add_poller(struct gateway *gateway, char query[64])
{
    struct client *client = &gateway->clients[gateway->client_count++];
    char response[4096];
    int fds[2];
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0, "socket");
    *client = (struct client){.fd = fds[0]};
    http_server_take(gateway->http, fds[1]);
    request(gateway, client, "GET", "", "", response);
    const char *sid = strstr(response, "\"sid\":\"");
    check(sid, "an id");
    snprintf(query, 64, "&sid=%.20s", sid + 7);
    request(gateway, client, "POST", query, "40/graph,", response);
    request(gateway, client, "GET", query, "", response);
    check(strstr(response, "40/graph,"), "connected");
    request(gateway, client, "POST", query,
            "42/graph,[\"join_session\",{\"session_id\":\"" ROOM "\"}]", response);
    request(gateway, client, "GET", query, "", response);
    check(strstr(response, "joined"), "joined");
}

static void gateway_add_clients(struct gateway *gateway, int count)
{
    while (gateway->client_count < count)
        gateway_add_client(gateway);
    for (int i = 0; i < count; i++)
        gateway->clients[i].frames = 0;
}

static void read_all(struct gateway *gateway)
{
    for (int i = 0; i < gateway->client_count; i++)
        client_read(&gateway->clients[i]);
}

static void check_frames(const struct gateway *gateway, unsigned frames)
{
    for (int i = 0; i < gateway->client_count; i++)
        check(gateway->clients[i].frames == frames, "frames");
}

// ---- The cases

static struct bridge_encoded *encode(struct encoder *encoder)
{
    const talus_event_t received = {.session = ROOM,
                                    .type = "guard",
                                    .id = "aaaaaaaaaaaa.1234567",
                                    .origin = "aaaaaaaaaaaa",
                                    .except = "",
                                    .seq = 1234567,
                                    .data = payload,
                                    .data_size = sizeof payload};
    return encoder_event(encoder, &received);
}

// A received event becomes the frames that all clients get.
static void run_encode(int count)
{
    struct encoder *encoder = encoder_new("/graph");
    check(encoder, "encoder");
    for (int i = 0; i < count; i++) {
        struct bridge_encoded *encoded = encode(encoder);
        check(encoded, "encode");
        bridge_encoded_unref(encoded);
    }
    encoder_destroy(&encoder);
}

// Encoded events go to a room, `burst` a turn, and out to each of its sockets.
static void run_room(int count, int clients, int burst)
{
    struct gateway gateway = {0};
    struct encoder *encoder = encoder_new("/graph");
    check(encoder, "encoder");
    struct bridge_encoded *encoded = encode(encoder);
    check(encoded, "encode");
    const struct sio_encoded frames = {encoded->bytes, encoded->size};
    gateway_start(&gateway);
    gateway_add_clients(&gateway, clients);
    for (int i = 0; i < count; i += burst) {
        for (int j = 0; j < burst; j++)
            check(sio_room_emit_encoded(gateway.bridge->workers[0].nsp, ROOM, &frames, NULL) ==
                      (size_t)clients,
                  "members");
        gw_loop_turn(gateway.loop, false);
        read_all(&gateway);
    }
    check_frames(&gateway, (unsigned)count);
    bridge_encoded_unref(encoded);
    encoder_destroy(&encoder);
    gateway_stop(&gateway);
}

static void run_room_of_1(int count)
{
    run_room(count, 1, 1);
}

static void run_room_of_100(int count)
{
    run_room(count, CLIENTS_MAX, 1);
}

static void run_room_of_100_in_bursts(int count)
{
    run_room(count, CLIENTS_MAX, BURST);
}

// Events come from the bus and go out to the ten sockets of a room.
static void run_bus_to_room_of_10(int count)
{
    struct gateway gateway = {0};
    struct emitter emitter = {0};
    emitter_start(&emitter);
    gateway_start(&gateway);
    gateway_add_clients(&gateway, 10);
    for (int i = 0; i < count; i++) {
        emitter_emit(&emitter, 1);
        while (gateway.clients[9].frames <= (unsigned)i) {
            gw_loop_turn(gateway.loop, true);
            read_all(&gateway);
        }
    }
    check_frames(&gateway, (unsigned)count);
    gateway_stop(&gateway);
    emitter_stop(&emitter);
}

// A client's packets are read, understood and answered.
static void run_packet_in(int count)
{
    struct gateway gateway = {0};
    gateway_start(&gateway);
    gateway_add_clients(&gateway, 1);
    for (int i = 0; i < count; i++) {
        client_send(&gateway.clients[0], "42/graph,[\"ping\",{\"a\":1}]");
        wait_frames(&gateway, &gateway.clients[0], (unsigned)i + 1);
    }
    gateway_stop(&gateway);
}

// Clients connect and join a room.
static void run_join(int count)
{
    struct gateway gateway = {0};
    gateway_start(&gateway);
    gateway_add_clients(&gateway, count);
    gateway_stop(&gateway);
}

// An event goes to a client that polls, and it polls again.
static void run_poll(int count)
{
    struct gateway gateway = {0};
    struct encoder *encoder = encoder_new("/graph");
    char query[64], response[4096];
    check(encoder, "encoder");
    struct bridge_encoded *encoded = encode(encoder);
    check(encoded, "encode");
    const struct sio_encoded frames = {encoded->bytes, encoded->size};
    gateway_start(&gateway);
    gateway_add_poller(&gateway, query);
    for (int i = 0; i < count; i++) {
        request(&gateway, &gateway.clients[0], "GET", query, "", NULL);
        check(sio_room_emit_encoded(gateway.bridge->workers[0].nsp, ROOM, &frames, NULL) == 1,
              "a member");
        gw_loop_turn(gateway.loop, false); // answers the poll
        gw_loop_turn(gateway.loop, false); // writes the answer
        ssize_t got = recv(gateway.clients[0].fd, response, sizeof response - 1, MSG_DONTWAIT);
        response[got > 0 ? got : 0] = '\0';
        check(strstr(response, "[\"guard\""), "the event");
    }
    bridge_encoded_unref(encoded);
    encoder_destroy(&encoder);
    gateway_stop(&gateway);
}

static void emit_bursts(talus_broadcaster_t *bus, int count)
{
    for (int i = 0; i < count; i += EMITS_AT_ONCE)
        emit(bus, count - i < EMITS_AT_ONCE ? count - i : EMITS_AT_ONCE);
}

static void run_emit_at(const char *endpoint, int count)
{
    talus_broadcaster_t *bus;
    check(talus_broadcaster_new(&bus, endpoint, NULL) == 0, "broadcaster");
    emit_bursts(bus, count);
    talus_broadcaster_destroy(&bus);
}

// The emit call, with nobody there.
static void run_emit(int count)
{
    run_emit_at(BUS, count);
}

// The same in a bus directory, where it is written into the ledger, too.
static void run_emit_in_directory(int count)
{
    char folder[] = "/tmp/talus-guard-XXXXXX", endpoint[64];
    check(mkdtemp(folder) != NULL, "folder");
    snprintf(endpoint, sizeof endpoint, "ipc://%s/*", folder);
    run_emit_at(endpoint, count);
    check(rmdir(folder) == 0, "removing the folder");
}

static void open_subscriber(talus_subscriber_t **subscriber)
{
    const talus_delivery_t *delivery;
    check(talus_subscriber_new(subscriber, BUS, NULL) == 0, "subscriber");
    check(talus_subscriber_join(*subscriber, ROOM) == 0, "join");
    do
        check(talus_subscriber_receive(*subscriber, PATIENCE_S * 1000, &delivery) == 0, "live");
    while (delivery->kind != TALUS_DELIVERY_LIVE);
}

// A subscriber takes events that are there, and is not asked to read ahead.
static void run_receive(int count)
{
    struct emitter emitter = {0};
    talus_subscriber_t *subscriber;
    const talus_delivery_t *delivery;
    talus__guard_look_ms = PATIENCE_S * 1000; // an event takes a thousand times as long here
    emitter_start(&emitter);
    open_subscriber(&subscriber);
    for (int i = 0; i < count; i += EMITS_AT_ONCE) {
        int burst = count - i < EMITS_AT_ONCE ? count - i : EMITS_AT_ONCE;
        emitter_emit(&emitter, burst);
        for (int j = 0; j < burst; j++)
            check(talus_subscriber_receive(subscriber, PATIENCE_S * 1000, &delivery) == 0 &&
                      delivery->kind == TALUS_DELIVERY_EVENT,
                  "receive");
    }
    talus_subscriber_destroy(&subscriber);
    emitter_stop(&emitter);
}

static const struct {
    const char *name;
    void (*run)(int count);
} cases[] = {
    {"emit", run_emit},
    {"emit-in-directory", run_emit_in_directory},
    {"receive", run_receive},
    {"encode", run_encode},
    {"room-of-1", run_room_of_1},
    {"room-of-100", run_room_of_100},
    {"room-of-100-bursts", run_room_of_100_in_bursts},
    {"bus-to-room-of-10", run_bus_to_room_of_10},
    {"packet-in", run_packet_in},
    {"poll", run_poll},
    {"join", run_join},
};

int main(int argc, char **argv)
{
    int count = argc == 3 ? atoi(argv[2]) : 0;
    memset(payload + 18, 'x', sizeof payload - 18);
    alarm(PATIENCE_S);
    for (size_t i = 0; count > 0 && i < sizeof cases / sizeof cases[0]; i++) {
        if (strcmp(cases[i].name, argv[1]) == 0) {
            cases[i].run(count);
            return 0;
        }
    }
    fprintf(stderr, "guard: CASE COUNT, not what was given\n");
    return 2;
}
