// SPDX-License-Identifier: MIT
// The limit that the gateway is measured against: what the kernel alone allows. It answers the
// bench's clients as a Socket.IO server would, with the least that makes them join, and then fans
// frames out: bytes of a room lie once in its log, a client holds a position there, and each turn
// of the loop sends a client all that it is owed with one call.
//
//   bare_core PATH         events come as lines `ROOM JSON` to a Unix socket that it makes at PATH
//   bare_core zmq ENDPOINT events come as two frames, ROOM and JSON, from a PUB bound there
//
// It says "bare_core listening on URL" and serves until it is killed. It is no server to imitate: a
// request that does not come in one read, or names no room, ends its connection.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <zmq.h>

enum {
    ROOM_NAME_MAX = 128,
    ROOM_SLOTS = 1 << 17, // of the hash; a power of two
    INPUT_BYTES = 1 << 20,
    LOG_MAX = 64 << 20, // a client that is so far behind is closed
    EVENTS_PER_TURN = 512,
    MESSAGES_PER_TURN = 256,
};

// What a descriptor of the epoll is; clients are numbered from there on.
enum { TAG_LISTENER, TAG_CONTROL_LISTENER, TAG_CONTROL, TAG_BUS, TAG_CLIENT };

typedef struct room {
    char name[ROOM_NAME_MAX];
    char *log;
    size_t size, capacity;
    uint32_t *members; // descriptors
    size_t member_count, member_capacity;
    struct room *next_dirty;
    bool is_dirty;
} room_t;

typedef struct client {
    room_t *room;    // NULL until it has joined
    size_t position; // in the room's log
    uint32_t slot;   // among the members
    bool is_open, is_upgraded, is_stuck;
} client_t;

static client_t *clients; // by descriptor
static size_t client_max;
static room_t *rooms[ROOM_SLOTS];
static room_t *dirty;
static int epoll;
static char *input; // of the control socket: a line may be cut
static size_t input_size;
static void *bus;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bare_core: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *checked(void *memory)
{
    if (!memory)
        die("memory");
    return memory;
}

static void watch(int operation, int descriptor, uint32_t events, uint32_t tag)
{
    struct epoll_event event = {.events = events, .data.u32 = tag};
    if (epoll_ctl(epoll, operation, descriptor, &event) != 0)
        die("epoll");
}

static room_t *find_room(const char *name, size_t size)
{
    uint32_t hash = 2166136261u;
    if (size == 0 || size >= ROOM_NAME_MAX)
        return NULL;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)name[i]) * 16777619u;
    for (uint32_t at = hash & (ROOM_SLOTS - 1);; at = (at + 1) & (ROOM_SLOTS - 1)) {
        if (!rooms[at]) {
            rooms[at] = checked(calloc(1, sizeof(room_t)));
            memcpy(rooms[at]->name, name, size);
            return rooms[at];
        }
        if (strncmp(rooms[at]->name, name, size) == 0 && rooms[at]->name[size] == '\0')
            return rooms[at];
    }
}

static size_t write_header(unsigned char *out, size_t size)
{
    out[0] = 0x81;
    if (size < 126) {
        out[1] = (unsigned char)size;
        return 2;
    }
    int bytes = size < 65536 ? 2 : 8;
    out[1] = bytes == 2 ? 126 : 127;
    for (int i = 0; i < bytes; i++)
        out[2 + i] = (unsigned char)((uint64_t)size >> (8 * (bytes - 1 - i)));
    return 2 + (size_t)bytes;
}

static void close_client(int descriptor)
{
    client_t *client = &clients[descriptor];
    room_t *room = client->room;
    if (room) {
        uint32_t last = room->members[--room->member_count];
        room->members[client->slot] = last;
        clients[last].slot = client->slot;
    }
    *client = (client_t){0};
    close(descriptor);
}

// ---- Fan-out

static void append_event(room_t *room, const char *json, size_t size)
{
    static const char address[] = "42/graph,";
    unsigned char header[10];
    size_t payload = sizeof(address) - 1 + size, head = write_header(header, payload);
    size_t needed = room->size + head + payload;
    if (needed > room->capacity) {
        room->capacity = needed * 2;
        room->log = checked(realloc(room->log, room->capacity));
    }
    memcpy(room->log + room->size, header, head);
    memcpy(room->log + room->size + head, address, sizeof(address) - 1);
    memcpy(room->log + room->size + head + sizeof(address) - 1, json, size);
    room->size = needed;
    if (!room->is_dirty) {
        room->is_dirty = true;
        room->next_dirty = dirty;
        dirty = room;
    }
}

// Returns whether it is still there.
static bool send_owed(int descriptor)
{
    client_t *client = &clients[descriptor];
    room_t *room = client->room;
    ssize_t sent =
        send(descriptor, room->log + client->position, room->size - client->position, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        close_client(descriptor);
        return false;
    }
    client->position += sent > 0 ? (size_t)sent : 0;
    bool is_stuck = client->position < room->size;
    if (is_stuck && room->size - client->position > LOG_MAX) {
        fprintf(stderr, "bare_core: a client is too slow\n");
        close_client(descriptor);
        return false;
    }
    if (is_stuck != client->is_stuck)
        watch(EPOLL_CTL_MOD, descriptor, EPOLLIN | (is_stuck ? EPOLLOUT : 0),
              TAG_CLIENT + (uint32_t)descriptor);
    client->is_stuck = is_stuck;
    return true;
}

// What every member has is forgotten.
static void trim(room_t *room)
{
    size_t least = room->size;
    for (size_t i = 0; i < room->member_count; i++)
        if (clients[room->members[i]].position < least)
            least = clients[room->members[i]].position;
    if (least == 0)
        return;
    memmove(room->log, room->log + least, room->size - least);
    room->size -= least;
    for (size_t i = 0; i < room->member_count; i++)
        clients[room->members[i]].position -= least;
}

static void flush(void)
{
    while (dirty) {
        room_t *room = dirty;
        dirty = room->next_dirty;
        room->is_dirty = false;
        // Backwards: a member that is closed is replaced by the last.
        for (size_t i = room->member_count; i > 0; i--)
            if (!clients[room->members[i - 1]].is_stuck)
                send_owed((int)room->members[i - 1]);
        trim(room);
    }
}

// ---- Clients

static bool send_all(int descriptor, const char *bytes, size_t size)
{
    return send(descriptor, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static bool send_text(int descriptor, const char *text)
{
    char frame[256];
    size_t size = strlen(text);
    size_t head = write_header((unsigned char *)frame, size);
    memcpy(frame + head, text, size);
    return send_all(descriptor, frame, head + size);
}

static bool on_handshake(int descriptor)
{
    // The bench's key is always the same, and so is its answer.
    static const char response[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                   "Connection: Upgrade\r\n"
                                   "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    char open[160];
    snprintf(open, sizeof(open),
             "0{\"sid\":\"bare%d\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,"
             "\"maxPayload\":1000000}",
             descriptor);
    clients[descriptor].is_upgraded = true;
    return send_all(descriptor, response, sizeof(response) - 1) && send_text(descriptor, open);
}

static bool on_join(int descriptor, const char *text, size_t size)
{
    static const char key[] = "\"session_id\":\"";
    char answer[256];
    client_t *client = &clients[descriptor];
    const char *name = memmem(text, size, key, sizeof(key) - 1);
    if (!name || client->room)
        return false;
    name += sizeof(key) - 1;
    const char *end = memchr(name, '"', size - (size_t)(name - text));
    room_t *room = end ? find_room(name, (size_t)(end - name)) : NULL;
    if (!room)
        return false;
    if (room->member_count == room->member_capacity) {
        room->member_capacity = room->member_capacity ? room->member_capacity * 2 : 8;
        room->members =
            checked(realloc(room->members, room->member_capacity * sizeof(*room->members)));
    }
    client->room = room;
    client->position = room->size;
    client->slot = (uint32_t)room->member_count;
    room->members[room->member_count++] = (uint32_t)descriptor;
    snprintf(answer, sizeof(answer),
             "42/graph,[\"joined\",{\"session_id\":\"%s\",\"client_id\":\"bare%d\"}]", room->name,
             descriptor);
    return send_text(descriptor, answer);
}

static bool on_packet(int descriptor, const char *text, size_t size)
{
    char answer[64];
    if (size == 9 && memcmp(text, "40/graph,", 9) == 0) {
        snprintf(answer, sizeof(answer), "40/graph,{\"sid\":\"bare%d\"}", descriptor);
        return send_text(descriptor, answer);
    }
    return size > 2 && memcmp(text, "42", 2) == 0 ? on_join(descriptor, text, size) : true;
}

// The bench's frames are of a few dozen bytes.
static bool on_frames(int descriptor, unsigned char *bytes, size_t size)
{
    while (size > 0) {
        size_t payload = size > 6 ? bytes[1] & 0x7f : 126;
        if (payload > 125 || size < 6 + payload)
            return false;
        for (size_t i = 0; i < payload; i++)
            bytes[6 + i] ^= bytes[2 + (i & 3)];
        if (bytes[0] == 0x81 && !on_packet(descriptor, (char *)bytes + 6, payload))
            return false;
        bytes += 6 + payload;
        size -= 6 + payload;
    }
    return true;
}

static void on_client(int descriptor, uint32_t events)
{
    unsigned char bytes[2048];
    if (!clients[descriptor].is_open)
        return;
    if ((events & EPOLLOUT) && (!send_owed(descriptor) || !(events & ~(uint32_t)EPOLLOUT)))
        return;
    ssize_t size = recv(descriptor, bytes, sizeof(bytes), 0);
    if (size < 0 && errno == EAGAIN)
        return;
    bool is_well =
        size > 0 && (clients[descriptor].is_upgraded ? on_frames(descriptor, bytes, (size_t)size)
                                                     : on_handshake(descriptor));
    if (!is_well)
        close_client(descriptor);
}

static void accept_clients(int listener)
{
    const int on = 1;
    for (;;) {
        int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor < 0)
            return;
        if ((size_t)descriptor >= client_max) {
            close(descriptor);
            continue;
        }
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        clients[descriptor] = (client_t){.is_open = true};
        watch(EPOLL_CTL_ADD, descriptor, EPOLLIN, TAG_CLIENT + (uint32_t)descriptor);
    }
}

// ---- Events

static void on_control(int descriptor)
{
    ssize_t size = read(descriptor, input + input_size, INPUT_BYTES - input_size);
    if (size <= 0) {
        close(descriptor);
        input_size = 0;
        return;
    }
    input_size += (size_t)size;
    char *line = input, *end = input + input_size, *newline;
    while ((newline = memchr(line, '\n', (size_t)(end - line)))) {
        char *space = memchr(line, ' ', (size_t)(newline - line));
        room_t *room = space ? find_room(line, (size_t)(space - line)) : NULL;
        if (room)
            append_event(room, space + 1, (size_t)(newline - space - 1));
        line = newline + 1;
    }
    input_size = (size_t)(end - line);
    if (input_size == INPUT_BYTES)
        input_size = 0;
    memmove(input, line, input_size);
}

static void on_bus(void)
{
    zmq_msg_t name, json;
    for (int i = 0; i < MESSAGES_PER_TURN; i++) {
        zmq_msg_init(&name);
        if (zmq_msg_recv(&name, bus, ZMQ_DONTWAIT) < 0)
            return;
        zmq_msg_init(&json);
        if (zmq_msg_recv(&json, bus, ZMQ_DONTWAIT) >= 0) {
            room_t *room = find_room(zmq_msg_data(&name), zmq_msg_size(&name));
            if (room)
                append_event(room, zmq_msg_data(&json), zmq_msg_size(&json));
        }
        zmq_msg_close(&json);
        zmq_msg_close(&name);
    }
}

// Its descriptor tells of changes alone.
static bool bus_has_more(void)
{
    int events = 0;
    size_t size = sizeof(events);
    return bus && zmq_getsockopt(bus, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN);
}

static void open_bus(const char *endpoint)
{
    int descriptor, unbounded = 0;
    size_t size = sizeof(descriptor);
    bus = zmq_socket(zmq_ctx_new(), ZMQ_SUB);
    if (!bus || zmq_setsockopt(bus, ZMQ_RCVHWM, &unbounded, sizeof(unbounded)) != 0 ||
        zmq_setsockopt(bus, ZMQ_SUBSCRIBE, "", 0) != 0 || zmq_connect(bus, endpoint) != 0 ||
        zmq_getsockopt(bus, ZMQ_FD, &descriptor, &size) != 0)
        die("ZeroMQ");
    watch(EPOLL_CTL_ADD, descriptor, EPOLLIN, TAG_BUS);
}

static int open_control(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || strlen(path) >= sizeof(address.sun_path))
        die("control");
    memcpy(address.sun_path, path, strlen(path));
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 8) != 0)
        die(path);
    input = checked(malloc(INPUT_BYTES));
    watch(EPOLL_CTL_ADD, listener, EPOLLIN, TAG_CONTROL_LISTENER);
    return listener;
}

static int open_listener(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, SOMAXCONN) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0)
        die("listen");
    watch(EPOLL_CTL_ADD, listener, EPOLLIN, TAG_LISTENER);
    printf("bare_core listening on http://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static void allow_clients(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("limit");
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    client_max = limit.rlim_cur > 1 << 20 ? 1 << 20 : limit.rlim_cur;
    clients = checked(calloc(client_max, sizeof(*clients)));
}

static void serve(int listener, int control_listener)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int control = -1;
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS_PER_TURN, bus_has_more() ? 0 : -1);
        for (int i = 0; i < count; i++) {
            uint32_t tag = events[i].data.u32;
            if (tag >= TAG_CLIENT) {
                on_client((int)(tag - TAG_CLIENT), events[i].events);
            } else if (tag == TAG_LISTENER) {
                accept_clients(listener);
            } else if (tag == TAG_CONTROL_LISTENER) {
                control = accept4(control_listener, NULL, NULL, SOCK_CLOEXEC);
                if (control >= 0)
                    watch(EPOLL_CTL_ADD, control, EPOLLIN, TAG_CONTROL);
            } else if (tag == TAG_CONTROL) {
                on_control(control);
            }
        }
        if (bus)
            on_bus();
        flush();
    }
}

int main(int argc, char **argv)
{
    int control_listener = -1;
    bool has_bus = argc == 3 && strcmp(argv[1], "zmq") == 0;
    if (argc != 2 && !has_bus) {
        fprintf(stderr, "usage: bare_core PATH | bare_core zmq ENDPOINT\n");
        return 2;
    }
    allow_clients();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        die("epoll");
    if (has_bus)
        open_bus(argv[2]);
    else
        control_listener = open_control(argv[1]);
    serve(open_listener(), control_listener);
}
