// SPDX-License-Identifier: MIT
// From a ZeroMQ message to an event for the caller.
//
// Nothing is allocated for an event. Whatever a peer sends that is no event is counted and dropped;
// it costs the others nothing.
#include <errno.h>
#include <string.h>
#include <zmq.h>

#include <talus/error.h>

#include "body.h"
#include "context.h"
#include "instance.h"
#include "log.h"
#include "wire.h"
#include "zmq_handover.h"

#define LOG_INTERVAL_MS 1000

bool talus__may_log(struct talus__log_gate *gate, unsigned long long *held_back)
{
    long long now = talus__monotonic_ms();

    if (now < gate->opens_at) {
        gate->held_back++;
        return false;
    }
    gate->opens_at = now + LOG_INTERVAL_MS;
    *held_back = gate->held_back;
    gate->held_back = 0;
    return true;
}

static int on_malformed(talus_subscriber_t *subscriber, const char *what)
{
    unsigned long long held_back;

    subscriber->stats.malformed++;
    if (talus__may_log(&subscriber->malformed_gate, &held_back))
        talus__log(TALUS_LOG_WARNING, "a message was dropped: %s (and %llu more)", what, held_back);
    return TALUS__INTAKE_HANDLED;
}

// ---- Order. The functions from here to on_hole are the only place that judges it.

// Events are missing: those of `origin` after `after`, up to `upto`.
static void on_hole(talus_subscriber_t *subscriber, const struct talus__joined *joined,
                    const struct talus__origin *origin, uint64_t after, uint64_t upto)
{
    unsigned long long held_back;

    subscriber->stats.holes++;
    if (talus__may_log(&subscriber->hole_gate, &held_back))
        talus__log(TALUS_LOG_WARNING,
                   "session '%s' misses events of %s after %llu up to %llu (and %llu more holes)",
                   joined->name, origin->name, (unsigned long long)after, (unsigned long long)upto,
                   held_back);
}

// Whether what lies between the position and a later event is missing: before the first head it may
// never have been ours to get. A plain publisher sends no head, so its own events must do.
static bool is_judge(const struct talus__position *position, const struct talus__origin *origin)
{
    return position->has_baseline || (!origin->speaks_heads && position->last > 0);
}

static void advance_position(talus_subscriber_t *subscriber, const struct talus__joined *joined,
                             const struct talus__origin *origin, struct talus__position *position,
                             uint64_t prev, uint64_t seq, bool is_judged)
{
    if (is_judged && is_judge(position, origin) && prev > position->last)
        on_hole(subscriber, joined, origin, position->last, prev);
    position->last = seq;
}

// Moves on to an event. False: one had it already.
static bool advance(talus_subscriber_t *subscriber, struct talus__origin *origin,
                    struct talus__joined *session, const struct talus__body *body)
{
    struct talus__joined *everything = subscriber->joined.everything;
    struct talus__position *in_session = NULL, *in_all = NULL;
    struct talus__origin_ref ref = talus__origin_refer(&subscriber->origins, origin);

    if (session)
        in_session = talus__position_get(session, &subscriber->origins, ref);
    if (everything)
        in_all = talus__position_get(everything, &subscriber->origins, ref);
    if ((in_session && body->seq <= in_session->last) || (in_all && body->seq <= in_all->last))
        return false;
    // With everything joined, seq itself has no holes, and one hole is to be told once.
    bool is_judged_by_all = in_all && is_judge(in_all, origin);
    if (in_session)
        advance_position(subscriber, session, origin, in_session, body->prev, body->seq,
                         !is_judged_by_all);
    if (in_all)
        advance_position(subscriber, everything, origin, in_all, body->seq - 1, body->seq, true);
    return true;
}

static void advance_to_head(talus_subscriber_t *subscriber, struct talus__joined *joined,
                            const struct talus__origin *origin, uint64_t seq)
{
    struct talus__position *position = talus__position_get(
        joined, &subscriber->origins, talus__origin_refer(&subscriber->origins, origin));
    if (!position)
        return; // without memory the join becomes live when its time is over
    bool is_news = seq > position->last;

    // The head that answers a new subscription is its baseline. But when the session was live
    // already, the origin is new, or was away: then everything is owed.
    if (is_news && (position->has_baseline || joined->is_live))
        on_hole(subscriber, joined, origin, position->last, seq);
    if (!position->has_baseline) {
        position->has_baseline = true;
        joined->answered++;
    }
    if (is_news) {
        position->last = seq;
        talus__joined_note(joined, origin, seq);
    }
}

// ---- Events

static void copy_text(char *out, const char *text, size_t size)
{
    if (size > 0)
        memcpy(out, text, size);
    out[size] = '\0';
}

void talus__format_id(char id[TALUS_ID_MAX + 1], const char *origin, uint64_t seq)
{
    char digits[20];
    size_t count = 0, size = strlen(origin);

    do {
        digits[count++] = (char)('0' + seq % 10);
        seq /= 10;
    } while (seq > 0);
    memcpy(id, origin, size);
    id[size++] = '.';
    while (count > 0)
        id[size++] = digits[--count];
    id[size] = '\0';
}

static void set_event(talus_subscriber_t *subscriber, const struct talus__topic *topic,
                      const struct talus__body *body)
{
    copy_text(subscriber->session, topic->session, topic->session_size);
    copy_text(subscriber->type, topic->type, topic->type_size);
    copy_text(subscriber->origin, body->origin, body->origin_size);
    copy_text(subscriber->skip, body->skip, body->skip_size);
    talus__format_id(subscriber->id, subscriber->origin, body->seq);
    subscriber->event = (talus_event_t){
        .session = subscriber->session,
        .type = subscriber->type,
        .id = subscriber->id,
        .origin = subscriber->origin,
        .skip = subscriber->skip,
        .seq = body->seq,
        .prev = body->prev,
        .ts = body->ts,
        .data = body->data,
        .data_size = body->data_size,
    };
    subscriber->delivery = (talus_delivery_t){
        .kind = TALUS_DELIVERY_EVENT,
        .session = subscriber->session,
        .event = &subscriber->event,
        .newest = "",
        .complete = true,
    };
}

static void on_refused(talus_subscriber_t *subscriber, const struct talus__topic *topic,
                       const struct talus__body *body, int error)
{
    unsigned long long held_back;

    subscriber->stats.refused_bounds++;
    if (talus__may_log(&subscriber->refused_gate, &held_back))
        talus__log(TALUS_LOG_WARNING,
                   "event %.*s.%llu of session '%.*s' was dropped: %s (and %llu more)",
                   (int)body->origin_size, body->origin, (unsigned long long)body->seq,
                   (int)topic->session_size, topic->session, talus_strerror(error), held_back);
}

static bool is_wanted(const struct talus__joined *joined)
{
    return joined && !talus__joined_is_left(joined);
}

static int on_event(talus_subscriber_t *subscriber, const struct talus__topic *topic)
{
    struct talus__joined *everything = subscriber->joined.everything;
    struct talus__joined *session =
        talus__joined_find(&subscriber->joined, topic->session, topic->session_size);
    struct talus__body body;

    if (!session && !everything) {
        subscriber->stats.ignored++;
        return TALUS__INTAKE_HANDLED;
    }
    int error = talus__body_decode(zmq_msg_data(&subscriber->body), zmq_msg_size(&subscriber->body),
                                   &subscriber->limits, &body);
    if (error == TALUS_EBODY || error == TALUS_EMSGPACK)
        return on_malformed(subscriber, talus_strerror(error));
    struct talus__origin *origin =
        talus__origins_get(&subscriber->origins, body.origin, body.origin_size);
    if (origin && origin->is_ignored) {
        subscriber->stats.ignored++;
        return TALUS__INTAKE_HANDLED;
    }
    // An origin too many has no place, and its events no order that could be checked.
    bool is_new = !origin || advance(subscriber, origin, session, &body);
    if (error) {
        on_refused(subscriber, topic, &body, error); // it counts as had: what follows is no hole
        return TALUS__INTAKE_HANDLED;
    }
    subscriber->stats.received++;
    if (!is_new) {
        subscriber->stats.duplicates++;
        return TALUS__INTAKE_HANDLED;
    }
    if (session && origin)
        talus__joined_note(session, origin, body.seq);
    if (everything && origin)
        talus__joined_note(everything, origin, body.seq);
    if (!is_wanted(session) && !is_wanted(everything)) {
        subscriber->stats.ignored++;
        return TALUS__INTAKE_HANDLED;
    }
    set_event(subscriber, topic, &body);
    subscriber->stats.delivered++;
    return TALUS__INTAKE_EVENT;
}

// ---- Markers

static struct talus__origin *decode_marker(talus_subscriber_t *subscriber, struct talus__head *head)
{
    if (talus__head_decode(zmq_msg_data(&subscriber->body), zmq_msg_size(&subscriber->body),
                           head) != 0) {
        on_malformed(subscriber, "a marker of the bus has a body that is none");
        return NULL;
    }
    struct talus__origin *origin =
        talus__origins_get(&subscriber->origins, head->origin, head->origin_size);
    if (origin)
        talus__origin_hear(&subscriber->origins, origin);
    return origin;
}

static int on_head(talus_subscriber_t *subscriber, const struct talus__topic *topic)
{
    struct talus__head head;
    struct talus__origin *origin = decode_marker(subscriber, &head);

    if (!origin)
        return TALUS__INTAKE_HANDLED;
    subscriber->stats.heads++;
    struct talus__joined *joined =
        talus__joined_find(&subscriber->joined, topic->session, topic->session_size);
    if (joined && !origin->is_ignored) {
        advance_to_head(subscriber, joined, origin, head.seq);
        talus__live_check(subscriber, joined);
    }
    return TALUS__INTAKE_HANDLED;
}

static int on_hello(talus_subscriber_t *subscriber)
{
    struct talus__head head;
    struct talus__origin *origin = decode_marker(subscriber, &head);
    int connection = zmq_msg_get(&subscriber->body, ZMQ_SRCFD);

    if (!origin)
        return TALUS__INTAKE_HANDLED;
    // The descriptor may have been another connection's before: first hear of its end.
    talus__peers_read_monitor(&subscriber->peers);
    if (connection < 0)
        connection = TALUS__NO_CONNECTION;
    else if (!talus__monitor_is_up(&subscriber->peers.monitor, connection))
        return TALUS__INTAKE_HANDLED; // said long ago, over a connection that is gone by now
    bool is_other = !origin->is_connected || origin->connection != connection;
    talus__origin_connect(&subscriber->origins, origin, connection);
    if (is_other || !origin->is_ready_topic)
        talus__announce_ready(subscriber, origin);
    return TALUS__INTAKE_HANDLED;
}

// ---- Messages

static int drop_rest(talus_subscriber_t *subscriber)
{
    while (zmq_msg_more(&subscriber->body)) {
        if (zmq_msg_recv(&subscriber->body, subscriber->socket, ZMQ_DONTWAIT) < 0)
            break;
    }
    return on_malformed(subscriber, "it has more than two frames");
}

int talus__take_message(talus_subscriber_t *subscriber)
{
    struct talus__topic topic;

    if (zmq_msg_recv(&subscriber->topic, subscriber->socket, ZMQ_DONTWAIT) < 0) {
        if (errno == EAGAIN)
            return TALUS__INTAKE_EMPTY;
        return errno == EINTR ? TALUS__INTAKE_HANDLED : TALUS_ESYSTEM;
    }
    if (!zmq_msg_more(&subscriber->topic))
        return on_malformed(subscriber, "it has one frame only");
    talus__zmq_release(zmq_msg_data(&subscriber->body)); // of the message before
    // The frames of a message arrive together, so this neither waits nor fails for want of one.
    while (zmq_msg_recv(&subscriber->body, subscriber->socket, ZMQ_DONTWAIT) < 0) {
        if (errno != EINTR)
            return TALUS_ESYSTEM;
    }
    talus__zmq_acquire(zmq_msg_data(&subscriber->body));
    if (zmq_msg_more(&subscriber->body))
        return drop_rest(subscriber);
    int error = talus__topic_parse(zmq_msg_data(&subscriber->topic),
                                   zmq_msg_size(&subscriber->topic), &topic);
    if (error)
        return on_malformed(subscriber, talus_strerror(error));
    switch (topic.kind) {
    case TALUS__TOPIC_EVENT:
        return on_event(subscriber, &topic);
    case TALUS__TOPIC_HEAD:
        return on_head(subscriber, &topic);
    case TALUS__TOPIC_HELLO:
        return on_hello(subscriber);
    case TALUS__TOPIC_END:
    case TALUS__TOPIC_BYE:
    case TALUS__TOPIC_UNKNOWN:
        break;
    }
    return TALUS__INTAKE_HANDLED;
}
