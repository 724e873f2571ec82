// SPDX-License-Identifier: MIT
// The responses of replays: events for gap repairs and recoveries, high-water marks for joins, and
// their ends.
#include "bus/src/subscriber/replayed.h"

#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/codec/request.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/marks.h"

void talus__replayed_on_failed(struct talus__replay_request *request,
                               struct talus__publisher *publisher, void *arg)
{
    talus_subscriber_t *subscriber = arg;

    if (request->kind == TALUS__REPLAY_REPAIR && request->waiter)
        talus__gap_request_failed(&subscriber->repairs, request->waiter);
    else if (request->kind == TALUS__REPLAY_RECOVER)
        talus__recover_failed(&subscriber->recover, request, publisher);
}

static bool is_of_session(const struct talus__replay_request *request,
                          const struct talus__topic *topic)
{
    return topic->session_size == strlen(request->session) &&
           memcmp(topic->session, request->session, topic->session_size) == 0;
}

static bool is_of_origin(const struct talus__replay_connection *connection, const char *origin,
                         size_t size)
{
    return connection->publisher->node.name_size == size &&
           memcmp(connection->publisher->name, origin, size) == 0;
}

// An answer that makes no sense: what follows it would not, either.
static int on_nonsense(talus_subscriber_t *subscriber, struct talus__replay_connection *connection)
{
    talus__core_malformed(&subscriber->core, "it answers something that was not asked");
    if (connection->first)
        talus__replay_connection_reset(&subscriber->core.replay_client, connection);
    return TALUS__TAKEN_HANDLED;
}

static int on_replayed_event(talus_subscriber_t *subscriber,
                             struct talus__replay_connection *connection,
                             const struct talus__topic *topic)
{
    struct talus__replay_request *request = connection->first;
    struct talus__body body;
    int refusal = talus__body_decode(talus__frames_body(&subscriber->core.frames),
                                     talus__frames_body_size(&subscriber->core.frames),
                                     &subscriber->core.limits, &body);

    if (refusal == TALUS_EBODY || refusal == TALUS_EMSGPACK)
        return talus__core_malformed(&subscriber->core, talus_strerror(refusal));
    if (!request || request->kind == TALUS__REPLAY_HEADS ||
        !is_of_origin(connection, body.origin, body.origin_size) ||
        (strcmp(request->session, TALUS__EVERYTHING) != 0 && !is_of_session(request, topic)))
        return on_nonsense(subscriber, connection);
    if (request->kind == TALUS__REPLAY_RECOVER)
        return talus__recover_event(&subscriber->recover, request, topic, &body, refusal);
    if (!request->waiter)
        return TALUS__TAKEN_HANDLED;
    subscriber->core.stats.received++;
    if (body.seq > request->after)
        request->after = body.seq; // where to go on if it must be asked again
    return talus__gap_repair_replayed(&subscriber->repairs, request->waiter, topic, &body, refusal);
}

static int on_end(talus_subscriber_t *subscriber, struct talus__replay_connection *connection,
                  const struct talus__topic *topic)
{
    struct talus__end end;
    int taken = TALUS__TAKEN_HANDLED;

    if (!connection->first || connection->first->kind == TALUS__REPLAY_HEADS ||
        !is_of_session(connection->first, topic) ||
        talus__end_decode(talus__frames_body(&subscriber->core.frames),
                          talus__frames_body_size(&subscriber->core.frames), &end) != 0 ||
        !is_of_origin(connection, end.origin, end.origin_size))
        return on_nonsense(subscriber, connection);
    struct talus__replay_request *request =
        talus__replay_connection_take(&subscriber->core.replay_client, connection);
    if (request->kind == TALUS__REPLAY_RECOVER)
        taken = talus__recover_end(&subscriber->recover, connection->publisher, request, &end);
    else if (request->waiter)
        talus__gap_end(&subscriber->repairs, request->waiter, request->since, end.first);
    free(request);
    return taken;
}

static int on_requested_mark(talus_subscriber_t *subscriber,
                             struct talus__replay_connection *connection,
                             const struct talus__topic *topic)
{
    struct talus__replay_request *request = connection->first;

    if (!request || request->kind != TALUS__REPLAY_HEADS || request->heads_left == 0)
        return on_nonsense(subscriber, connection);
    if (--request->heads_left == 0)
        free(talus__replay_connection_take(&subscriber->core.replay_client, connection));
    return talus__marks_head(subscriber, topic);
}

int talus__replayed_take(talus_subscriber_t *subscriber)
{
    struct talus__topic topic;

    if (!subscriber->core.replay_client.may_have_answers)
        return TALUS__TAKEN_EMPTY;
    struct talus__replay_connection *connection = talus__replay_client_receive(
        &subscriber->core.replay_client, &subscriber->core.frames, &subscriber->core.source);
    if (!connection)
        return TALUS__TAKEN_EMPTY;
    int error = talus__topic_parse(talus__frames_topic(&subscriber->core.frames),
                                   talus__frames_topic_size(&subscriber->core.frames), &topic);
    if (error)
        return talus__core_malformed(&subscriber->core, talus_strerror(error));
    switch (topic.kind) {
    case TALUS__TOPIC_EVENT:
        return on_replayed_event(subscriber, connection, &topic);
    case TALUS__TOPIC_END:
        return on_end(subscriber, connection, &topic);
    case TALUS__TOPIC_HEAD:
        return on_requested_mark(subscriber, connection, &topic);
    case TALUS__TOPIC_HELLO:
    case TALUS__TOPIC_BYE:
    case TALUS__TOPIC_BEAT:
    case TALUS__TOPIC_UNKNOWN:
        break;
    }
    return TALUS__TAKEN_HANDLED;
}
