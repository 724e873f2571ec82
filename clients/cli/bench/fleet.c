// SPDX-License-Identifier: MIT
// Everything is read through one buffer; what is not whole at its end is stashed with the client.
#include "clients/cli/bench/fleet.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clients/cli/report.h"
#include "common/descriptor_limit.h"

enum {
    BUFFER_BYTES = 4 << 20, // holds the largest event
    READ_BYTES = 256 << 10,
    EVENTS_PER_TURN = 512,
    PENDING_MAX = 256,      // below the backlog of every server
    SPARE_DESCRIPTORS = 64, // for the bus and the standard ones
};

static bool raise_limit(size_t clients)
{
    uint64_t limit = tl_descriptor_limit_raise();
    if (limit >= clients + SPARE_DESCRIPTORS)
        return true;
    report("%zu clients need more descriptors than the limit of this process, %llu: raise it "
           "(ulimit -n) or take fewer",
           clients, (unsigned long long)limit);
    return false;
}

bool fleet_init(fleet_t *fleet, const target_t *target, const transport_t *transport,
                const emitter_plan_t *plan, const emitter_t *emitter, const char *name,
                const char *origin)
{
    *fleet = (fleet_t){.target = target,
                       .transport = transport,
                       .plan = plan,
                       .emitter = emitter,
                       .epoll = -1,
                       .client_count = plan->clients,
                       .measure_from = UINT64_MAX};
    if (!raise_limit(plan->clients))
        return false;
    packet_format_init(&fleet->format, name, origin);
    fleet->clients = calloc(plan->clients, sizeof(*fleet->clients));
    fleet->buffer = malloc(BUFFER_BYTES);
    fleet->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!fleet->clients || !fleet->buffer || fleet->epoll < 0) {
        report("cannot make %zu clients: %s", fleet->client_count, strerror(errno));
        fleet_fini(fleet);
        return false;
    }
    for (size_t i = 0; i < plan->clients; i++) {
        fleet->clients[i] = (client_t){.descriptor = -1, .index = (uint32_t)i};
        order_init(&fleet->clients[i].order, i % plan->rooms);
    }
    return true;
}

static void drop(fleet_t *fleet, client_t *client)
{
    if (client->descriptor >= 0)
        close(client->descriptor);
    client->descriptor = -1;
    free(client->stash);
    client->stash = NULL;
    client->stash_size = 0;
    fleet->transport->fini(client);
}

void fleet_fini(fleet_t *fleet)
{
    for (size_t i = 0; fleet->clients && i < fleet->client_count; i++)
        drop(fleet, &fleet->clients[i]);
    if (fleet->epoll >= 0)
        close(fleet->epoll);
    free(fleet->clients);
    free(fleet->buffer);
    fleet->clients = NULL;
    fleet->buffer = NULL;
    fleet->epoll = -1;
}

void fleet_fail(fleet_t *fleet, client_t *client, const char *format, ...)
{
    static const char *const doing[] = {
        "starting", "connecting", "opening", "entering the namespace",
        "joining",  "listening",  "gone"};
    if (client->state == CLIENT_GONE)
        return;
    if (!fleet->reason[0]) {
        va_list arguments;
        int size = snprintf(fleet->reason, sizeof(fleet->reason),
                            "client %u, while %s: ", client->index, doing[client->state]);
        va_start(arguments, format);
        vsnprintf(fleet->reason + size, sizeof(fleet->reason) - (size_t)size, format, arguments);
        va_end(arguments);
    }
    if (client->state == CLIENT_LIVE)
        fleet->counts.live--;
    else
        fleet->pending--;
    fleet->counts.gone++;
    client->state = CLIENT_GONE;
    drop(fleet, client);
}

bool fleet_write(fleet_t *fleet, client_t *client, const char *bytes, size_t size)
{
    ssize_t written = send(client->descriptor, bytes, size, MSG_NOSIGNAL);
    if (written == (ssize_t)size)
        return true;
    fleet_fail(fleet, client, "cannot send: %s",
               written < 0 ? strerror(errno) : "the server does not read");
    return false;
}

static bool watch(const fleet_t *fleet, const client_t *client, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u32 = client->index};
    return epoll_ctl(fleet->epoll, operation, client->descriptor, &event) == 0;
}

void fleet_connect_more(fleet_t *fleet)
{
    while (fleet->started < fleet->client_count && fleet->pending < PENDING_MAX) {
        client_t *client = &fleet->clients[fleet->started];
        client->descriptor = target_connect(fleet->target, fleet->started);
        fleet->started++;
        fleet->pending++;
        client->state = CLIENT_CONNECTING;
        if (client->descriptor < 0 || !watch(fleet, client, EPOLL_CTL_ADD, EPOLLOUT))
            fleet_fail(fleet, client, "%s", strerror(errno));
    }
}

static void on_connected(fleet_t *fleet, client_t *client)
{
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(client->descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    if (!error && !watch(fleet, client, EPOLL_CTL_MOD, EPOLLIN))
        error = errno;
    if (error) {
        fleet_fail(fleet, client, "%s", strerror(error));
        return;
    }
    client->state = CLIENT_OPENING;
    fleet->transport->start(fleet, client);
}

// Keeps what is left for the next read. `rest` may lie in the buffer alone. Not a tl_buffer: each
// of very many clients keeps exactly what it needs, and mostly nothing.
static bool stash(fleet_t *fleet, client_t *client, const char *rest, size_t size)
{
    if (size == 0) {
        free(client->stash);
        client->stash = NULL;
    } else {
        char *kept = realloc(client->stash, size);
        if (!kept || size > BUFFER_BYTES - READ_BYTES) {
            client->stash = kept ? kept : client->stash;
            fleet_fail(fleet, client, kept ? "a message is too large" : "out of memory");
            return false;
        }
        memcpy(kept, rest, size);
        client->stash = kept;
    }
    client->stash_size = (uint32_t)size;
    return true;
}

static void on_readable(fleet_t *fleet, client_t *client)
{
    size_t before = client->stash_size;
    ssize_t size = recv(client->descriptor, fleet->buffer + before, READ_BYTES, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0) {
        fleet_fail(fleet, client, "%s", size < 0 ? strerror(errno) : "the server closed it");
        return;
    }
    fleet->now = emitter_time(fleet->emitter);
    fleet->counts.bytes += (uint64_t)size;
    fleet->counts.reads++;
    if (before > 0)
        memcpy(fleet->buffer, client->stash, before);
    size_t whole = before + (size_t)size;
    ptrdiff_t consumed = fleet->transport->consume(fleet, client, fleet->buffer, whole);
    if (consumed >= 0 && client->state != CLIENT_GONE && (before > 0 || (size_t)consumed < whole))
        stash(fleet, client, fleet->buffer + consumed, whole - (size_t)consumed);
}

bool fleet_turn(fleet_t *fleet, int timeout_ms)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int count = epoll_wait(fleet->epoll, events, EVENTS_PER_TURN, timeout_ms);
    if (count < 0 && errno != EINTR) {
        report("cannot wait for the server: %s", strerror(errno));
        return false;
    }
    for (int i = 0; i < count; i++) {
        client_t *client = &fleet->clients[events[i].data.u32];
        if (client->state == CLIENT_CONNECTING)
            on_connected(fleet, client);
        else if (client->state != CLIENT_GONE)
            on_readable(fleet, client);
    }
    return true;
}

static void enter(fleet_t *fleet, client_t *client)
{
    char packet[CLIENT_OUTBOX_MAX];
    client->state = CLIENT_ENTERING;
    int size = snprintf(packet, sizeof(packet), "40%s", fleet->format.address);
    fleet->transport->send(fleet, client, packet, (size_t)size);
}

static void join(fleet_t *fleet, client_t *client)
{
    char room[SINK_ROOM_MAX], packet[CLIENT_OUTBOX_MAX];
    emitter_room(fleet->plan, client->index % fleet->plan->rooms, room);
    client->state = CLIENT_JOINING;
    int size = snprintf(packet, sizeof(packet), "42%s[\"join_session\",{\"session_id\":\"%s\"}]",
                        fleet->format.address, room);
    fleet->transport->send(fleet, client, packet, (size_t)size);
}

static void on_event(fleet_t *fleet, client_t *client, const packet_t *packet)
{
    fleet->counts.events++;
    fleet->counts.in_place += order_receive(&client->order, fleet->plan->rooms, packet->number);
    if (packet->time >= fleet->measure_from)
        histogram_add(&fleet->latency, fleet->now > packet->time ? fleet->now - packet->time : 0);
}

void fleet_on_packet(fleet_t *fleet, client_t *client, const char *text, size_t size)
{
    packet_t packet = packet_read(&fleet->format, text, size);
    if (packet.kind == PACKET_EVENT) {
        on_event(fleet, client, &packet);
    } else if (packet.kind == PACKET_PING) {
        fleet->transport->send(fleet, client, "3", 1);
    } else if (packet.kind == PACKET_OPEN && client->state == CLIENT_OPENING) {
        enter(fleet, client);
    } else if (packet.kind == PACKET_CONNECTED && client->state == CLIENT_ENTERING) {
        join(fleet, client);
    } else if (packet.kind == PACKET_JOINED && client->state == CLIENT_JOINING) {
        client->state = CLIENT_LIVE;
        fleet->pending--;
        fleet->counts.live++;
    } else if (packet.kind == PACKET_REFUSED || packet.kind == PACKET_CLOSE) {
        fleet_fail(fleet, client, "the server says %.*s", size > 160 ? 160 : (int)size, text);
    } else {
        fleet->counts.others++;
    }
}
