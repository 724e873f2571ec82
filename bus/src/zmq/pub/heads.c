// SPDX-License-Identifier: MIT
// Markers: heads, hellos, beats, the graceful leave (`$bus/$bye`).
#include "bus/src/zmq/pub/heads.h"

#include <errno.h>
#include <string.h>
#include <zmq.h>

#include "bus/src/base/log.h"
#include "bus/src/codec/body.h"
#include "bus/src/codec/wire.h"
#include "common/clock.h"

#define REPEATS_PER_TURN 256

// `every`: of a hello and a beat: milliseconds between beats; else 0.
static size_t encode_marker(const struct talus__zmq_publish *bus,
                            uint8_t body[TALUS__HEAD_BODY_MAX], uint64_t seq, int every)
{
    const struct talus__head head = {.origin = bus->origin,
                                     .origin_size = strlen(bus->origin),
                                     .seq = seq,
                                     .replay = bus->replay.endpoint,
                                     .replay_size = strlen(bus->replay.endpoint),
                                     .every = (uint64_t)every};

    return talus__head_encode(body, TALUS__HEAD_BODY_MAX, &head);
}

static void log_unsent(const char *topic, size_t topic_size)
{
    talus__log(TALUS_LOG_ERROR, "head %.*s was not sent: %s", (int)topic_size, topic,
               zmq_strerror(errno));
}

static void send_marker(struct talus__zmq_publish *bus, const char *topic, size_t topic_size,
                        uint64_t seq, int every)
{
    uint8_t body[TALUS__HEAD_BODY_MAX];
    size_t size = encode_marker(bus, body, seq, every);

    if (zmq_send(bus->socket, topic, topic_size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_send(bus->socket, body, size, ZMQ_DONTWAIT) < 0) {
        log_unsent(topic, topic_size);
        return;
    }
    if (every == 0 || bus->hello_due)
        talus__count_one(&bus->heads);
}

static void send_head(struct talus__zmq_publish *bus, const char *topic, size_t topic_size,
                      uint64_t seq)
{
    send_marker(bus, topic, topic_size, seq, 0);
}

void talus__beat(struct talus__zmq_publish *bus)
{
    if (bus->beat_at == 0 || bus->now < bus->beat_at)
        return;
    send_marker(bus, TALUS__BEAT_TOPIC, strlen(TALUS__BEAT_TOPIC), bus->newest, bus->heartbeat_ms);
    bus->beat_at = bus->now + bus->heartbeat_ms;
}

void talus__send_session_head(const char *session, size_t size, void *arg)
{
    struct talus__zmq_publish *bus = arg;
    static const char suffix[] = "/" TALUS__HEAD;
    char topic[TALUS_SESSION_MAX + sizeof suffix];

    memcpy(topic, session, size);
    memcpy(topic + size, suffix, sizeof suffix - 1);
    send_head(bus, topic, size + sizeof suffix - 1,
              bus->source->last(bus->source->arg, session, size));
}

static void send_everything_head(struct talus__zmq_publish *bus)
{
    static const char topic[] = TALUS__EVERYTHING "/" TALUS__HEAD;

    send_head(bus, topic, strlen(topic), bus->newest);
}

static void repeat_head(struct talus__zmq_publish *bus, struct talus__repeat *repeat)
{
    if (repeat == &bus->everything) {
        send_everything_head(bus);
        return;
    }
    const struct talus__publish_session *session = talus__publish_session_of(repeat);
    talus__send_session_head(session->name, session->name_size, bus);
}

bool talus__repeat_heads(struct talus__zmq_publish *bus)
{
    struct talus__repeat *repeat = NULL;

    for (int i = 0; i < REPEATS_PER_TURN; i++) {
        repeat = talus__repeats_take(&bus->repeats, bus->now);
        if (!repeat)
            break;
        repeat_head(bus, repeat);
    }
    return repeat != NULL;
}

void talus__answer_heads(struct talus__zmq_publish *bus)
{
    if (bus->hello_due)
        send_marker(bus, TALUS__HELLO_TOPIC, strlen(TALUS__HELLO_TOPIC), bus->newest,
                    bus->heartbeat_ms);
    if (bus->everything_due)
        send_everything_head(bus);
    bus->hello_due = false;
    bus->everything_due = false;
    talus__names_drain(&bus->heads_due, talus__send_session_head, bus);
}

static struct talus__leave *send_leave(struct talus__zmq_publish *bus)
{
    uint8_t body[TALUS__HEAD_BODY_MAX];
    size_t size = encode_marker(bus, body, bus->newest, 0);
    struct talus__leave *leave =
        talus__leave_send(bus->socket, TALUS__BYE_TOPIC, strlen(TALUS__BYE_TOPIC), body, size);

    if (leave)
        talus__count_one(&bus->heads);
    else
        log_unsent(TALUS__BYE_TOPIC, strlen(TALUS__BYE_TOPIC));
    return leave;
}

struct talus__leave *talus__take_leave(struct talus__zmq_publish *bus, long long deadline,
                                       bool is_complete)
{
    struct talus__repeat *repeat = NULL;
    int sent = 0;

    while ((sent++ % REPEATS_PER_TURN || tl_monotonic_ms() < deadline) &&
           (repeat = talus__repeats_drain(&bus->repeats)))
        repeat_head(bus, repeat);
    if (bus->is_everyone_ready && is_complete && !repeat)
        return send_leave(bus);
    return NULL;
}
