// SPDX-License-Identifier: MIT
// Light clients of the chaos program: many Socket.IO clients over WebSocket in one small process.
//   chaos_light_clients FOLDER COUNT SESSIONS mixed|crowd PORT…
// Client I connects to one of the ports, joins two sessions, and writes FOLDER/light-I.log
// (support/consumer.mjs says what is in it): of each 8, 6 are in two of the sessions s-0…, and move
// to the next port when theirs takes nobody; one stays at its port P, in solo-P; one connects to
// the gateway of port P itself, not by the proxy that the port is of, and is in the session wide.
// Those of a crowd are in two of the sessions q-0… each.
//
// One that is cut off comes back with what the official client sends: its pid, and the id of the
// last event that it got. Now and then one says goodbye, and comes anew. Where it does, it mostly
// joins with `since`, the last event that it has of the session.
//
// Commands, lines on standard input: "flush" has all logs written out, which "flushed" tells;
// "settle": nobody says goodbye any more;
// "stall MS" lets those in wide read nothing for so long; "gateway P PORT" says where the gateway
// of port P is. The end of standard input ends the program.
//
// Invariant: a client with a descriptor is registered with the epoll under its index, unless it
// stalls.

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "clients/cli/bench/packet.h"

#define ADDRESS "/graph,"

enum {
    BUFFER_BYTES = 1 << 20, // holds the largest frame; what is read beyond a frame waits there
    COMMANDS = -1,          // the epoll's data of standard input
    SILENCE_MS = 4000,      // without a ping, the gateway is taken for dead
    AGAIN_MS = 300,         // between two attempts to come back
    TURN_MS = 100,
    EVENTS_A_TURN = 64,
    FAILURES_MAX = 3,      // attempts in a row until it moves to the next port
    GOODBYE_ONE_IN = 1500, // … turns of a client
    SINCE_PERCENT = 75,
    NARROW_BYTES = 8 << 10, // the kernel's buffer of those that stall
    PORTS_MAX = 8,
};

enum kind { MOVES, STAYS, STALLS };

struct membership {
    char session[16];
    char newest[64]; // id of the last event that came
    char since[64];  // what it has joined with, "" for nothing
};

struct client {
    int descriptor; // -1: none
    enum kind kind;
    size_t port;     // index in `ports`
    int failures;    // attempts to connect, in a row
    int64_t join_at; // when it joins again what it could not; 0: no such thing
    int64_t heard;   // when something last came; without a descriptor: when it lost it
    bool is_open;    // the handshake is over
    bool is_connected;
    char pid[64];
    char offset[64];
    struct membership memberships[2];
    FILE *log;
    char *buffer;
    size_t size;
};

static struct client *clients;
static size_t client_count;
static int epoll;
static int ports[PORTS_MAX];
static int gateways[PORTS_MAX]; // their own ports; 0: not known yet
static size_t port_count;
static int64_t stalled_until;
static bool is_settling;
static uint32_t random_state = 1;

// xorshift32
static unsigned below(unsigned limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % limit;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Writes [NOW, …], and consumes `line`.
static void note(struct client *client, json_t *line)
{
    json_array_insert_new(line, 0, json_integer(now_ms()));
    json_dumpf(line, client->log, JSON_COMPACT);
    fputc('\n', client->log);
    json_decref(line);
}

static void drop(struct client *client, const char *reason)
{
    if (client->descriptor < 0)
        return;
    close(client->descriptor);
    client->descriptor = -1;
    client->heard = now_ms();
    client->size = 0;
    client->is_open = false;
    if (client->is_connected)
        note(client, json_pack("[s, s]", "disconnect", reason));
    client->is_connected = false;
}

// ---- Sending

static void send_bytes(struct client *client, const char *bytes, size_t size)
{
    if (client->descriptor >= 0 &&
        send(client->descriptor, bytes, size, MSG_NOSIGNAL) != (ssize_t)size)
        drop(client, "cannot send");
}

static void send_packet(struct client *client, const char *packet)
{
    char frame[512 + FRAME_HEADER_MAX];
    size_t size = strlen(packet);
    if (size <= 512)
        send_bytes(client, frame, frame_write(frame, FRAME_TEXT, packet, size));
}

static void send_connect(struct client *client)
{
    char packet[256];
    if (client->pid[0] && client->offset[0])
        snprintf(packet, sizeof packet, "40" ADDRESS "{\"pid\":\"%s\",\"offset\":\"%s\"}",
                 client->pid, client->offset);
    else if (client->pid[0])
        snprintf(packet, sizeof packet, "40" ADDRESS "{\"pid\":\"%s\"}", client->pid);
    else
        strcpy(packet, "40" ADDRESS);
    note(client, json_pack("[s]", "open"));
    send_packet(client, packet);
}

static void send_joins(struct client *client)
{
    client->join_at = 0;
    for (size_t i = 0; i < 2; i++) {
        char packet[256];
        const struct membership *membership = &client->memberships[i];
        if (membership->since[0])
            snprintf(packet, sizeof packet,
                     "42" ADDRESS "[\"join_session\",{\"session_id\":\"%s\",\"since\":\"%s\"}]",
                     membership->session, membership->since);
        else
            snprintf(packet, sizeof packet,
                     "42" ADDRESS "[\"join_session\",{\"session_id\":\"%s\"}]",
                     membership->session);
        note(client, json_pack("[s, s, s]", "ask", membership->session, membership->since));
        send_packet(client, packet);
    }
}

static void say_goodbye(struct client *client)
{
    send_packet(client, "41" ADDRESS);
    if (client->descriptor < 0)
        return; // it could not be said
    drop(client, "goodbye");
    client->pid[0] = '\0';
    client->offset[0] = '\0';
}

// ---- What comes

static void on_connected(struct client *client, const json_t *answer)
{
    const char *pid = json_string_value(json_object_get(answer, "pid"));
    bool is_recovered = pid && strcmp(pid, client->pid) == 0;
    snprintf(client->pid, sizeof client->pid, "%s", pid ? pid : "");
    client->is_connected = true;
    client->failures = 0;
    note(client, json_pack("[s, s, b]", "connect",
                           json_string_value(json_object_get(answer, "sid")), is_recovered));
    for (size_t i = 0; i < 2 && !is_recovered; i++) {
        struct membership *membership = &client->memberships[i];
        membership->since[0] = '\0';
        if (below(100) < SINCE_PERCENT)
            strcpy(membership->since, membership->newest);
    }
    send_joins(client); // also if it was recovered: a request or an answer may have been lost
}

static void note_newest(struct client *client, const char *session, const char *id)
{
    snprintf(client->offset, sizeof client->offset, "%s", id);
    for (size_t i = 0; i < 2; i++) {
        struct membership *membership = &client->memberships[i];
        if (session && strcmp(membership->session, session) == 0)
            snprintf(membership->newest, sizeof membership->newest, "%s", id);
    }
}

static void on_event(struct client *client, json_t *array)
{
    const char *type = json_string_value(json_array_get(array, 0));
    const json_t *data = json_array_get(array, 1);
    const char *id = json_string_value(json_array_get(array, 2));
    json_t *session = json_object_get(data, "session_id");
    json_t *number = json_object_get(data, "n");
    if (!type)
        return;
    if (strcmp(type, "joined") == 0) {
        note(client, json_pack("[s, O, O]", "joined", session, json_object_get(data, "offset")));
    } else if (strcmp(type, "gap") == 0) {
        note(client, json_pack("[s, O, O, O, O]", "gap", session, json_object_get(data, "after"),
                               json_object_get(data, "first"), json_object_get(data, "reason")));
    } else if (strcmp(type, "error") == 0) {
        note(client, json_pack("[s, O, O]", "error", json_object_get(data, "code"),
                               json_object_get(data, "message")));
        client->join_at = now_ms() + AGAIN_MS;
    } else if (id) {
        json_t *line = json_pack("[s, O, s]", "event", session, id);
        json_array_append(line, number ? number : json_null());
        note(client, line);
        note_newest(client, json_string_value(session), id);
    }
}

static void on_packet(struct client *client, const char *text, size_t size)
{
    static const char connected[] = "40" ADDRESS;
    static const char event[] = "42" ADDRESS;
    if (size == 1 && text[0] == '2') {
        send_packet(client, "3");
    } else if (size > 0 && text[0] == '0') {
        send_connect(client);
    } else if (size >= sizeof connected && memcmp(text, connected, sizeof connected - 1) == 0) {
        json_t *answer =
            json_loadb(text + sizeof connected - 1, size - sizeof connected + 1, 0, NULL);
        on_connected(client, answer);
        json_decref(answer);
    } else if (size >= sizeof event && memcmp(text, event, sizeof event - 1) == 0) {
        json_t *array = json_loadb(text + sizeof event - 1, size - sizeof event + 1, 0, NULL);
        on_event(client, array);
        json_decref(array);
    } else if (size > 0 && text[0] == '1') {
        drop(client, "closed");
    }
}

// Takes what is whole out of the buffer.
static void consume(struct client *client)
{
    size_t at = 0;
    if (!client->is_open) {
        const char *end = memmem(client->buffer, client->size, "\r\n\r\n", 4);
        if (!end)
            return;
        at = (size_t)(end + 4 - client->buffer);
        if (strncmp(client->buffer, "HTTP/1.1 101 ", 13) != 0) {
            drop(client, "no WebSocket");
            return;
        }
        client->is_open = true;
    }
    frame_t frame;
    int found;
    while ((found = frame_read(client->buffer + at, client->size - at, &frame)) > 0) {
        at += frame.total;
        if (frame.opcode == FRAME_TEXT)
            on_packet(client, frame.payload, frame.size);
        else if (frame.opcode == FRAME_CLOSE)
            drop(client, "closed");
        if (client->descriptor < 0)
            return;
    }
    if (found < 0 || client->size - at == BUFFER_BYTES) {
        drop(client, "no frame");
        return;
    }
    client->size -= at;
    memmove(client->buffer, client->buffer + at, client->size);
}

static bool is_stalled(const struct client *client)
{
    return client->kind == STALLS && now_ms() < stalled_until;
}

static void on_readable(struct client *client)
{
    ssize_t size = recv(client->descriptor, client->buffer + client->size,
                        BUFFER_BYTES - client->size, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0) {
        drop(client, "transport close");
        return;
    }
    client->heard = now_ms();
    client->size += (size_t)size;
    consume(client);
}

// ---- Coming back

static int target_of(const struct client *client)
{
    int direct = client->kind == STALLS ? gateways[client->port] : 0;
    return direct ? direct : ports[client->port];
}

static bool open_socket(struct client *client, uint32_t index)
{
    static const int narrow = NARROW_BYTES;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)target_of(client)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    client->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->descriptor < 0)
        return false;
    if (client->kind == STALLS)
        setsockopt(client->descriptor, SOL_SOCKET, SO_RCVBUF, &narrow, sizeof narrow);
    // The ports are the loopback's: connect does not wait.
    return connect(client->descriptor, (struct sockaddr *)&address, sizeof address) == 0 &&
           epoll_ctl(epoll, EPOLL_CTL_ADD, client->descriptor, &event) == 0;
}

static void come(struct client *client, uint32_t index)
{
    char request[256];
    client->heard = now_ms();
    if (client->kind == MOVES && ++client->failures > FAILURES_MAX) {
        client->failures = 0;
        client->port = (client->port + 1) % port_count;
    }
    if (!open_socket(client, index)) {
        drop(client, "cannot connect");
        return;
    }
    int size = snprintf(request, sizeof request,
                        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
                        "Host: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                        "Sec-WebSocket-Version: 13\r\n\r\n");
    send_bytes(client, request, (size_t)size);
}

static void watch(const struct client *client, bool is_read)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)(client - clients)};
    if (client->descriptor >= 0)
        epoll_ctl(epoll, is_read ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, client->descriptor, &event);
}

static void tend_one(struct client *client, uint32_t index, int64_t now)
{
    if (is_stalled(client))
        return;
    if (client->descriptor >= 0 && now - client->heard > SILENCE_MS)
        drop(client, "ping timeout");
    else if (client->descriptor < 0 && now - client->heard > AGAIN_MS)
        come(client, index);
    else if (client->is_connected && !is_settling && below(GOODBYE_ONE_IN) == 0)
        say_goodbye(client);
    else if (client->is_connected && client->join_at && now > client->join_at)
        send_joins(client);
}

static void tend(void)
{
    static bool was_stalled;
    int64_t now = now_ms();
    bool is_now = now < stalled_until;
    for (size_t i = 0; i < client_count; i++) {
        struct client *client = &clients[i];
        if (client->kind == STALLS && is_now != was_stalled) {
            client->heard = now; // its silence was our own
            watch(client, !is_now);
        }
        tend_one(client, (uint32_t)i, now);
    }
    was_stalled = is_now;
}

// ---- The program

static void flush(void)
{
    for (size_t i = 0; i < client_count; i++)
        fflush(clients[i].log);
    printf("flushed\n");
    fflush(stdout);
}

static void obey_line(const char *line)
{
    unsigned index;
    int number;
    if (strcmp(line, "flush") == 0)
        flush();
    else if (strcmp(line, "settle") == 0)
        is_settling = true;
    else if (sscanf(line, "stall %d", &number) == 1)
        stalled_until = now_ms() + number;
    else if (sscanf(line, "gateway %u %d", &index, &number) == 2 && index < port_count)
        gateways[index] = number;
}

// Returns false when standard input has ended.
static bool obey(void)
{
    static char text[256];
    static size_t size;
    ssize_t added = read(STDIN_FILENO, text + size, sizeof text - 1 - size);
    if (added <= 0)
        return false;
    size += (size_t)added;
    text[size] = '\0';
    char *line = text;
    for (char *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        obey_line(line);
    }
    size = strlen(line);
    memmove(text, line, size);
    return true;
}

static void run(void)
{
    struct epoll_event events[EVENTS_A_TURN];
    int64_t tended = 0;
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS_A_TURN, TURN_MS);
        for (int i = 0; i < count; i++) {
            if (events[i].data.u32 == (uint32_t)COMMANDS) {
                if (!obey())
                    return;
                continue;
            }
            struct client *client = &clients[events[i].data.u32];
            if (client->descriptor >= 0 && !is_stalled(client))
                on_readable(client);
        }
        if (now_ms() - tended < TURN_MS)
            continue;
        tended = now_ms();
        tend();
    }
}

static void choose_quiet_sessions(struct client *client, unsigned i, unsigned sessions)
{
    client->kind = MOVES;
    client->port = i % port_count;
    for (unsigned k = 0; k < 2; k++)
        snprintf(client->memberships[k].session, sizeof client->memberships[k].session, "q-%u",
                 (i + k) % sessions);
}

static void choose_sessions(struct client *client, unsigned i, unsigned sessions)
{
    static const enum kind kinds[8] = {STAYS, STALLS, MOVES, MOVES, MOVES, MOVES, MOVES, MOVES};
    char(*first)[16] = &client->memberships[0].session;
    client->kind = kinds[i / port_count % 8];
    client->port = i % port_count;
    snprintf(client->memberships[1].session, sizeof *first, "s-%u",
             (i / sessions + i + 1) % sessions);
    if (client->kind == STAYS)
        snprintf(*first, sizeof *first, "solo-%zu", client->port);
    else if (client->kind == STALLS)
        strcpy(*first, "wide");
    else
        snprintf(*first, sizeof *first, "s-%u", i % sessions);
}

static bool set_up(const char *folder, unsigned sessions, bool is_crowd)
{
    for (size_t i = 0; i < client_count; i++) {
        struct client *client = &clients[i];
        char path[4096];
        snprintf(path, sizeof path, "%s/light-%zu.log", folder, i);
        client->descriptor = -1;
        if (is_crowd)
            choose_quiet_sessions(client, (unsigned)i, sessions);
        else
            choose_sessions(client, (unsigned)i, sessions);
        client->log = fopen(path, "a");
        client->buffer = malloc(BUFFER_BYTES);
        if (!client->log || !client->buffer)
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct epoll_event commands = {.events = EPOLLIN, .data.u32 = (uint32_t)COMMANDS};
    client_count = argc < 6 ? 0 : strtoul(argv[2], NULL, 10);
    unsigned sessions = argc < 6 ? 0 : (unsigned)strtoul(argv[3], NULL, 10);
    if (client_count == 0 || sessions == 0 || argc - 5 > PORTS_MAX) {
        fprintf(stderr, "usage: chaos_light_clients FOLDER COUNT SESSIONS mixed|crowd PORT…\n");
        return 2;
    }
    for (; port_count < (size_t)argc - 5; port_count++)
        ports[port_count] = (int)strtol(argv[port_count + 5], NULL, 10);
    clients = calloc(client_count, sizeof *clients);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!clients || epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &commands) != 0 ||
        !set_up(argv[1], sessions, strcmp(argv[4], "crowd") == 0)) {
        fprintf(stderr, "chaos_light_clients: %s\n", strerror(errno));
        return 1;
    }
    run();
    for (size_t i = 0; i < client_count; i++) {
        if (clients[i].descriptor >= 0)
            close(clients[i].descriptor);
        fclose(clients[i].log);
        free(clients[i].buffer);
    }
    free(clients);
    close(epoll);
    return 0;
}
