// SPDX-License-Identifier: MIT
// The bus thread.
//
// `prev` must speak of what was given to the transport, so sessions are advanced here and not at
// the emit. A turn of the loop does a bounded amount of each kind of work, so neither a flood of
// events nor what the transport has to do holds up the other.
#include "bus/src/broadcaster/publisher.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/base/log.h"
#include "bus/src/base/probes.h"
#include "common/clock.h"

#define EVENTS_PER_TURN 256

static void give_batch(struct talus__bus_thread *publisher);

static void on_forget(struct talus__session *session, void *arg)
{
    struct talus__bus_thread *publisher = arg;
    struct talus__publish_transport *transport = publisher->transport;

    give_batch(publisher); // which may have events of the session
    talus__history_drop(&publisher->history, session);
    transport->ops->forget(transport, &session->publish, publisher->sessions.watermark);
}

int talus__bus_thread_init(struct talus__bus_thread *publisher,
                           const struct talus__bus_thread_options *options)
{
    memset(publisher, 0, sizeof *publisher);
    publisher->origin = options->origin;

    int error = talus__queue_init(&publisher->queue, options->queue_events, options->queue_bytes);
    if (error)
        return error;
    error = talus__wakeup_init(&publisher->wakeup);
    if (error)
        goto fail_queue;
    talus__sessions_init(&publisher->sessions, options->max_sessions);
    publisher->sessions.state_size = options->session_size;
    publisher->sessions.on_forget = on_forget;
    publisher->sessions.arg = publisher;
    talus__history_init(&publisher->history, &options->history);
    talus__cursors_init(&publisher->cursors, &publisher->history, &publisher->sessions,
                        &publisher->newest);
    talus__waiters_init(&publisher->flushers);
    return 0;

fail_queue:
    talus__queue_fini(&publisher->queue);
    return error;
}

void talus__bus_thread_fini(struct talus__bus_thread *publisher)
{
    talus__waiters_fini(&publisher->flushers);
    talus__history_fini(&publisher->history);
    talus__sessions_fini(&publisher->sessions);
    talus__wakeup_fini(&publisher->wakeup);
    talus__queue_fini(&publisher->queue);
}

// ---- Events

static void give_batch(struct talus__bus_thread *publisher)
{
    struct talus__publish_transport *transport = publisher->transport;
    size_t count = publisher->batch_count;

    if (count == 0)
        return;
    uint64_t newest = publisher->batch[count - 1].message->seq;
    transport->ops->send(transport, publisher->batch, count, publisher->now);
    publisher->batch_count = 0;
    publisher->newest = newest;
}

// An event that fails in the transport has its place in seq, prev and the history all the same, so
// its loss is noticed and can be repaired.
static void publish(struct talus__bus_thread *publisher, struct talus__message *message)
{
    uint64_t hash = message->kept.session_hash; // the history takes its place
    uint64_t prev;

    if (publisher->batch_count == TALUS__BATCH_EVENTS)
        give_batch(publisher);
    struct talus__session *session =
        talus__sessions_advance(&publisher->sessions, talus__message_topic(message),
                                message->session_size, message->seq, &prev);
    talus__message_set_prev(message, prev);
    TALUS__PROBE5(send, talus__probe_text(publisher->origin), message->seq, prev,
                  talus__message_topic(message), message->topic_size);
    talus__history_add(&publisher->history, session, message, publisher->now);
    publisher->batch[publisher->batch_count++] = (struct talus__publish_event){
        .message = message, .session = session ? &session->publish : NULL, .session_hash = hash};
}

static struct talus__publish_room ask_room(struct talus__bus_thread *publisher)
{
    struct talus__publish_transport *transport = publisher->transport;
    const struct talus__queue *queue = &publisher->queue;
    uint64_t queued = talus__queue_newest(&publisher->queue) - publisher->newest;
    const struct talus__publish_backlog backlog = {
        .is_pressed = queued > queue->mask / 2 || talus__queue_bytes(queue) > queue->max_bytes / 2,
        .is_ending = atomic_load_explicit(&publisher->stopping, memory_order_relaxed)};

    return transport->ops->room(transport, &backlog);
}

// Whether there is an event for which the transport has room.
static bool has_event(struct talus__bus_thread *publisher)
{
    if (!talus__queue_has_message(&publisher->queue))
        return false;
    const struct talus__publish_room room = ask_room(publisher);
    return room.events > 0 && room.bytes > 0;
}

static void show(_Atomic uint64_t *gauge, uint64_t value)
{
    atomic_store_explicit(gauge, value, memory_order_relaxed);
}

static void show_kept(struct talus__bus_thread *publisher)
{
    show(&publisher->events_kept, publisher->history.events);
    show(&publisher->bytes_kept, publisher->history.bytes);
}

static void note_settled(struct talus__bus_thread *publisher)
{
    struct talus__publish_transport *transport = publisher->transport;
    uint64_t settled = transport->ops->settled(transport);

    if (settled == atomic_load_explicit(&publisher->settled, memory_order_relaxed))
        return;
    atomic_store_explicit(&publisher->settled, settled, memory_order_seq_cst);
    talus__waiters_wake(&publisher->flushers);
}

static bool drain_queue(struct talus__bus_thread *publisher)
{
    size_t taken = 0, bytes = 0;

    if (!talus__queue_has_message(&publisher->queue))
        return false;
    const struct talus__publish_room room = ask_room(publisher);
    while (taken < EVENTS_PER_TURN && taken < room.events && bytes < room.bytes) {
        struct talus__message *message = talus__queue_take(&publisher->queue);
        if (!message)
            break;
        bytes += talus__message_size(message);
        publish(publisher, message);
        taken++;
    }
    if (taken > 0) {
        give_batch(publisher);
        show(&publisher->sessions_known, talus__sessions_count(&publisher->sessions));
        show_kept(publisher);
        note_settled(publisher);
    }
    return taken > 0;
}

// ---- The loop

// The transport's share of a turn. Returns whether there may be more to do at once.
static bool run_transport(struct talus__bus_thread *publisher, bool is_busy)
{
    struct talus__publish_transport *transport = publisher->transport;
    const struct talus__publish_turn turn = {.now = publisher->now,
                                             .is_busy = is_busy,
                                             .fds = publisher->fds + 1,
                                             .fd_count = publisher->polled};

    bool has_more = transport->ops->turn(transport, &turn);
    publisher->polled = 0;
    note_settled(publisher);
    return has_more;
}

// How long it may sleep if nothing happens, in the form that poll takes. `until`: a moment when to
// wake; 0: none.
static int timeout_of(struct talus__bus_thread *publisher, long long until)
{
    struct talus__publish_transport *transport = publisher->transport;
    long long at = tl_earlier(until, transport->ops->due(transport));

    at = tl_earlier(at, talus__history_due(&publisher->history));
    if (at == 0)
        return -1;
    long long left = at - tl_monotonic_ms();
    if (left <= 0)
        return 0;
    return left < INT_MAX ? (int)left : INT_MAX;
}

static void poll_transport(struct talus__bus_thread *publisher, long long until)
{
    struct talus__publish_transport *transport = publisher->transport;

    publisher->polled = transport->ops->poll_fds(transport, publisher->fds + 1);
    poll(publisher->fds, (nfds_t)(1 + publisher->polled), timeout_of(publisher, until));
}

static void sleep_until_woken(struct talus__bus_thread *publisher)
{
    publisher->fds[0] = (struct pollfd){.fd = publisher->wakeup.fd, .events = POLLIN};
    talus__wakeup_begin_sleep(&publisher->wakeup);
    if (!has_event(publisher) && !atomic_load_explicit(&publisher->stopping, memory_order_seq_cst))
        poll_transport(publisher, 0);
    talus__wakeup_end_sleep(&publisher->wakeup, publisher->fds[0].revents != 0);
}

static uint64_t unsettled(struct talus__bus_thread *publisher)
{
    return talus__queue_newest(&publisher->queue) -
           atomic_load_explicit(&publisher->settled, memory_order_relaxed);
}

// Sends what is left, until all is settled or the deadline is over.
static void finish(struct talus__bus_thread *publisher)
{
    struct talus__publish_transport *transport = publisher->transport;
    long long deadline = publisher->deadline;

    publisher->fds[0] = (struct pollfd){.fd = -1};
    while (unsettled(publisher) > 0 && (publisher->now = tl_monotonic_ms()) < deadline) {
        bool is_busy = drain_queue(publisher);
        if (!is_busy && !run_transport(publisher, false) && !has_event(publisher) &&
            unsettled(publisher) > 0)
            poll_transport(publisher, deadline);
    }
    unsigned long long unsent = unsettled(publisher);
    if (unsent > 0)
        talus__log(TALUS_LOG_WARNING, "%s ends with %llu events unsent", publisher->origin, unsent);
    transport->ops->finish(transport, deadline, unsent == 0);
}

static void *run(void *arg)
{
    struct talus__bus_thread *publisher = arg;

    while (!atomic_load_explicit(&publisher->stopping, memory_order_acquire)) {
        publisher->now = tl_monotonic_ms();
        bool is_busy = drain_queue(publisher);
        is_busy |= run_transport(publisher, is_busy);
        talus__history_expire(&publisher->history, publisher->now);
        show_kept(publisher);
        if (!is_busy)
            sleep_until_woken(publisher);
    }
    finish(publisher);
    return NULL;
}

int talus__bus_thread_start(struct talus__bus_thread *publisher,
                            struct talus__publish_transport *transport)
{
    sigset_t all, before;

    publisher->transport = transport;
    publisher->queue.ring_mask = transport->journal.mask;
    publisher->queue.ring_key = transport->journal.key;
    publisher->queue.ring = transport->journal.ring;
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

uint64_t talus__bus_thread_stop(struct talus__bus_thread *publisher, long long deadline)
{
    publisher->deadline = deadline;
    atomic_store_explicit(&publisher->stopping, true, memory_order_seq_cst);
    talus__wakeup_notify(&publisher->wakeup);
    pthread_join(publisher->thread, NULL);
    return unsettled(publisher);
}
