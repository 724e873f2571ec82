// SPDX-License-Identifier: MIT
// Receiving: what is there is given; else one waits on everything at once. wake.h states the
// invariant of the descriptor. What a peer sends that is no event is counted and dropped.
//
// ZeroMQ's descriptor tells only that there is something to process, and tells it once. So the
// socket is always read until it is empty before anybody sleeps.
#include "bus/src/subscriber/receive.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <talus/error.h>

#include "bus/src/codec/body.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/join.h"
#include "bus/src/subscriber/marks.h"
#include "bus/src/subscriber/replayed.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/sub/sub_socket.h"

#define EVENTS_PER_TURN   16
#define MESSAGES_PER_TURN 1024   // taken before other descriptors get their turn
#define PULLED_MOST       100000 // by the guard at once, while the owner has to wait

// ---- Time

static void arm_timer(talus_subscriber_t *subscriber)
{
    const struct talus__core *core = &subscriber->core;
    long long at = talus__join_due(subscriber);

    at = tl_earlier(at, core->peers.tend_at);
    at = tl_earlier(at, core->replay_client.tend_at);
    at = tl_earlier(at, subscriber->repairs.tend_at);
    at = tl_earlier(at, talus__liveness_due(&subscriber->liveness));
    at = tl_earlier(at, subscriber->liveness.beats_at);
    talus__wake_at(&subscriber->core.wake, at);
}

// ---- What the guard does

static bool is_empty(void *arg)
{
    const talus_subscriber_t *subscriber = arg;

    return subscriber->core.inbox.is_emptied && subscriber->core.replay_client.is_emptied;
}

static bool pull(void *arg)
{
    talus_subscriber_t *subscriber = arg;

    talus__inbox_pull(&subscriber->core.inbox, PULLED_MOST);
    bool has_answers = talus__replay_client_pull(&subscriber->core.replay_client, PULLED_MOST);
    bool has_connections = talus__monitor_pull(&subscriber->core.peers.monitor);
    return has_answers || has_connections || subscriber->core.inbox.count > 0;
}

static bool beat(void *arg)
{
    talus_subscriber_t *subscriber = arg;

    return talus__heartbeat_send(&subscriber->liveness.heartbeat);
}

// ---- Opening and closing

int talus__descriptors_open(talus_subscriber_t *subscriber)
{
    struct talus__core *core = &subscriber->core;
    int fd = talus__sub_descriptor(core->socket);

    if (fd < 0 || talus__wake_open(&core->wake) != 0 ||
        talus__wake_add(&core->wake, fd, TALUS__SOURCE_SOCKET) != 0)
        return TALUS_ESYSTEM;
    core->post.wake = core->wake.event;
    core->post.is_empty = is_empty;
    core->post.pull = pull;
    core->post.beat = beat;
    core->post.arg = subscriber;
    if (talus__guard_add(&core->post) != 0 || talus__guard_watch(&core->post, fd) != 0)
        return TALUS_ESYSTEM;
    return 0;
}

void talus__receive_begin(talus_subscriber_t *subscriber)
{
    talus__wake_set(&subscriber->core.wake);
    arm_timer(subscriber);
}

// ---- Messages

static int on_event(talus_subscriber_t *subscriber, const struct talus__topic *topic)
{
    struct talus__joined *session =
        talus__joined_find(&subscriber->core.joined, topic->session, topic->session_size);
    struct talus__body body;

    if (!session && !subscriber->core.joined.everything) {
        subscriber->core.stats.ignored++;
        return TALUS__TAKEN_HANDLED;
    }
    int error = talus__body_decode(talus__frames_body(&subscriber->core.frames),
                                   talus__frames_body_size(&subscriber->core.frames),
                                   &subscriber->core.limits, &body);
    if (error == TALUS_EBODY || error == TALUS_EMSGPACK)
        return talus__core_malformed(&subscriber->core, talus_strerror(error));
    struct talus__origin *origin =
        talus__origins_get(&subscriber->core.origins, body.origin, body.origin_size);
    if (origin && origin->is_ignored) {
        subscriber->core.stats.ignored++;
        return TALUS__TAKEN_HANDLED;
    }
    if (!error)
        subscriber->core.stats.received++;
    if (origin && (origin->is_departing || origin->is_away || origin->is_lost))
        talus__marks_meet_again(subscriber, origin);
    if (origin)
        return talus__gap_repair_event(&subscriber->repairs, topic, &body, origin, error);
    // An origin too many has no place, and its events no order that could be checked.
    if (error)
        return TALUS__TAKEN_HANDLED;
    talus__delivery_event(&subscriber->core.delivery, topic, &body);
    return TALUS__TAKEN_EVENT;
}

// Takes the next message. Returns enum talus__taken, or an error.
static int take_message(talus_subscriber_t *subscriber)
{
    struct talus__core *core = &subscriber->core;
    struct talus__topic topic;

    switch (talus__sub_receive(&core->inbox, &core->frames, &core->source)) {
    case TALUS__RECEIVED_MESSAGE:
        break;
    case TALUS__RECEIVED_EMPTY:
        return TALUS__TAKEN_EMPTY;
    case TALUS__RECEIVED_INTERRUPTED:
        return TALUS__TAKEN_HANDLED;
    case TALUS__RECEIVED_ONE_FRAME:
        return talus__core_malformed(core, "it has one frame only");
    case TALUS__RECEIVED_MANY_FRAMES:
        return talus__core_malformed(core, "it has more than two frames");
    case TALUS__RECEIVED_FAILED:
        return TALUS_ESYSTEM;
    }
    int error = talus__topic_parse(talus__frames_topic(&subscriber->core.frames),
                                   talus__frames_topic_size(&subscriber->core.frames), &topic);
    if (error)
        return talus__core_malformed(&subscriber->core, talus_strerror(error));
    switch (topic.kind) {
    case TALUS__TOPIC_EVENT:
        return on_event(subscriber, &topic);
    case TALUS__TOPIC_HEAD:
        return talus__marks_head(subscriber, &topic);
    case TALUS__TOPIC_HELLO:
        return talus__marks_hello(subscriber);
    case TALUS__TOPIC_BYE:
        return talus__marks_bye(subscriber);
    case TALUS__TOPIC_BEAT:
        return talus__marks_beat(subscriber);
    case TALUS__TOPIC_END:
    case TALUS__TOPIC_UNKNOWN:
        break;
    }
    return TALUS__TAKEN_HANDLED;
}

// ---- Waiting

static void clear_wake(talus_subscriber_t *subscriber)
{
    talus__wake_clear(&subscriber->core.wake, subscriber->core.post.is_knocked);
    subscriber->core.post.is_knocked = false;
}

// Waits, and does what descriptors and time ask for. `is_drained`: the socket was found empty.
// Returns how many descriptors had something to tell, or -1 with errno.
static int tend(talus_subscriber_t *subscriber, int timeout_ms, bool is_drained)
{
    struct epoll_event events[EVENTS_PER_TURN];
    uint64_t expirations;

    subscriber->untended = 0;
    talus__core_log_inboxes(&subscriber->core);
    if (talus__monitor_has_backlog(&subscriber->core.peers.monitor))
        talus__peers_read_monitor(&subscriber->core.peers);
    if (is_drained)
        clear_wake(subscriber);
    arm_timer(subscriber);
    talus__leave(subscriber);
    int count = epoll_wait(subscriber->core.wake.epoll, events, EVENTS_PER_TURN, timeout_ms);
    int saved = errno;
    talus__enter(subscriber);
    is_drained = is_drained && subscriber->core.inbox.count == 0;
    for (int i = 0; i < count; i++) {
        switch (events[i].data.u32) {
        case TALUS__SOURCE_SOCKET:
        case TALUS__SOURCE_EVENT:
            break; // the caller reads the socket anyway
        case TALUS__SOURCE_TIMER:
            if (read(subscriber->core.wake.timer, &expirations, sizeof expirations) > 0)
                subscriber->core.wake.armed_at = 0;
            break;
        case TALUS__REPLAY_SOURCE:
            subscriber->core.replay_client.may_have_answers = true;
            break;
        default:
            talus__peers_on_event(&subscriber->core.peers, events[i].data.u32);
        }
    }
    if (count > 0) {
        subscriber->core.inbox.is_emptied =
            false; // connecting and disconnecting read the descriptor
        long long now = tl_monotonic_ms();
        talus__peers_tend(&subscriber->core.peers, now, is_drained);
        talus__liveness_tend_beats(&subscriber->liveness, now, is_drained);
        talus__join_tend(subscriber, now);
        talus__replay_client_tend(&subscriber->core.replay_client, now);
        talus__gap_tend_all(&subscriber->repairs, now);
        talus__liveness_tend(&subscriber->liveness, now, is_drained);
    }
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

// What is due comes first; then answers and the socket's messages take turns, so that neither waits
// for ever.
static int take_next(talus_subscriber_t *subscriber)
{
    if (talus__join_take(subscriber) || talus__gap_repair_take(&subscriber->repairs) ||
        talus__recover_take(&subscriber->recover))
        return TALUS__TAKEN_EVENT;
    subscriber->prefers_answers = !subscriber->prefers_answers;
    int taken = TALUS__TAKEN_EMPTY;
    if (subscriber->prefers_answers)
        taken = talus__replayed_take(subscriber);
    if (taken == TALUS__TAKEN_EMPTY)
        taken = take_message(subscriber);
    if (taken == TALUS__TAKEN_EMPTY && !subscriber->prefers_answers)
        taken = talus__replayed_take(subscriber);
    return taken;
}

int talus__receive(talus_subscriber_t *subscriber, int timeout_ms,
                   const talus_delivery_t **delivery)
{
    long long deadline = 0;

    for (;;) {
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
