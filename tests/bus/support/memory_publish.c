// SPDX-License-Identifier: MIT
// A transport that publishes into memory.
//
// What goes wrong on the bus thread is noted, and fails the test where it looks (memory_check).
#include "tests/bus/support/memory_publish.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <talus/error.h>

#include "bus/src/api/broadcaster.h"
#include "bus/src/codec/body.h"
#include "common/clock.h"

// What it keeps for each session.
struct own {
    uint64_t sent;
    uint64_t forgotten; // 1: it may not be used any more
};

struct flight {
    size_t bytes;
    long long due; // when it is settled
};

struct memory {
    struct talus__publish_transport base; // first
    const struct talus__publish_source *source;
    int wake;
    pthread_t thread; // the bus thread's, from its first call on
    bool has_thread;
    size_t room_events; // promised and not used
    size_t room_bytes;
    size_t settled; // events
    size_t in_flight_bytes;
    uint64_t failed;
    uint64_t wanted; // seq up to which the test settles
    struct memory_replay *replay;
    struct talus__cursor cursor;
    bool is_replaying; // the cursor is open
    bool is_paused;
    struct flight flights[MEMORY_EVENTS_MAX];
};

// Guarded by the mutex: the test and the bus thread meet here.
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct memory_script script;
    struct memory_event events[MEMORY_EVENTS_MAX];
    size_t sent;
    struct memory_counts counts;
    struct memory *transport; // NULL: none is open
    char broken[128];         // the first breach of the contract
} shared = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct memory *lock(struct talus__publish_transport *transport)
{
    pthread_mutex_lock(&shared.mutex);
    return (struct memory *)transport;
}

static void unlock(void)
{
    pthread_cond_broadcast(&shared.changed);
    pthread_mutex_unlock(&shared.mutex);
}

static void expect(bool is_kept, const char *what)
{
    if (!is_kept && !shared.broken[0])
        strncpy(shared.broken, what, sizeof shared.broken - 1);
}

// Locks, too.
static struct memory *on_bus_thread(struct talus__publish_transport *transport)
{
    struct memory *memory = lock(transport);

    if (!memory->has_thread)
        memory->thread = pthread_self();
    memory->has_thread = true;
    expect(pthread_equal(memory->thread, pthread_self()), "a call on another thread");
    expect(!shared.counts.is_finished, "a call after finish");
    return memory;
}

static void wake(struct memory *memory)
{
    const uint64_t one = 1;

    expect(write(memory->wake, &one, sizeof one) == sizeof one, "the wake-up cannot be written");
}

// ---- The transport

static const struct talus__publish_ops memory_ops;

static int open_memory(struct talus__publish_transport **transport,
                       const struct talus__publish_options *options)
{
    struct memory *memory = calloc(1, sizeof *memory);

    pthread_mutex_lock(&shared.mutex);
    int error = shared.script.open_error;
    expect(!shared.transport && memory, "another transport is open");
    if (!error) {
        memory->base.ops = &memory_ops;
        memory->source = options->source;
        memory->base.endpoint = "memory://";
        memory->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        shared.transport = memory;
        *transport = &memory->base;
    } else {
        free(memory);
        errno = ENOANO;
    }
    pthread_mutex_unlock(&shared.mutex);
    return error;
}

static size_t least(size_t one, size_t other)
{
    return one < other ? one : other;
}

static struct talus__publish_room room(struct talus__publish_transport *transport,
                                       const struct talus__publish_backlog *backlog)
{
    struct memory *memory = on_bus_thread(transport);
    const struct memory_script *script = &shared.script;
    struct talus__publish_room room = {.events = MEMORY_EVENTS_MAX - shared.sent,
                                       .bytes = SIZE_MAX};
    size_t in_flight = shared.sent - memory->settled;

    if (script->window_events > 0)
        room.events = least(
            room.events, script->window_events > in_flight ? script->window_events - in_flight : 0);
    if (script->window_bytes > 0)
        room.bytes = script->window_bytes > memory->in_flight_bytes
                         ? script->window_bytes - memory->in_flight_bytes
                         : 0;
    bool is_held = script->is_holding && !backlog->is_pressed && !backlog->is_ending;
    if (script->is_refusing || is_held)
        room.events = 0;
    memory->room_events = room.events;
    memory->room_bytes = room.bytes;
    unlock();
    return room;
}

static void check_event(struct memory *memory, const struct talus__publish_event *event,
                        const struct talus__body *body)
{
    const struct talus__message *message = event->message;
    size_t size = talus__message_size(message);

    expect(memory->room_events > 0 && memory->room_bytes > 0, "more events than there is room for");
    memory->room_events--;
    memory->room_bytes -= least(memory->room_bytes, size);
    expect(body->seq == message->seq, "the body has another seq");
    expect(shared.sent == 0 || body->seq == shared.events[shared.sent - 1].seq + 1,
           "events out of order");
}

static void send_one(struct memory *memory, const struct talus__publish_event *event, long long now)
{
    const struct talus__limits limits = {.max_body = 1u << 20, .max_depth = 32, .max_bin = 10};
    struct talus__message *message = event->message;
    struct memory_event *sent = &shared.events[shared.sent];
    struct talus__body body;

    expect(talus__body_decode(talus__message_body(message), message->body_size, &limits, &body) ==
               0,
           "the body is none");
    check_event(memory, event, &body);
    *sent = (struct memory_event){.seq = body.seq, .prev = body.prev};
    memcpy(sent->session, talus__message_topic(message), message->session_size);
    if (event->session) {
        struct own *own = talus__publish_state(event->session);
        expect(own->forgotten == 0, "an event of a session that is forgotten");
        expect(event->session->name_size == message->session_size &&
                   memcmp(event->session->name, sent->session, message->session_size) == 0,
               "another session's state");
        sent->in_session = ++own->sent;
    }
    memory->flights[shared.sent] =
        (struct flight){.bytes = talus__message_size(message), .due = now + shared.script.delay_ms};
    memory->in_flight_bytes += talus__message_size(message);
    shared.sent++;
    if (shared.script.fail_every > 0 && shared.sent % shared.script.fail_every == 0)
        memory->failed++;
    talus__message_unref(message);
}

static void settle_next(struct memory *memory)
{
    memory->in_flight_bytes -= memory->flights[memory->settled].bytes;
    memory->settled++;
}

static bool may_settle(const struct memory *memory)
{
    if (memory->settled == shared.sent)
        return false;
    switch (shared.script.settling) {
    case MEMORY_SETTLES_AT_ONCE:
        return true;
    case MEMORY_SETTLES_LATE:
        return tl_monotonic_ms() >= memory->flights[memory->settled].due;
    case MEMORY_SETTLES_BY_TEST:
        return shared.events[memory->settled].seq <= memory->wanted;
    }
    return false;
}

static void settle(struct memory *memory)
{
    while (may_settle(memory))
        settle_next(memory);
}

static void send_events(struct talus__publish_transport *transport,
                        const struct talus__publish_event *events, size_t count, long long now)
{
    struct memory *memory = on_bus_thread(transport);

    expect(count > 0 && shared.sent + count <= MEMORY_EVENTS_MAX, "an empty batch, or too many");
    for (size_t i = 0; i < count; i++)
        send_one(memory, &events[i], now);
    shared.counts.batches++;
    settle(memory);
    unlock();
}

static uint64_t settled(struct talus__publish_transport *transport)
{
    const struct memory *memory = on_bus_thread(transport);
    uint64_t seq = memory->settled > 0 ? shared.events[memory->settled - 1].seq : 0;

    unlock();
    return seq;
}

static void forget(struct talus__publish_transport *transport,
                   struct talus__publish_session *session, uint64_t watermark)
{
    on_bus_thread(transport);
    struct own *own = talus__publish_state(session);
    uint64_t sent = 0;
    size_t last = 0;

    for (size_t i = 0; i < shared.sent; i++) {
        bool is_it = strlen(shared.events[i].session) == session->name_size &&
                     memcmp(shared.events[i].session, session->name, session->name_size) == 0;
        if (is_it)
            last = i;
        sent += is_it;
    }
    expect(own->sent > 0 && own->forgotten == 0, "a session that has no events is forgotten");
    expect(sent > 0 && shared.events[last].seq == watermark &&
               shared.events[last].in_session == own->sent,
           "a session is forgotten before its events are sent");
    own->forgotten = 1;
    shared.counts.forgotten++;
    shared.counts.watermark = watermark;
    unlock();
}

// One event of the replay that the test has asked for.
static void replay_step(struct memory *memory)
{
    const struct talus__publish_source *source = memory->source;
    struct memory_replay *replay = memory->replay;

    if (!memory->is_replaying)
        source->open_cursor(source->arg, &memory->cursor, replay->session, strlen(replay->session),
                            replay->after);
    memory->is_replaying = true;
    const struct talus__message *message = memory->cursor.message;
    if (!message) {
        replay->missing_to = source->missing_to(source->arg, &memory->cursor);
        replay->last = source->last(source->arg, replay->session, strlen(replay->session));
        source->close_cursor(source->arg, &memory->cursor);
        memory->is_replaying = false;
        memory->replay = NULL;
        return;
    }
    if (message->seq > memory->cursor.after && replay->count < MEMORY_REPLAY_MAX) {
        replay->seqs[replay->count++] = message->seq;
        memory->is_paused = replay->count == replay->pause_at;
    }
    source->advance_cursor(source->arg, &memory->cursor);
}

static bool turn(struct talus__publish_transport *transport, const struct talus__publish_turn *turn)
{
    struct memory *memory = on_bus_thread(transport);
    uint64_t count;

    expect(turn->fd_count == 0 || turn->fds[0].fd == memory->wake, "other descriptors");
    shared.counts.turns++;
    bool has_more = shared.script.busy_turns > 0;
    if (has_more)
        shared.script.busy_turns--;
    if (turn->fd_count > 0 && turn->fds[0].revents)
        expect(read(memory->wake, &count, sizeof count) == sizeof count, "it was not woken");
    settle(memory);
    if (memory->replay && !memory->is_paused)
        replay_step(memory);
    has_more |= memory->replay && !memory->is_paused;
    unlock();
    return has_more;
}

static size_t poll_fds(struct talus__publish_transport *transport, struct pollfd *fds)
{
    const struct memory *memory = on_bus_thread(transport);

    fds[0] = (struct pollfd){.fd = memory->wake, .events = POLLIN};
    unlock();
    return 1;
}

static long long due(struct talus__publish_transport *transport)
{
    const struct memory *memory = on_bus_thread(transport);
    bool is_late = shared.script.settling == MEMORY_SETTLES_LATE && memory->settled < shared.sent;
    long long at = is_late ? memory->flights[memory->settled].due : 0;

    unlock();
    return at;
}

static void finish(struct talus__publish_transport *transport, long long deadline, bool is_complete)
{
    on_bus_thread(transport);
    (void)deadline;
    shared.counts.is_finished = true;
    shared.counts.is_complete = is_complete;
    unlock();
}

static int wait_subscribers(struct talus__publish_transport *transport, size_t at_least,
                            int timeout_ms, size_t *ready)
{
    lock(transport);
    bool is_enough = at_least <= 7;
    unlock();
    (void)timeout_ms;
    if (ready)
        *ready = 7;
    return is_enough ? 0 : TALUS_ENOSUBSCRIBER;
}

static void stats(struct talus__publish_transport *transport, talus_broadcaster_stats_t *stats)
{
    const struct memory *memory = lock(transport);

    stats->sent = shared.sent - memory->failed;
    stats->send_failed = memory->failed;
    unlock();
}

static bool await_subscribers(struct talus__publish_transport *transport, long long deadline)
{
    lock(transport);
    (void)deadline;
    bool is_ready = !shared.script.is_nobody_ready;
    unlock();
    return is_ready;
}

static void close_memory(struct talus__publish_transport *transport, enum talus__publish_end end)
{
    struct memory *memory = lock(transport);

    shared.counts.is_closed = true;
    shared.counts.end = end;
    shared.transport = NULL;
    close(memory->wake);
    free(memory);
    unlock();
}

static const struct talus__publish_ops memory_ops = {
    .session_size = sizeof(struct own),
    .open = open_memory,
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
    .close = close_memory,
};

// ---- For the test

static int open_on(talus_broadcaster_t **bus, const talus_broadcaster_options_t *options,
                   const struct memory_script *script)
{
    pthread_mutex_lock(&shared.mutex);
    shared.script = *script;
    shared.sent = 0;
    shared.counts = (struct memory_counts){0};
    shared.broken[0] = '\0';
    pthread_mutex_unlock(&shared.mutex);
    return talus__broadcaster_new_on(bus, &memory_ops, NULL, options);
}

void memory_open(talus_broadcaster_t **bus, const talus_broadcaster_options_t *options,
                 const struct memory_script *script)
{
    assert_int_equal(open_on(bus, options, script), 0);
}

int memory_open_error(const struct memory_script *script)
{
    talus_broadcaster_options_t options;
    talus_broadcaster_t *bus = NULL;

    talus_broadcaster_options_init(&options);
    int error = open_on(&bus, &options, script);
    assert_int_equal(errno, ENOANO);
    assert_null(bus);
    return error;
}

void memory_change(const struct memory_script *script)
{
    pthread_mutex_lock(&shared.mutex);
    shared.script = *script;
    wake(shared.transport);
    unlock();
}

void memory_settle(uint64_t seq)
{
    pthread_mutex_lock(&shared.mutex);
    shared.transport->wanted = seq;
    wake(shared.transport);
    unlock();
}

// Waits, with the mutex held, for something to change. False: the time is over.
static bool wait_changed(const struct timespec *deadline)
{
    return pthread_cond_timedwait(&shared.changed, &shared.mutex, deadline) == 0;
}

static struct timespec deadline(void)
{
    struct timespec at;

    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += MEMORY_DEADLINE_MS / 1000;
    return at;
}

void memory_wait_sent(size_t count)
{
    const struct timespec at = deadline();

    pthread_mutex_lock(&shared.mutex);
    while (shared.sent < count && wait_changed(&at))
        ;
    size_t sent = shared.sent;
    pthread_mutex_unlock(&shared.mutex);
    if (sent < count)
        fail_msg("only %zu events were sent", sent);
}

size_t memory_sent(void)
{
    pthread_mutex_lock(&shared.mutex);
    size_t sent = shared.sent;
    pthread_mutex_unlock(&shared.mutex);
    return sent;
}

const struct memory_event *memory_event(size_t index)
{
    assert_true(index < memory_sent());
    return &shared.events[index];
}

struct memory_counts memory_counts(void)
{
    pthread_mutex_lock(&shared.mutex);
    struct memory_counts counts = shared.counts;
    pthread_mutex_unlock(&shared.mutex);
    return counts;
}

void memory_replay_start(struct memory_replay *replay)
{
    pthread_mutex_lock(&shared.mutex);
    shared.transport->replay = replay;
    wake(shared.transport);
    unlock();
}

void memory_replay_wait(void)
{
    const struct timespec at = deadline();

    pthread_mutex_lock(&shared.mutex);
    while (shared.transport->replay && !shared.transport->is_paused && wait_changed(&at))
        ;
    bool is_there = !shared.transport->replay || shared.transport->is_paused;
    pthread_mutex_unlock(&shared.mutex);
    assert_true(is_there);
}

void memory_replay_resume(void)
{
    pthread_mutex_lock(&shared.mutex);
    shared.transport->is_paused = false;
    wake(shared.transport);
    unlock();
}

void memory_check(void)
{
    pthread_mutex_lock(&shared.mutex);
    char broken[sizeof shared.broken];
    memcpy(broken, shared.broken, sizeof broken);
    pthread_mutex_unlock(&shared.mutex);
    if (broken[0])
        fail_msg("the contract is broken: %s", broken);
}
