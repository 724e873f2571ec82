// SPDX-License-Identifier: MIT
// The ZeroMQ transport's life and its share of the bus thread.
#include "bus/src/zmq/pub/publish.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include <talus/error.h>

#include "bus/src/base/log.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/pub/heads.h"
#include "bus/src/zmq/pub/instance.h"
#include "bus/src/zmq/pub/send.h"
#include "bus/src/zmq/pub/sockets.h"
#include "bus/src/zmq/pub/subscriptions.h"
#include "bus/src/zmq/pub/wait.h"
#include "common/clock.h"
#include "common/name_hash.h"

#define FIRST_REPEAT_MS     1000
#define EVERYTHING_LATER_MS 50
#define AWAITED_MOST        1024 // subscribers; more are not waited for
#define HOLD_MS             500  // for first events, until those who live are ready
#define LATE_MS             300  // for one that was ready late to ask for what it missed
#define SERVE_SLICE_MS      10

// ---- Opening

static void init(struct talus__zmq_publish *bus, const struct talus__publish_options *options)
{
    const talus_broadcaster_options_t *given = options->options;

    *bus = (struct talus__zmq_publish){.base = {.ops = &talus__zmq_publish_ops},
                                       .origin = options->origin,
                                       .source = options->source,
                                       .is_everyone_ready = true,
                                       .router_fd = -1,
                                       .heartbeat_ms = given->heartbeat_ms,
                                       .heartbeat_timeout_ms = given->heartbeat_timeout_ms,
                                       .replay = {.origin = options->origin,
                                                  .endpoint = "",
                                                  .source = options->source,
                                                  .newest = &bus->newest,
                                                  .stall_ms = given->replay_stall_ms}};
    talus__repeats_init(&bus->repeats, FIRST_REPEAT_MS, given->history_age_ms);
    talus__ready_init(&bus->ready);
    talus__names_init(&bus->heads_due, TALUS__SUBSCRIPTIONS_PER_TURN);
    talus__names_init(&bus->awaited, AWAITED_MOST);
    talus__replay_init(&bus->replay);
}

static void fini(struct talus__zmq_publish *bus)
{
    talus__replay_fini(&bus->replay);
    talus__names_fini(&bus->awaited);
    talus__names_fini(&bus->heads_due);
    talus__ready_fini(&bus->ready);
    talus__ledger_fini(&bus->ledger);
    free(bus->endpoint);
}

static int on_subscriber(const char *name, void *arg)
{
    struct talus__zmq_publish *bus = arg;
    bool is_new;

    // One for whom there is no room asks for what it misses.
    if (talus__names_add(&bus->awaited, name, strlen(name), &is_new) == 0)
        bus->hold_until = tl_monotonic_ms() + HOLD_MS;
    return 0;
}

// What is emitted at once waits until the subscribers that live are ready for it, for half a second
// at most: else it would go nowhere, and be asked for later.
static void hold_for_subscribers(struct talus__zmq_publish *bus)
{
    for (size_t i = 0; i < bus->attachments.count; i++) {
        const char *directory = bus->attachments.items[i].directory;
        if (directory)
            talus__directory_scan(directory, TALUS__ROLE_SUBSCRIBER, on_subscriber, bus, NULL);
    }
}

static int attach(struct talus__zmq_publish *bus, const struct talus__endpoints *endpoints,
                  const talus_broadcaster_options_t *given)
{
    const struct talus__attach_options options = {.socket = bus->socket,
                                                  .router = bus->replay.socket,
                                                  .origin = bus->origin,
                                                  .replay = given->replay,
                                                  .directory_mode = given->directory_mode,
                                                  .ledger = &bus->ledger,
                                                  .queue_events = given->queue_events};

    int error = talus__attach(&bus->attachments, endpoints, &options);
    if (error)
        return error;
    bus->endpoint = talus__attachments_text(&bus->attachments);
    if (!bus->endpoint) {
        talus__detach(&bus->attachments, false);
        return TALUS_ENOMEM;
    }
    return 0;
}

// ZeroMQ's own. Does not fail: the socket is open.
static int descriptor_of(void *socket)
{
    int fd = -1;
    size_t size = sizeof fd;

    zmq_getsockopt(socket, ZMQ_FD, &fd, &size);
    return fd;
}

static bool has_replay(const talus_broadcaster_options_t *options)
{
    return !options->replay || options->replay[0];
}

static void close_sockets(struct talus__zmq_publish *bus, int linger_ms)
{
    if (bus->socket)
        talus__socket_close(bus->socket, linger_ms);
    if (bus->replay.socket)
        talus__socket_close(bus->replay.socket, linger_ms);
    bus->socket = NULL;
    bus->replay.socket = NULL;
}

// Opens and attaches the sockets.
static int open_sockets(struct talus__zmq_publish *bus, const struct talus__endpoints *endpoints,
                        const talus_broadcaster_options_t *given)
{
    void *context = talus__context_ref();
    if (!context)
        return TALUS_ESYSTEM;
    bus->socket = talus__xpub_open(context, given);
    if (bus->socket && has_replay(given))
        bus->replay.socket = talus__router_open(context, given);
    int error = bus->socket && (bus->replay.socket || !has_replay(given)) ? 0 : TALUS_ESYSTEM;
    if (!error)
        error = attach(bus, endpoints, given);
    if (error) {
        int saved = errno;
        close_sockets(bus, 0);
        talus__context_unref();
        errno = saved;
        return error;
    }
    bus->socket_fd = descriptor_of(bus->socket);
    bus->router_fd = bus->replay.socket ? descriptor_of(bus->replay.socket) : -1;
    return 0;
}

static int open_bus(struct talus__publish_transport **transport,
                    const struct talus__publish_options *options)
{
    struct talus__endpoints endpoints;
    int error = talus__endpoints_parse(options->endpoint, true, &endpoints);
    if (error)
        return error;
    struct talus__zmq_publish *bus = malloc(sizeof *bus);
    error = bus ? 0 : TALUS_ENOMEM;
    if (!error) {
        init(bus, options);
        error = open_sockets(bus, &endpoints, options->options);
        if (error)
            fini(bus);
    }
    talus__endpoints_fini(&endpoints);
    if (error) {
        free(bus);
        return error;
    }
    hold_for_subscribers(bus);
    bus->replay.endpoint = bus->attachments.replay;
    bus->base.endpoint = bus->endpoint;
    if (bus->ledger.header)
        bus->base.journal = (struct talus__publish_journal){
            .ring = bus->ledger.ring, .mask = bus->ledger.ring_mask, .key = bus->ledger.key};
    *transport = &bus->base;
    return 0;
}

// ---- Events

// Whether events wait in the queue for the subscribers that lived at the start.
static bool is_holding(struct talus__zmq_publish *bus, const struct talus__publish_backlog *backlog)
{
    if (bus->hold_until == 0)
        return false;
    bool is_time = atomic_load_explicit(&bus->closing, memory_order_acquire) ||
                   tl_monotonic_ms() < bus->hold_until;
    if (is_time && !backlog->is_pressed && !backlog->is_ending &&
        talus__names_count(&bus->awaited) > 0)
        return true;
    bus->hold_until = 0;
    return false;
}

static struct talus__publish_room room(struct talus__publish_transport *transport,
                                       const struct talus__publish_backlog *backlog)
{
    struct talus__zmq_publish *bus = talus__zmq_publish_of(transport);

    bus->is_held = is_holding(bus, backlog);
    return bus->is_held ? (struct talus__publish_room){0}
                        : (struct talus__publish_room){.events = SIZE_MAX, .bytes = SIZE_MAX};
}

static void send_event(struct talus__zmq_publish *bus, const struct talus__publish_event *event)
{
    uint64_t seq = event->message->seq; // the message may be gone after the send
    struct talus__zmq_session *session =
        event->session ? talus__publish_state(event->session) : NULL;

    // Before the send: what is not in the ledger was not sent.
    if (bus->ledger.header) {
        uint32_t anywhere = 0;
        talus__ledger_note(&bus->ledger, event->session_hash,
                           session ? &session->ledger_slot : &anywhere, seq);
    }
    if (session)
        talus__repeats_note(&bus->repeats, &session->repeat, bus->now);
    if (talus__send_message(bus->socket, event->message) == 0) {
        talus__count_one(&bus->sent);
    } else {
        talus__count_one(&bus->send_failed);
        talus__log(TALUS_LOG_ERROR, "event %s.%llu was not sent: %s", bus->origin,
                   (unsigned long long)seq, zmq_strerror(errno));
    }
    bus->newest = seq;
    talus__ledger_sent(&bus->ledger, seq);
}

static void send_events(struct talus__publish_transport *transport,
                        const struct talus__publish_event *events, size_t count, long long now)
{
    struct talus__zmq_publish *bus = talus__zmq_publish_of(transport);

    bus->now = now;
    for (size_t i = 0; i < count; i++)
        send_event(bus, &events[i]);
    // A moment after the sessions' heads, as in their midst a full queue could drop it each time.
    talus__repeats_note(&bus->repeats, &bus->everything, now + EVERYTHING_LATER_MS);
}

// What ZeroMQ has is settled.
static uint64_t settled(struct talus__publish_transport *transport)
{
    return talus__zmq_publish_of(transport)->newest;
}

static void forget(struct talus__publish_transport *transport,
                   struct talus__publish_session *session, uint64_t watermark)
{
    struct talus__zmq_publish *bus = talus__zmq_publish_of(transport);
    struct talus__zmq_session *state = talus__publish_state(session);

    talus__repeats_drop(&state->repeat);
    talus__ledger_forget(&bus->ledger,
                         tl_name_hash(bus->ledger.key, session->name, session->name_size),
                         state->ledger_slot, watermark);
}

// ---- Turns
//
// A look at a socket costs system calls, so none is read each turn: both are when there are no
// events, and else once a millisecond. ZeroMQ's descriptor tells of new commands alone, and a send
// takes them in: so a socket is read until it is empty between its last send and a sleep.

// Returns whether there may be more to do at once.
static bool look_at_sockets(struct talus__zmq_publish *bus)
{
    if (bus->now >= bus->look_at)
        bus->replay.is_drained = false;
    bool is_busy = talus__read_subscriptions(bus);
    talus__answer_heads(bus);
    is_busy |= talus__replay_run(&bus->replay, bus->now);
    bus->look_at = is_busy ? bus->now : bus->now + 1;
    return is_busy;
}

static bool turn(struct talus__publish_transport *transport, const struct talus__publish_turn *now)
{
    struct talus__zmq_publish *bus = talus__zmq_publish_of(transport);

    bus->now = now->now;
    if (now->fd_count > 1 && now->fds[1].revents != 0)
        bus->replay.is_drained = false;
    bool has_more = talus__repeat_heads(bus);
    talus__beat(bus);
    bool is_busy = now->is_busy || has_more;
    if (!is_busy || bus->now >= bus->look_at)
        has_more |= look_at_sockets(bus);
    return has_more;
}

static size_t poll_fds(struct talus__publish_transport *transport, struct pollfd *fds)
{
    const struct talus__zmq_publish *bus = talus__zmq_publish_of(transport);

    fds[0] = (struct pollfd){.fd = bus->socket_fd, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = bus->router_fd, .events = POLLIN}; // poll passes over -1
    return 2;
}

static long long due(struct talus__publish_transport *transport)
{
    struct talus__zmq_publish *bus = talus__zmq_publish_of(transport);
    long long at = talus__repeats_due(&bus->repeats);

    at = tl_earlier(at, bus->replay.retry_at);
    at = tl_earlier(at, bus->beat_at);
    at = tl_earlier(at, bus->tick_at);
    // At the end first events wait beyond that; a subscription or the stop wakes the thread.
    if (bus->is_held && !atomic_load_explicit(&bus->closing, memory_order_acquire))
        at = tl_earlier(at, bus->hold_until);
    return at;
}

// ---- The end

// A subscriber that was ready only after events were sent asks for them now: serves it.
static void serve_late(struct talus__zmq_publish *bus, long long deadline)
{
    struct pollfd fds[TALUS__PUBLISH_FDS];
    nfds_t count = (nfds_t)poll_fds(&bus->base, fds);
    uint64_t requests = bus->replay.requests;
    long long since = bus->late_ready_at;

    if (since == 0)
        return;
    while ((bus->now = tl_monotonic_ms()) < deadline && bus->now < since + LATE_MS) {
        bus->look_at = bus->now;
        if (!look_at_sockets(bus))
            poll(fds, count, SERVE_SLICE_MS);
        if (bus->replay.requests != requests)
            since = bus->now;
        requests = bus->replay.requests;
    }
}

// Closes the sockets, which go on sending.
static void finish(struct talus__publish_transport *transport, long long deadline, bool is_complete)
{
    struct talus__zmq_publish *bus = talus__zmq_publish_of(transport);
    bool has_inproc = strstr(bus->endpoint, "inproc://") != NULL; // its reading is not waited for

    serve_late(bus, deadline);
    struct talus__leave *leave = talus__take_leave(bus, deadline, is_complete);
    while (tl_monotonic_ms() < deadline && talus__replay_run(&bus->replay, tl_monotonic_ms()))
        ;
    if (!has_inproc)
        talus__leave_wait(leave, deadline);
    talus__leave_free(leave);
    long long left = deadline - tl_monotonic_ms();
    close_sockets(bus, left > 0 ? (int)left : 0);
}

static void close_bus(struct talus__publish_transport *transport, enum talus__publish_end end)
{
    struct talus__zmq_publish *bus = talus__zmq_publish_of(transport);

    if (end == TALUS__END_FORKED) {
        // The bus thread does not exist here, and may have been in the middle of anything: what it
        // and the mutexes guard is left alone.
        talus__detach(&bus->attachments, true);
        free(bus->endpoint);
        free(bus);
        return;
    }
    close_sockets(bus, 0); // if the bus thread was not started
    talus__context_unref();
    if (end == TALUS__END_UNFINISHED)
        talus__attachments_abandon(&bus->attachments);
    talus__detach(&bus->attachments, false);
    fini(bus);
    free(bus);
}

// ---- For any thread

static uint64_t value_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void stats(struct talus__publish_transport *transport, talus_broadcaster_stats_t *stats)
{
    const struct talus__zmq_publish *bus = talus__zmq_publish_of(transport);

    stats->sent = value_of(&bus->sent);
    stats->send_failed = value_of(&bus->send_failed);
    stats->heads = value_of(&bus->heads);
    stats->subscriptions = value_of(&bus->subscriptions);
    stats->replay_requests = value_of(&bus->replay.requests);
    stats->replay_refused = value_of(&bus->replay.refused);
    stats->replay_events = value_of(&bus->replay.events);
    stats->replay_stalled = value_of(&bus->replay.stalled);
    stats->subscribers = value_of(&bus->ready.count);
    stats->silent = value_of(&bus->ready.silent);
    stats->heartbeats = value_of(&bus->beats);
    stats->heartbeats_ignored = value_of(&bus->heartbeats_ignored);
}

static int wait_subscribers(struct talus__publish_transport *transport, size_t at_least,
                            int timeout_ms, size_t *ready)
{
    return talus__wait_subscribers(talus__zmq_publish_of(transport), at_least, timeout_ms, ready);
}

static bool await_subscribers(struct talus__publish_transport *transport, long long deadline)
{
    return talus__await_ready(talus__zmq_publish_of(transport), deadline);
}

const struct talus__publish_ops talus__zmq_publish_ops = {
    .session_size = sizeof(struct talus__zmq_session),
    .open = open_bus,
    .room = room,
    .send = send_events,
    .settled = settled,
    .forget = forget,
    .turn = turn,
    .poll_fds = poll_fds,
    .due = due,
    .finish = finish,
    .wait_subscribers = wait_subscribers,
    .stats = stats,
    .await_subscribers = await_subscribers,
    .close = close_bus,
};
