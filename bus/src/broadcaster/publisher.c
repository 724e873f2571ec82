// SPDX-License-Identifier: MIT
// The bus thread.
//
// A head must speak of what went out on this socket, so sessions are advanced here, at the send,
// and not at the emit. A turn of the loop does a bounded amount of each kind of work, so neither
// a flood of events nor one of subscriptions holds up the other.
#include "bus/src/broadcaster/publisher.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include <talus/error.h>

#include "bus/src/base/log.h"
#include "bus/src/base/probes.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/pub/heads.h"
#include "bus/src/zmq/pub/send.h"
#include "bus/src/zmq/pub/subscriptions.h"
#include "bus/src/zmq/sockets.h"

#define EVENTS_PER_TURN     256
#define FIRST_REPEAT_MS     1000
#define EVERYTHING_LATER_MS 50
#define AWAITED_MOST        1024 // subscribers; more are not waited for
#define HOLD_MS             500  // for first events, until those who live are ready
#define LATE_MS             300  // for one that was ready late to ask for what it missed
#define SERVE_SLICE_MS      10

static void on_forget(struct talus__session *session, void *arg)
{
    struct talus__publisher *publisher = arg;

    talus__history_drop(&publisher->history, session);
    talus__repeats_drop(&publisher->repeats, session);
    talus__ledger_forget(
        &publisher->ledger,
        talus__ledger_hash(publisher->ledger.key, session->name, session->node.name_size),
        session->ledger_slot, publisher->sessions.watermark);
}

static int init_replay(struct talus__publisher *publisher,
                       const struct talus__publisher_options *options)
{
    publisher->everything = calloc(1, sizeof *publisher->everything);
    if (!publisher->everything)
        return TALUS_ENOMEM;
    talus__history_init(&publisher->history, &options->history);
    talus__repeats_init(&publisher->repeats, FIRST_REPEAT_MS, options->history.age_ms);
    publisher->replay.origin = options->origin;
    publisher->replay.endpoint = "";
    publisher->replay.sessions = &publisher->sessions;
    publisher->replay.history = &publisher->history;
    publisher->replay.newest = &publisher->newest;
    publisher->replay.stall_ms = options->replay_stall_ms;
    publisher->sessions.on_forget = on_forget;
    publisher->sessions.arg = publisher;
    publisher->history.on_evict = talus__replay_on_evict;
    publisher->history.arg = &publisher->replay;
    int error = talus__replay_init(&publisher->replay);
    if (error)
        free(publisher->everything);
    return error;
}

int talus__publisher_init(struct talus__publisher *publisher,
                          const struct talus__publisher_options *options)
{
    memset(publisher, 0, sizeof *publisher);
    publisher->origin = options->origin;
    publisher->heartbeat_ms = options->heartbeat_ms;
    publisher->heartbeat_timeout_ms = options->heartbeat_timeout_ms;

    int error = talus__queue_init(&publisher->queue, options->queue_events, options->queue_bytes);
    if (error)
        return error;
    error = talus__wakeup_init(&publisher->wakeup);
    if (error)
        goto fail_queue;
    error = talus__ready_init(&publisher->ready);
    if (error)
        goto fail_wakeup;
    error = talus__sessions_init(&publisher->sessions, options->max_sessions);
    if (error)
        goto fail_ready;
    error = talus__names_init(&publisher->heads_due, TALUS__SUBSCRIPTIONS_PER_TURN);
    if (error)
        goto fail_sessions;
    error = talus__names_init(&publisher->awaited, AWAITED_MOST);
    if (error)
        goto fail_names;
    error = init_replay(publisher, options);
    if (error)
        goto fail_awaited;
    talus__waiters_init(&publisher->flushers);
    return 0;

fail_awaited:
    talus__names_fini(&publisher->awaited);
fail_names:
    talus__names_fini(&publisher->heads_due);
fail_sessions:
    talus__sessions_fini(&publisher->sessions);
fail_ready:
    talus__ready_fini(&publisher->ready);
fail_wakeup:
    talus__wakeup_fini(&publisher->wakeup);
fail_queue:
    talus__queue_fini(&publisher->queue);
    return error;
}

void talus__publisher_fini(struct talus__publisher *publisher)
{
    talus__waiters_fini(&publisher->flushers);
    talus__replay_fini(&publisher->replay);
    talus__history_fini(&publisher->history);
    free(publisher->everything);
    talus__ledger_fini(&publisher->ledger);
    talus__names_fini(&publisher->awaited);
    talus__names_fini(&publisher->heads_due);
    talus__sessions_fini(&publisher->sessions);
    talus__ready_fini(&publisher->ready);
    talus__wakeup_fini(&publisher->wakeup);
    talus__queue_fini(&publisher->queue);
}

// ---- Events

static void publish(struct talus__publisher *publisher, struct talus__message *message)
{
    uint64_t seq = message->seq;
    uint64_t prev;
    struct talus__session *session = talus__sessions_advance(
        &publisher->sessions, talus__message_topic(message), message->session_size, seq, &prev);

    // Before the send: what is not in the ledger was not sent.
    if (publisher->ledger.header) {
        uint32_t anywhere = 0;
        talus__ledger_note(&publisher->ledger, message->kept.session_hash,
                           session ? &session->ledger_slot : &anywhere, seq);
    }
    talus__message_set_prev(message, prev);
    talus__history_add(&publisher->history, session, message, publisher->now);
    if (session)
        talus__repeats_note(&publisher->repeats, session, publisher->now);
    // An event that fails here has its place in seq, prev and the history all the same, so its loss
    // is noticed and can be healed.
    TALUS__PROBE5(send, publisher->origin, seq, prev, talus__message_topic(message),
                  message->topic_size);
    if (talus__send_message(publisher->socket, message) == 0) {
        talus__count_one(&publisher->sent);
    } else {
        talus__count_one(&publisher->send_failed);
        talus__log(TALUS_LOG_ERROR, "event %s.%llu was not sent: %s", publisher->origin,
                   (unsigned long long)seq, zmq_strerror(errno));
    }
    publisher->newest = seq;
    talus__ledger_sent(&publisher->ledger, seq);
}

// Whether events wait in the queue for the subscribers that lived at the start.
static bool is_holding(struct talus__publisher *publisher)
{
    if (publisher->hold_until == 0)
        return false;
    uint64_t queued = talus__queue_newest(&publisher->queue) - publisher->newest;
    bool is_roomy = queued <= publisher->queue.mask / 2 &&
                    talus__queue_bytes(&publisher->queue) <= publisher->queue.max_bytes / 2;
    bool is_time = atomic_load_explicit(&publisher->closing, memory_order_acquire) ||
                   talus__monotonic_ms() < publisher->hold_until;
    if (is_roomy && is_time && talus__names_count(&publisher->awaited) > 0)
        return true;
    publisher->hold_until = 0;
    return false;
}

static void show(_Atomic uint64_t *gauge, uint64_t value)
{
    atomic_store_explicit(gauge, value, memory_order_relaxed);
}

static void show_kept(struct talus__publisher *publisher)
{
    show(&publisher->events_kept, publisher->history.events);
    show(&publisher->bytes_kept, publisher->history.bytes);
}

static bool drain_queue(struct talus__publisher *publisher)
{
    int taken = 0;

    if (is_holding(publisher))
        return false;
    for (; taken < EVENTS_PER_TURN; taken++) {
        struct talus__message *message = talus__queue_take(&publisher->queue);
        if (!message)
            break;
        publish(publisher, message);
    }
    if (taken > 0) {
        // A moment after the sessions' heads, as in their midst a full queue could drop it each
        // time.
        talus__repeats_note(&publisher->repeats, publisher->everything,
                            publisher->now + EVERYTHING_LATER_MS);
        show(&publisher->sessions_known, talus__sessions_count(&publisher->sessions));
        show_kept(publisher);
        atomic_store_explicit(&publisher->handled, publisher->newest, memory_order_seq_cst);
        talus__waiters_wake(&publisher->flushers);
    }
    return taken > 0;
}

// ---- The loop
//
// A look at a socket costs system calls, so none is read each turn: both are when there are no
// events, and else once a millisecond. ZeroMQ's descriptor tells of new commands alone, and a send
// takes them in: so a socket is read until it is empty between its last send and a sleep.

// How long it may sleep if nothing happens, in the form that poll takes.
static int timeout_of(struct talus__publisher *publisher)
{
    long long at = talus__repeats_due(&publisher->repeats);

    at = talus__earlier(at, talus__history_due(&publisher->history));
    at = talus__earlier(at, publisher->replay.retry_at);
    at = talus__earlier(at, publisher->beat_at);
    at = talus__earlier(at, publisher->tick_at);
    // At the end first events wait beyond that; a subscription or the stop wakes the thread.
    if (talus__queue_has_message(&publisher->queue) &&
        !atomic_load_explicit(&publisher->closing, memory_order_acquire))
        at = talus__earlier(at, publisher->hold_until);
    if (at == 0)
        return -1;
    long long left = at - talus__monotonic_ms();
    if (left <= 0)
        return 0;
    return left < INT_MAX ? (int)left : INT_MAX;
}

static void sleep_until_woken(struct talus__publisher *publisher)
{
    struct pollfd fds[] = {
        {.fd = publisher->wakeup.fd, .events = POLLIN},
        {.fd = publisher->socket_fd, .events = POLLIN},
        {.fd = publisher->router_fd, .events = POLLIN}, // poll passes over -1
    };

    talus__wakeup_begin_sleep(&publisher->wakeup);
    bool has_events = talus__queue_has_message(&publisher->queue) && !is_holding(publisher);
    if (!has_events && !atomic_load_explicit(&publisher->stopping, memory_order_seq_cst))
        poll(fds, sizeof fds / sizeof fds[0], timeout_of(publisher));
    talus__wakeup_end_sleep(&publisher->wakeup, fds[0].revents != 0);
    if (fds[2].revents != 0)
        publisher->replay.is_drained = false;
}

static bool look_at_sockets(struct talus__publisher *publisher);

// Who was ready only after events were sent asks for them now: that is let happen.
static void serve_late(struct talus__publisher *publisher, long long deadline)
{
    struct pollfd fds[] = {{.fd = publisher->socket_fd, .events = POLLIN},
                           {.fd = publisher->router_fd, .events = POLLIN}};
    uint64_t requests = publisher->replay.requests;
    long long since = publisher->late_ready_at;

    if (since == 0)
        return;
    while ((publisher->now = talus__monotonic_ms()) < deadline &&
           publisher->now < since + LATE_MS) {
        publisher->look_at = publisher->now;
        if (!look_at_sockets(publisher))
            poll(fds, sizeof fds / sizeof fds[0], SERVE_SLICE_MS);
        if (publisher->replay.requests != requests)
            since = publisher->now;
        requests = publisher->replay.requests;
    }
}

// Sends what is left until the deadline, and closes the sockets, which go on sending.
static void finish(struct talus__publisher *publisher)
{
    long long deadline = publisher->deadline;
    unsigned long long unsent = 0;

    publisher->hold_until = 0;
    while (talus__monotonic_ms() < deadline && drain_queue(publisher))
        ;
    unsent = talus__queue_newest(&publisher->queue) - publisher->newest;
    if (unsent > 0)
        talus__log(TALUS_LOG_WARNING, "%s ends with %llu events unsent", publisher->origin, unsent);

    serve_late(publisher, deadline);
    struct talus__farewell *farewell = talus__say_bye(publisher, deadline);
    while (talus__monotonic_ms() < deadline &&
           talus__replay_run(&publisher->replay, talus__monotonic_ms()))
        ;
    if (!publisher->has_inproc)
        talus__farewell_wait(farewell, deadline);
    talus__farewell_free(farewell);
    long long left = deadline - talus__monotonic_ms();
    talus__socket_close(publisher->socket, left > 0 ? (int)left : 0);
    publisher->socket = NULL;
    if (publisher->replay.socket)
        talus__socket_close(publisher->replay.socket, left > 0 ? (int)left : 0);
    publisher->replay.socket = NULL;
}

// Returns whether there may be more to do at once.
static bool look_at_sockets(struct talus__publisher *publisher)
{
    if (publisher->now >= publisher->look_at)
        publisher->replay.is_drained = false;
    bool is_busy = talus__read_subscriptions(publisher);
    talus__answer_heads(publisher);
    is_busy |= talus__replay_run(&publisher->replay, publisher->now);
    publisher->look_at = is_busy ? publisher->now : publisher->now + 1;
    return is_busy;
}

static void *run(void *arg)
{
    struct talus__publisher *publisher = arg;

    while (!atomic_load_explicit(&publisher->stopping, memory_order_acquire)) {
        publisher->now = talus__monotonic_ms();
        bool is_busy = drain_queue(publisher);
        is_busy |= talus__repeat_heads(publisher);
        talus__beat(publisher);
        if (!is_busy || publisher->now >= publisher->look_at)
            is_busy |= look_at_sockets(publisher);
        talus__history_expire(&publisher->history, publisher->now);
        show_kept(publisher);
        if (!is_busy)
            sleep_until_woken(publisher);
    }
    finish(publisher);
    return NULL;
}

// ZeroMQ's own. Does not fail: the socket is open.
static int descriptor_of(void *socket)
{
    int fd = -1;
    size_t size = sizeof fd;

    zmq_getsockopt(socket, ZMQ_FD, &fd, &size);
    return fd;
}

int talus__publisher_start(struct talus__publisher *publisher, void *socket, void *router,
                           const char *replay)
{
    sigset_t all, before;

    publisher->socket = socket;
    publisher->socket_fd = descriptor_of(socket);
    publisher->replay.socket = router;
    publisher->router_fd = router ? descriptor_of(router) : -1;
    publisher->replay.endpoint = replay;
    if (publisher->ledger.header) {
        publisher->queue.ring_mask = publisher->ledger.ring_mask;
        publisher->queue.ring_key = publisher->ledger.key;
        publisher->queue.ring = publisher->ledger.ring;
    }
    // The application's signals are the application's threads'.
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&publisher->thread, NULL, run, publisher);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        errno = failed;
        return TALUS_ESYSTEM;
    }
    pthread_setname_np(publisher->thread, "talus-bus");
    return 0;
}

void talus__publisher_await(struct talus__publisher *publisher, const char *subscriber)
{
    bool is_new;

    // One for whom there is no room asks for what it misses.
    if (talus__names_add(&publisher->awaited, subscriber, strlen(subscriber), &is_new) == 0)
        publisher->hold_until = talus__monotonic_ms() + HOLD_MS;
}

uint64_t talus__publisher_stop(struct talus__publisher *publisher, long long deadline,
                               bool is_ready)
{
    publisher->deadline = deadline;
    publisher->has_farewell = is_ready;
    atomic_store_explicit(&publisher->stopping, true, memory_order_seq_cst);
    talus__wakeup_notify(&publisher->wakeup);
    pthread_join(publisher->thread, NULL);
    return talus__queue_newest(&publisher->queue) - publisher->newest;
}
