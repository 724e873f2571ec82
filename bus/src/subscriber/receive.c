// SPDX-License-Identifier: MIT
// Receiving: what is there is given; else one waits on everything at once. wake.h states the
// invariant of the descriptor. What a peer sends that is no event is counted and dropped.
#include "bus/src/subscriber/receive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <talus/error.h>

#include "bus/src/codec/body.h"
#include "bus/src/codec/malformed.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/gap_requests.h"
#include "bus/src/subscriber/join.h"
#include "bus/src/subscriber/losses.h"
#include "bus/src/subscriber/replayed.h"
#include "common/clock.h"

#define EVENTS_PER_TURN   16
#define MESSAGES_PER_TURN 1024 // taken before other descriptors get their turn

// ---- What the transport tells of

static void on_askable(void *arg, struct talus__publisher *publisher)
{
    talus_subscriber_t *subscriber = arg;

    talus__gap_hear_all(&subscriber->repairs, publisher);
}

static void on_lost(void *arg, const struct talus__loss *loss)
{
    talus_subscriber_t *subscriber = arg;

    talus__losses_tell(&subscriber->repairs, loss);
}

static void on_malformed(void *arg, const char *what, uint64_t count)
{
    talus_subscriber_t *subscriber = arg;

    talus__core_malformed(&subscriber->core, what, count);
}

void talus__receive_own(talus_subscriber_t *subscriber)
{
    subscriber->owner = (struct talus__receive_owner){
        .arg = subscriber,
        .on_connected = talus__join_on_connected,
        .on_askable = on_askable,
        .on_failed = talus__replayed_on_failed,
        .on_lost = on_lost,
        .on_malformed = on_malformed,
    };
}

// ---- Time

static void arm_timer(talus_subscriber_t *subscriber)
{
    const struct talus__receive_transport *transport = subscriber->core.transport;
    long long at = talus__join_due(subscriber);

    at = tl_earlier(at, transport->ops->due(transport));
    at = tl_earlier(at, subscriber->repairs.tend_at);
    talus__wake_at(&subscriber->core.wake, at);
}

void talus__receive_begin(talus_subscriber_t *subscriber)
{
    talus__wake_set(&subscriber->core.wake);
    arm_timer(subscriber);
}

// ---- Messages

// Gives whose order the event is in. NULL: there is no place for its publisher.
static struct talus__publisher *publisher_of(struct talus__core *core,
                                             const struct talus__body *body)
{
    if (core->incoming.is_sequenced)
        return core->incoming.publisher;
    return talus__publishers_get(&core->publishers, body->origin, body->origin_size);
}

static int on_event(talus_subscriber_t *subscriber)
{
    struct talus__core *core = &subscriber->core;
    const struct talus__incoming *incoming = &core->incoming;
    const struct talus__topic *topic = &incoming->topic;
    struct talus__subscription *session =
        talus__subscriptions_find(&core->subscriptions, topic->session, topic->session_size);
    struct talus__body body;

    if (!session && !core->subscriptions.everything) {
        core->stats.ignored++;
        return TALUS__TAKEN_HANDLED;
    }
    int error = talus__body_decode(incoming->body, incoming->body_size, &core->limits, &body);
    if (error == TALUS__EBODY || error == TALUS_EMSGPACK) {
        talus__core_malformed(core, talus__decode_error_text(error), 1);
        return TALUS__TAKEN_HANDLED;
    }
    struct talus__publisher *publisher = publisher_of(core, &body);
    if (publisher && publisher->is_ignored) {
        core->stats.ignored++;
        return TALUS__TAKEN_HANDLED;
    }
    if (!error)
        core->stats.received++;
    if (publisher) {
        // Joins may become live within this, `session` included. It stays where it is, and whether
        // its events are owed is looked at later, by gap repair.
        if (publisher->standing.is_missed)
            core->transport->ops->heard(core->transport, publisher);
        const struct talus__ordered_event event = {
            .topic = topic,
            .body = &body,
            .session = session,
            .publisher = publisher,
            .seq = incoming->is_sequenced ? incoming->seq : body.seq,
            .prev = incoming->is_sequenced ? incoming->prev : body.prev,
            .refusal = error,
        };
        return talus__gap_repair_event(&subscriber->repairs, &event);
    }
    // A publisher too many has no place, and its events no order that could be checked.
    if (error)
        return TALUS__TAKEN_HANDLED;
    talus__delivery_event(&core->delivery, topic, &body);
    return TALUS__TAKEN_EVENT;
}

static int on_mark(talus_subscriber_t *subscriber)
{
    struct talus__core *core = &subscriber->core;
    const struct talus__incoming *incoming = &core->incoming;
    struct talus__subscription *subscription = talus__subscriptions_find(
        &core->subscriptions, incoming->topic.session, incoming->topic.session_size);

    core->stats.heads++;
    if (subscription && !incoming->publisher->is_ignored) {
        talus__gap_repair_mark(&subscriber->repairs, subscription, incoming->publisher,
                               incoming->seq);
        talus__join_check(subscriber, subscription);
    }
    return TALUS__TAKEN_HANDLED;
}

// Takes the next message. Returns enum talus__taken, or an error.
static int take_message(talus_subscriber_t *subscriber)
{
    struct talus__core *core = &subscriber->core;
    int error = core->transport->ops->take(core->transport, &core->incoming);

    if (error)
        return error;
    switch (core->incoming.kind) {
    case TALUS__INCOMING_NONE:
        return TALUS__TAKEN_EMPTY;
    case TALUS__INCOMING_OTHER:
        break;
    case TALUS__INCOMING_MALFORMED:
        talus__core_malformed(core, core->incoming.what, 1);
        break;
    case TALUS__INCOMING_EVENT:
        return on_event(subscriber);
    case TALUS__INCOMING_MARK:
        return on_mark(subscriber);
    case TALUS__INCOMING_REPLAYED:
        return talus__replayed_event(subscriber);
    case TALUS__INCOMING_END:
        return talus__replayed_end(subscriber);
    }
    return TALUS__TAKEN_HANDLED;
}

// ---- Waiting

static void on_descriptor(talus_subscriber_t *subscriber, uint32_t source)
{
    struct talus__core *core = &subscriber->core;
    uint64_t expirations;

    if (source == TALUS__SOURCE_TIMER) {
        if (read(core->wake.timer, &expirations, sizeof expirations) > 0)
            core->wake.armed_at = 0;
    } else if (source == TALUS__SOURCE_EVENT) {
        core->wake.is_set = true; // by us, the transport, or talus_subscriber_wake
    } else if (source >= TALUS__RECEIVE_SOURCE) {
        core->transport->ops->on_ready(core->transport, source);
    }
}

static void tend_all(talus_subscriber_t *subscriber, bool is_drained)
{
    struct talus__receive_transport *transport = subscriber->core.transport;
    long long now = tl_monotonic_ms();

    transport->ops->tend(transport, now, is_drained);
    talus__join_tend(subscriber, now);
    talus__gap_tend_all(&subscriber->repairs, now);
    transport->ops->tend_losses(transport, now, is_drained);
}

// Waits, and does what descriptors and time ask for. `is_drained`: the transport gave nothing more.
// Returns how many descriptors had something to tell, or -1 with errno.
static int tend(talus_subscriber_t *subscriber, int timeout_ms, bool is_drained)
{
    struct talus__receive_transport *transport = subscriber->core.transport;
    struct talus__wake *wake = &subscriber->core.wake;
    struct epoll_event events[EVENTS_PER_TURN];

    subscriber->untended = 0;
    transport->ops->prepare(transport);
    if (is_drained)
        talus__wake_clear(wake, transport->ops->was_woken(transport));
    arm_timer(subscriber);
    // Clearing may have taken what a call of talus_subscriber_wake had written meanwhile.
    if (talus__wake_is_called(wake))
        timeout_ms = 0;
    talus__leave(subscriber);
    int count = epoll_wait(wake->epoll, events, EVENTS_PER_TURN, timeout_ms);
    int saved = errno;
    talus__enter(subscriber);
    for (int i = 0; i < count; i++)
        on_descriptor(subscriber, events[i].data.u32);
    if (count > 0)
        tend_all(subscriber, is_drained);
    errno = saved;
    return count;
}

// What is left of a time-out that began when `*deadline` was first asked for.
static int time_left(int timeout_ms, long long *deadline)
{
    if (timeout_ms <= 0)
        return timeout_ms;
    long long now = tl_monotonic_ms();
    if (*deadline == 0)
        *deadline = now + timeout_ms;
    return *deadline > now ? (int)(*deadline - now) : 0;
}

static int timed_out(int why)
{
    errno = why;
    return TALUS_ETIMEOUT;
}

static bool take_due(talus_subscriber_t *subscriber)
{
    if (talus__join_take(subscriber))
        return true;
    // A LIVE may be due when a repair ends, which gives nothing by itself.
    if (talus__gap_repair_is_due(&subscriber->repairs) &&
        (talus__gap_repair_take_due(&subscriber->repairs) || talus__join_take(subscriber)))
        return true;
    return talus__recover_take(&subscriber->recover);
}

// What is due comes first.
static int take_next(talus_subscriber_t *subscriber)
{
    if (subscriber->core.released) { // what was delivered is over
        free(subscriber->core.released);
        subscriber->core.released = NULL;
    }
    if (take_due(subscriber))
        return TALUS__TAKEN_EVENT;
    return take_message(subscriber);
}

int talus__receive(talus_subscriber_t *subscriber, int timeout_ms,
                   const talus_delivery_t **delivery)
{
    long long deadline = 0;

    for (;;) {
        if (talus__wake_take_call(&subscriber->core.wake))
            return TALUS_EWOKEN;
        int taken = take_next(subscriber);
        if (taken < 0)
            return taken;
        if (taken == TALUS__TAKEN_EVENT) {
            // Raised also between two events, as the caller may go and watch the descriptor.
            talus__wake_set(&subscriber->core.wake);
            *delivery = &subscriber->core.delivery.given;
        }
        bool is_drained = taken == TALUS__TAKEN_EMPTY;
        if (is_drained || ++subscriber->untended >= MESSAGES_PER_TURN) {
            int left = time_left(timeout_ms, &deadline);
            int told = tend(subscriber, is_drained ? left : 0, is_drained);
            if (told < 0 && is_drained)
                return errno == EINTR ? timed_out(EINTR) : TALUS_ESYSTEM;
            if (is_drained && talus__wake_is_called(&subscriber->core.wake))
                continue;
            if (taken != TALUS__TAKEN_EVENT && left == 0 && (told == 0 || !is_drained)) {
                if (!is_drained)
                    talus__wake_set(
                        &subscriber->core.wake); // there may be more, but the time is over
                return timed_out(EAGAIN);
            }
        }
        if (taken == TALUS__TAKEN_EVENT)
            return 0;
    }
}
