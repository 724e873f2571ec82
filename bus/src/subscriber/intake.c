// SPDX-License-Identifier: MIT
// From a ZeroMQ message to an event for the caller.
//
// Nothing is allocated for an event. Whatever a peer sends that is no event is counted and dropped;
// it costs the others nothing.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include <talus/error.h>

#include "bus/src/base/log.h"
#include "bus/src/base/probes.h"
#include "bus/src/codec/body.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/instance.h"
#include "bus/src/subscriber/order.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/sub/beats.h"
#include "bus/src/zmq/zmq_handover.h"

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

static void log_malformed(talus_subscriber_t *subscriber, const char *what, uint64_t count)
{
    unsigned long long held_back;

    subscriber->malformed_gate.held_back += count - 1;
    if (talus__may_log(&subscriber->malformed_gate, &held_back))
        talus__log(TALUS_LOG_WARNING, "a message was dropped: %s (and %llu more)", what, held_back);
}

int talus__on_malformed(talus_subscriber_t *subscriber, const char *what)
{
    subscriber->stats.malformed++;
    log_malformed(subscriber, what, 1);
    return TALUS__INTAKE_HANDLED;
}

void talus__log_inboxes(talus_subscriber_t *subscriber)
{
    uint64_t found = talus__inboxes_malformed(subscriber);

    if (found == subscriber->malformed_found)
        return;
    log_malformed(subscriber, "it does not have two frames", found - subscriber->malformed_found);
    subscriber->malformed_found = found;
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

void talus__clear_delivery(talus_subscriber_t *subscriber, talus_delivery_kind_t kind)
{
    subscriber->delivery = (talus_delivery_t){
        .kind = kind, .session = "", .newest = "", .origin = "", .after = "", .first = ""};
}

void talus__set_event(talus_subscriber_t *subscriber, const struct talus__topic *topic,
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
    talus__clear_delivery(subscriber, TALUS_DELIVERY_EVENT);
    subscriber->delivery.session = subscriber->session;
    subscriber->delivery.event = &subscriber->event;
    subscriber->delivery.complete = true;
    subscriber->stats.delivered++;
    TALUS__PROBE4(deliver, subscriber->origin, body->seq, subscriber->session, subscriber->type);
}

void talus__set_gap(talus_subscriber_t *subscriber, const char *session, const char *origin,
                    uint64_t after, uint64_t first, talus_gap_reason_t reason)
{
    talus_delivery_t *delivery = &subscriber->delivery;
    unsigned long long held_back;

    copy_text(subscriber->session, session, strlen(session));
    copy_text(subscriber->origin, origin, strlen(origin));
    talus__format_id(subscriber->after, origin, after);
    subscriber->first[0] = '\0';
    if (first > 0)
        talus__format_id(subscriber->first, origin, first);
    talus__clear_delivery(subscriber, TALUS_DELIVERY_GAP);
    delivery->session = subscriber->session;
    delivery->origin = subscriber->origin;
    delivery->after = subscriber->after;
    delivery->first = subscriber->first;
    delivery->reason = reason;
    subscriber->stats.gaps++;
    if (talus__may_log(&subscriber->gap_gate, &held_back))
        talus__log(TALUS_LOG_WARNING,
                   "session '%s' has a gap: events after %s and before %s are lost: %s (and %llu "
                   "more gaps)",
                   session, delivery->after, first > 0 ? delivery->first : "whatever follows",
                   talus_gap_reason_name(reason), held_back);
}

// The descriptor of the connection that the message came through; -1: none.
static int connection_of(talus_subscriber_t *subscriber)
{
    return subscriber->source.is_kept ? subscriber->source.fd
                                      : zmq_msg_get(&subscriber->body, ZMQ_SRCFD);
}

// The address of the peer that a marker came from; NULL: it is not known.
static const char *host_of(talus_subscriber_t *subscriber)
{
    const struct talus__source *source = &subscriber->source;

    if (source->is_kept)
        return *source->host ? source->host : NULL;
    return zmq_msg_gets(&subscriber->body, "Peer-Address");
}

// The message came through a connection: if that stands, its origin is here, even if the hello that
// it began with was dropped from a full inbox, or was read after the end of the connection before.
static void meet(talus_subscriber_t *subscriber, struct talus__origin *origin)
{
    int connection = connection_of(subscriber);

    // The descriptor may have been another connection's before: first hear of its end.
    talus__peers_read_monitor(&subscriber->peers);
    if (connection < 0)
        connection = TALUS__NO_CONNECTION;
    else if (!talus__monitor_is_up(&subscriber->peers.monitor, connection))
        return; // sent long ago, over a connection that is gone by now
    bool is_other = talus__origin_connect(&subscriber->origins, origin, connection);
    if (is_other || !origin->is_ready_topic)
        talus__announce_ready(subscriber, origin);
    if (is_other && origin->listed == 0)
        talus__live_greeted(subscriber);
}

// An event, a head or a beat of an origin that had been missed, unless it has ended for good.
static void meet_again(talus_subscriber_t *subscriber, struct talus__origin *origin)
{
    if (!talus__origin_may_return(origin))
        return;
    if (origin->is_away)
        talus__origin_hear(&subscriber->origins, origin);
    if (!origin->is_connected)
        meet(subscriber, origin);
}

static int on_event(talus_subscriber_t *subscriber, const struct talus__topic *topic)
{
    struct talus__joined *session =
        talus__joined_find(&subscriber->joined, topic->session, topic->session_size);
    struct talus__body body;

    if (!session && !subscriber->joined.everything) {
        subscriber->stats.ignored++;
        return TALUS__INTAKE_HANDLED;
    }
    int error = talus__body_decode(zmq_msg_data(&subscriber->body), zmq_msg_size(&subscriber->body),
                                   &subscriber->limits, &body);
    if (error == TALUS_EBODY || error == TALUS_EMSGPACK)
        return talus__on_malformed(subscriber, talus_strerror(error));
    struct talus__origin *origin =
        talus__origins_get(&subscriber->origins, body.origin, body.origin_size);
    if (origin && origin->is_ignored) {
        subscriber->stats.ignored++;
        return TALUS__INTAKE_HANDLED;
    }
    if (!error)
        subscriber->stats.received++;
    if (origin && (origin->is_departing || origin->is_away || origin->is_lost))
        meet_again(subscriber, origin);
    if (origin)
        return talus__order_event(subscriber, topic, &body, origin, error);
    // An origin too many has no place, and its events no order that could be checked.
    if (error)
        return TALUS__INTAKE_HANDLED;
    talus__set_event(subscriber, topic, &body);
    return TALUS__INTAKE_EVENT;
}

// ---- Markers

// Takes up where the origin is to be asked. Returns whether that is news.
static bool learn_replay(talus_subscriber_t *subscriber, struct talus__origin *origin,
                         const struct talus__head *head)
{
    char chosen[TALUS__REPLAY_MAX + 64];

    if (head->replay_size == 0 && origin->replay && !origin->asker) { // it has none after all
        free(origin->replay);
        origin->replay = NULL;
    }
    if (head->replay_size == 0 || origin->is_ignored ||
        (origin->was_listed && origin->replay) || // the directory's path is the one seen from here
        (origin->named && strlen(origin->named) == head->replay_size &&
         memcmp(origin->named, head->replay, head->replay_size) == 0))
        return false;
    if (!talus__replay_choose(head->replay, head->replay_size,
                              talus__transport_of(connection_of(subscriber)), host_of(subscriber),
                              chosen, sizeof chosen))
        return false;
    char *named = malloc(head->replay_size + 1);
    char *replay = strdup(chosen);
    if (!named || !replay) {
        free(named);
        free(replay);
        return false;
    }
    copy_text(named, head->replay, head->replay_size);
    free(origin->named);
    free(origin->replay);
    origin->named = named;
    origin->replay = replay;
    return true;
}

static struct talus__origin *decode_marker(talus_subscriber_t *subscriber, struct talus__head *head)
{
    if (talus__head_decode(zmq_msg_data(&subscriber->body), zmq_msg_size(&subscriber->body),
                           head) != 0) {
        talus__on_malformed(subscriber, "a marker of the bus has a body that is none");
        return NULL;
    }
    struct talus__origin *origin =
        talus__origins_get(&subscriber->origins, head->origin, head->origin_size);
    if (!origin)
        return NULL;
    bool is_new = !origin->speaks_heads;
    talus__origin_hear(&subscriber->origins, origin);
    if (learn_replay(subscriber, origin, head) || is_new)
        talus__heals_hear(subscriber, origin);
    return origin;
}

int talus__on_head(talus_subscriber_t *subscriber, const struct talus__topic *topic)
{
    struct talus__head head;
    struct talus__origin *origin = decode_marker(subscriber, &head);

    if (!origin)
        return TALUS__INTAKE_HANDLED;
    if (origin->is_departing || origin->is_lost)
        meet_again(subscriber, origin);
    subscriber->stats.heads++;
    struct talus__joined *joined =
        talus__joined_find(&subscriber->joined, topic->session, topic->session_size);
    if (joined && !origin->is_ignored) {
        talus__order_head(subscriber, joined, origin, head.seq);
        talus__live_check(subscriber, joined);
    }
    return TALUS__INTAKE_HANDLED;
}

static int on_hello(talus_subscriber_t *subscriber)
{
    struct talus__head head;
    struct talus__origin *origin = decode_marker(subscriber, &head);

    if (!origin)
        return TALUS__INTAKE_HANDLED;
    if (head.every > 0)
        talus__beats_hear(subscriber, origin, head.every);
    meet(subscriber, origin);
    return TALUS__INTAKE_HANDLED;
}

static int on_bye(talus_subscriber_t *subscriber)
{
    struct talus__head head;
    struct talus__origin *origin = decode_marker(subscriber, &head);

    if (origin)
        talus__origin_bid_farewell(&subscriber->origins, origin);
    return TALUS__INTAKE_HANDLED;
}

static int on_beat(talus_subscriber_t *subscriber)
{
    struct talus__head head;
    struct talus__origin *origin = decode_marker(subscriber, &head);

    if (origin) {
        talus__beats_hear(subscriber, origin, head.every);
        meet_again(subscriber, origin);
    }
    return TALUS__INTAKE_HANDLED;
}

// ---- Messages

static int drop_rest(talus_subscriber_t *subscriber)
{
    while (zmq_msg_more(&subscriber->body)) {
        if (zmq_msg_recv(&subscriber->body, subscriber->socket, ZMQ_DONTWAIT) < 0)
            break;
    }
    return talus__on_malformed(subscriber, "it has more than two frames");
}

// Takes the next message's two frames from the socket. Returns what talus__take_message does, or
// TALUS__INTAKE_EVENT: they are here.
static int receive_frames(talus_subscriber_t *subscriber)
{
    if (zmq_msg_recv(&subscriber->topic, subscriber->socket, ZMQ_DONTWAIT) < 0) {
        subscriber->inbox.is_emptied = errno == EAGAIN;
        if (errno == EAGAIN)
            return TALUS__INTAKE_EMPTY;
        return errno == EINTR ? TALUS__INTAKE_HANDLED : TALUS_ESYSTEM;
    }
    subscriber->inbox.is_emptied = false;
    subscriber->source.is_kept = false;
    if (!zmq_msg_more(&subscriber->topic))
        return talus__on_malformed(subscriber, "it has one frame only");
    talus__zmq_release(zmq_msg_data(&subscriber->body)); // of the message before
    // The frames of a message arrive together, so this neither waits nor fails for want of one.
    while (zmq_msg_recv(&subscriber->body, subscriber->socket, ZMQ_DONTWAIT) < 0) {
        if (errno != EINTR)
            return TALUS_ESYSTEM;
    }
    talus__zmq_acquire(zmq_msg_data(&subscriber->body));
    return zmq_msg_more(&subscriber->body) ? drop_rest(subscriber) : TALUS__INTAKE_EVENT;
}

int talus__take_message(talus_subscriber_t *subscriber)
{
    struct talus__topic topic;

    if (subscriber->inbox.count > 0) {
        talus__zmq_release(zmq_msg_data(&subscriber->body)); // of the message before
        talus__inbox_take(&subscriber->inbox, &subscriber->topic, &subscriber->body,
                          &subscriber->source);
    } else {
        int taken = receive_frames(subscriber);
        if (taken != TALUS__INTAKE_EVENT)
            return taken;
    }
    int error = talus__topic_parse(zmq_msg_data(&subscriber->topic),
                                   zmq_msg_size(&subscriber->topic), &topic);
    if (error)
        return talus__on_malformed(subscriber, talus_strerror(error));
    switch (topic.kind) {
    case TALUS__TOPIC_EVENT:
        return on_event(subscriber, &topic);
    case TALUS__TOPIC_HEAD:
        return talus__on_head(subscriber, &topic);
    case TALUS__TOPIC_HELLO:
        return on_hello(subscriber);
    case TALUS__TOPIC_BYE:
        return on_bye(subscriber);
    case TALUS__TOPIC_BEAT:
        return on_beat(subscriber);
    case TALUS__TOPIC_END:
    case TALUS__TOPIC_UNKNOWN:
        break;
    }
    return TALUS__INTAKE_HANDLED;
}
