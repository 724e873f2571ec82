// SPDX-License-Identifier: MIT
// The bus thread.
//
// A head must speak of what went out on this socket, so sessions are advanced here, at the send,
// and not at the emit. A turn of the loop does a bounded amount of each kind of work, so neither
// a flood of events nor one of subscriptions holds up the other.
#include "publisher.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include <talus/error.h>

#include "body.h"
#include "context.h"
#include "log.h"
#include "send.h"
#include "sockets.h"
#include "wire.h"

#define EVENTS_PER_TURN        256
#define REPEATS_PER_TURN       256
#define FIRST_REPEAT_MS        1000
#define EVERYTHING_LATER_MS    50
#define SUBSCRIPTIONS_PER_TURN 1024
#define AWAITED_MOST           1024 // subscribers; more are not waited for
#define HOLD_MS                500  // for first events, until those who live are ready
#define LATE_MS                300  // for one that was ready late to ask for what it missed
#define SERVE_SLICE_MS         10
#define SUBSCRIPTION_CAPACITY  256 // bytes: longer ones can match no topic

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
    error = talus__names_init(&publisher->heads_due, SUBSCRIPTIONS_PER_TURN);
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

// The counters have one writer, so an add needs no locked instruction.
static void add_one(_Atomic uint64_t *counter)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, value + 1, memory_order_relaxed);
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
    if (talus__send_message(publisher->socket, message) == 0) {
        add_one(&publisher->sent);
    } else {
        add_one(&publisher->send_failed);
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

// ---- Heads

// `every`: of a hello and a beat: milliseconds between beats; else 0.
static void send_marker(struct talus__publisher *publisher, const char *topic, size_t topic_size,
                        uint64_t seq, int every)
{
    uint8_t body[TALUS__HEAD_BODY_MAX];
    const struct talus__head head = {.origin = publisher->origin,
                                     .origin_size = strlen(publisher->origin),
                                     .seq = seq,
                                     .replay = publisher->replay.endpoint,
                                     .replay_size = strlen(publisher->replay.endpoint),
                                     .every = (uint64_t)every};
    size_t size = talus__head_encode(body, sizeof body, &head);

    if (zmq_send(publisher->socket, topic, topic_size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_send(publisher->socket, body, size, ZMQ_DONTWAIT) < 0) {
        talus__log(TALUS_LOG_ERROR, "head %.*s was not sent: %s", (int)topic_size, topic,
                   zmq_strerror(errno));
        return;
    }
    if (every == 0 || publisher->hello_due)
        add_one(&publisher->heads);
}

static void send_head(struct talus__publisher *publisher, const char *topic, size_t topic_size,
                      uint64_t seq)
{
    send_marker(publisher, topic, topic_size, seq, 0);
}

// Says that this broadcaster lives, so that one that stands still is noticed.
static void beat(struct talus__publisher *publisher)
{
    if (publisher->beat_at == 0 || publisher->now < publisher->beat_at)
        return;
    send_marker(publisher, TALUS__BEAT_TOPIC, strlen(TALUS__BEAT_TOPIC), publisher->newest,
                publisher->heartbeat_ms);
    publisher->beat_at = publisher->now + publisher->heartbeat_ms;
}

static void send_session_head(const char *session, size_t size, void *arg)
{
    struct talus__publisher *publisher = arg;
    static const char suffix[] = "/" TALUS__HEAD;
    char topic[TALUS_SESSION_MAX + sizeof suffix];

    memcpy(topic, session, size);
    memcpy(topic + size, suffix, sizeof suffix - 1);
    send_head(publisher, topic, size + sizeof suffix - 1,
              talus__sessions_last(&publisher->sessions, session, size));
}

static void send_everything_head(struct talus__publisher *publisher)
{
    static const char topic[] = TALUS__EVERYTHING "/" TALUS__HEAD;

    send_head(publisher, topic, strlen(topic), publisher->newest);
}

static void repeat_head(struct talus__publisher *publisher, const struct talus__session *session)
{
    if (session == publisher->everything)
        send_everything_head(publisher);
    else
        send_session_head(session->name, session->node.name_size, publisher);
}

static bool repeat_heads(struct talus__publisher *publisher)
{
    const struct talus__session *session = NULL;

    for (int i = 0; i < REPEATS_PER_TURN; i++) {
        session = talus__repeats_take(&publisher->repeats, publisher->now);
        if (!session)
            break;
        repeat_head(publisher, session);
    }
    return session != NULL;
}

// Answers each subscription of this turn once: a head reaches everyone who is on the topic.
static void answer_heads(struct talus__publisher *publisher)
{
    if (publisher->hello_due)
        send_marker(publisher, TALUS__HELLO_TOPIC, strlen(TALUS__HELLO_TOPIC), publisher->newest,
                    publisher->heartbeat_ms);
    if (publisher->everything_due)
        send_everything_head(publisher);
    publisher->hello_due = false;
    publisher->everything_due = false;
    talus__names_drain(&publisher->heads_due, send_session_head, publisher);
}

// ---- Subscriptions

static void note_head(struct talus__publisher *publisher, const char *session, size_t size)
{
    bool is_new;

    // The set is for sparing heads: without memory for it each subscription gets its own.
    if (talus__names_add(&publisher->heads_due, session, size, &is_new) != 0)
        send_session_head(session, size, publisher);
}

static void note_ready(struct talus__publisher *publisher,
                       const struct talus__subscription *subscription, bool is_subscribed)
{
    const char *name = subscription->name;
    size_t size = subscription->name_size;

    if (subscription->origin_size != strlen(publisher->origin) ||
        memcmp(subscription->origin, publisher->origin, subscription->origin_size) != 0)
        return;
    int error = 0;
    talus__names_remove(&publisher->awaited, name, size);
    if (is_subscribed && publisher->newest > 0)
        publisher->late_ready_at = publisher->now;
    if (is_subscribed)
        error = talus__ready_add(&publisher->ready, name, size);
    else
        talus__ready_remove(&publisher->ready, name, size);
    if (error)
        talus__log(TALUS_LOG_WARNING, "subscriber %.*s is not counted as ready: %s", (int)size,
                   name, talus_strerror(error));
    else
        talus__log(TALUS_LOG_DEBUG, "subscriber %.*s %s %s", (int)size, name,
                   is_subscribed ? "is ready for" : "left", publisher->origin);
}

// Beats go out as long as somebody is subscribed to them.
static void note_listeners(struct talus__publisher *publisher, bool is_subscribed)
{
    if (!is_subscribed || publisher->heartbeat_ms == 0)
        publisher->beat_at = 0;
    else if (publisher->beat_at == 0)
        publisher->beat_at = publisher->now + publisher->heartbeat_ms;
}

static void on_subscription(struct talus__publisher *publisher, const uint8_t *frame, size_t size)
{
    struct talus__subscription subscription;
    bool is_subscribed = frame[0] == 1;

    if (is_subscribed)
        add_one(&publisher->subscriptions);
    talus__subscription_parse(frame + 1, size - 1, &subscription);
    if (subscription.kind == TALUS__SUBSCRIPTION_READY) {
        note_ready(publisher, &subscription, is_subscribed);
        return;
    }
    if (subscription.kind == TALUS__SUBSCRIPTION_BUS)
        note_listeners(publisher, is_subscribed);
    if (!is_subscribed)
        return;
    switch (subscription.kind) {
    case TALUS__SUBSCRIPTION_SESSION:
        note_head(publisher, subscription.name, subscription.name_size);
        break;
    case TALUS__SUBSCRIPTION_EVERYTHING:
        publisher->everything_due = true;
        break;
    case TALUS__SUBSCRIPTION_BUS:
        publisher->hello_due = true;
        break;
    case TALUS__SUBSCRIPTION_READY:
    case TALUS__SUBSCRIPTION_OTHER:
        break;
    }
}

static bool is_more_to_come(void *socket)
{
    int more = 0;
    size_t size = sizeof more;

    return zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) == 0 && more;
}

// Returns whether there may be more.
static bool read_subscriptions(struct talus__publisher *publisher)
{
    uint8_t frame[SUBSCRIPTION_CAPACITY];
    bool is_continued = false;
    int read = 0;

    while (read < SUBSCRIPTIONS_PER_TURN || is_continued) {
        int size = zmq_recv(publisher->socket, frame, sizeof frame, ZMQ_DONTWAIT);
        if (size < 0)
            return read > 0 || errno == EINTR;
        bool is_whole = !is_continued;
        is_continued = is_more_to_come(publisher->socket);
        read++;
        // A subscription is one frame, 0 or 1 and the topic; a peer may send us anything. A frame
        // that was cut asks for nothing that exists.
        if (is_whole && !is_continued && size >= 1 && frame[0] <= 1)
            on_subscription(publisher, frame,
                            (size_t)size < sizeof frame ? (size_t)size : sizeof frame);
    }
    return true;
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
    if (talus__queue_has_message(&publisher->queue))
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

// The last heads, so that whoever lost the last events notices now, and the farewell.
static void say_bye(struct talus__publisher *publisher, long long deadline)
{
    const struct talus__session *session = NULL;
    int sent = 0;

    while ((sent++ % REPEATS_PER_TURN || talus__monotonic_ms() < deadline) &&
           (session = talus__repeats_drain(&publisher->repeats)))
        repeat_head(publisher, session);
    if (publisher->newest == talus__queue_newest(&publisher->queue) && !session)
        send_head(publisher, TALUS__BYE_TOPIC, strlen(TALUS__BYE_TOPIC), publisher->newest);
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
    say_bye(publisher, deadline);
    while (talus__monotonic_ms() < deadline &&
           talus__replay_run(&publisher->replay, talus__monotonic_ms()))
        ;
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
    bool is_busy = read_subscriptions(publisher);
    answer_heads(publisher);
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
        is_busy |= repeat_heads(publisher);
        beat(publisher);
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

uint64_t talus__publisher_stop(struct talus__publisher *publisher, long long deadline)
{
    publisher->deadline = deadline;
    atomic_store_explicit(&publisher->stopping, true, memory_order_seq_cst);
    talus__wakeup_notify(&publisher->wakeup);
    pthread_join(publisher->thread, NULL);
    return talus__queue_newest(&publisher->queue) - publisher->newest;
}
