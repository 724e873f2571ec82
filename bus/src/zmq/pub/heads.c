// SPDX-License-Identifier: MIT
// Markers: heads, hellos, beats, the farewell.
#include "bus/src/zmq/pub/heads.h"

#include <errno.h>
#include <string.h>
#include <zmq.h>

#include "bus/src/base/log.h"
#include "bus/src/codec/body.h"
#include "bus/src/codec/wire.h"
#include "bus/src/zmq/context.h"

#define REPEATS_PER_TURN 256

// `every`: of a hello and a beat: milliseconds between beats; else 0.
static size_t encode_marker(const struct talus__publisher *publisher,
                            uint8_t body[TALUS__HEAD_BODY_MAX], uint64_t seq, int every)
{
    const struct talus__head head = {.origin = publisher->origin,
                                     .origin_size = strlen(publisher->origin),
                                     .seq = seq,
                                     .replay = publisher->replay.endpoint,
                                     .replay_size = strlen(publisher->replay.endpoint),
                                     .every = (uint64_t)every};

    return talus__head_encode(body, TALUS__HEAD_BODY_MAX, &head);
}

static void log_unsent(const char *topic, size_t topic_size)
{
    talus__log(TALUS_LOG_ERROR, "head %.*s was not sent: %s", (int)topic_size, topic,
               zmq_strerror(errno));
}

static void send_marker(struct talus__publisher *publisher, const char *topic, size_t topic_size,
                        uint64_t seq, int every)
{
    uint8_t body[TALUS__HEAD_BODY_MAX];
    size_t size = encode_marker(publisher, body, seq, every);

    if (zmq_send(publisher->socket, topic, topic_size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_send(publisher->socket, body, size, ZMQ_DONTWAIT) < 0) {
        log_unsent(topic, topic_size);
        return;
    }
    if (every == 0 || publisher->hello_due)
        talus__count_one(&publisher->heads);
}

static void send_head(struct talus__publisher *publisher, const char *topic, size_t topic_size,
                      uint64_t seq)
{
    send_marker(publisher, topic, topic_size, seq, 0);
}

void talus__beat(struct talus__publisher *publisher)
{
    if (publisher->beat_at == 0 || publisher->now < publisher->beat_at)
        return;
    send_marker(publisher, TALUS__BEAT_TOPIC, strlen(TALUS__BEAT_TOPIC), publisher->newest,
                publisher->heartbeat_ms);
    publisher->beat_at = publisher->now + publisher->heartbeat_ms;
}

void talus__send_session_head(const char *session, size_t size, void *arg)
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
        talus__send_session_head(session->name, session->node.name_size, publisher);
}

bool talus__repeat_heads(struct talus__publisher *publisher)
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

void talus__answer_heads(struct talus__publisher *publisher)
{
    if (publisher->hello_due)
        send_marker(publisher, TALUS__HELLO_TOPIC, strlen(TALUS__HELLO_TOPIC), publisher->newest,
                    publisher->heartbeat_ms);
    if (publisher->everything_due)
        send_everything_head(publisher);
    publisher->hello_due = false;
    publisher->everything_due = false;
    talus__names_drain(&publisher->heads_due, talus__send_session_head, publisher);
}

static struct talus__farewell *send_farewell(struct talus__publisher *publisher)
{
    uint8_t body[TALUS__HEAD_BODY_MAX];
    size_t size = encode_marker(publisher, body, publisher->newest, 0);
    struct talus__farewell *farewell = talus__farewell_send(publisher->socket, TALUS__BYE_TOPIC,
                                                            strlen(TALUS__BYE_TOPIC), body, size);

    if (farewell)
        talus__count_one(&publisher->heads);
    else
        log_unsent(TALUS__BYE_TOPIC, strlen(TALUS__BYE_TOPIC));
    return farewell;
}

struct talus__farewell *talus__say_bye(struct talus__publisher *publisher, long long deadline)
{
    const struct talus__session *session = NULL;
    int sent = 0;

    while ((sent++ % REPEATS_PER_TURN || talus__monotonic_ms() < deadline) &&
           (session = talus__repeats_drain(&publisher->repeats)))
        repeat_head(publisher, session);
    if (publisher->has_farewell && publisher->newest == talus__queue_newest(&publisher->queue) &&
        !session)
        return send_farewell(publisher);
    return NULL;
}
