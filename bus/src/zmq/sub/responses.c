// SPDX-License-Identifier: MIT
// The responses of replays: events and ends for the subscriber, and the high-water marks that were
// requested.
#include "bus/src/zmq/sub/responses.h"

#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/codec/request.h"
#include "bus/src/codec/wire.h"
#include "bus/src/zmq/sub/marks.h"

static bool is_of_session(const struct talus__replay_request *request,
                          const struct talus__topic *topic)
{
    return topic->session_size == strlen(request->session) &&
           memcmp(topic->session, request->session, topic->session_size) == 0;
}

static bool is_of_publisher(const struct talus__publisher *publisher, const char *origin,
                            size_t size)
{
    return publisher->node.name_size == size && memcmp(publisher->name, origin, size) == 0;
}

void talus__responses_refuse(struct talus__zmq_receive *receive)
{
    if (receive->responding->first)
        talus__replay_connection_reset(&receive->replay_client, receive->responding);
}

// A response that makes no sense: what follows it would not, either.
static void on_nonsense(struct talus__zmq_receive *receive, struct talus__incoming *incoming)
{
    talus__incoming_set_malformed(incoming, "it answers something that was not asked");
    talus__responses_refuse(receive);
}

static void on_event(struct talus__zmq_receive *receive, struct talus__incoming *incoming)
{
    struct talus__replay_request *request = receive->responding->first;

    if (!request || !request->session) {
        on_nonsense(receive, incoming);
        return;
    }
    incoming->kind = TALUS__INCOMING_REPLAYED;
    incoming->topic_bytes = talus__frames_topic(&receive->frames);
    incoming->topic_size = talus__frames_topic_size(&receive->frames);
    incoming->body = talus__frames_body(&receive->frames);
    incoming->body_size = talus__frames_body_size(&receive->frames);
    incoming->publisher = receive->responding->publisher;
    incoming->is_sequenced = false;
    incoming->request = request;
}

static void on_end(struct talus__zmq_receive *receive, struct talus__incoming *incoming)
{
    struct talus__replay_connection *connection = receive->responding;
    const struct talus__replay_request *request = connection->first;
    struct talus__end end;

    if (!request || !request->session || !is_of_session(request, &incoming->topic) ||
        talus__end_decode(talus__frames_body(&receive->frames),
                          talus__frames_body_size(&receive->frames), &end) != 0 ||
        !is_of_publisher(connection->publisher, end.origin, end.origin_size)) {
        on_nonsense(receive, incoming);
        return;
    }
    incoming->kind = TALUS__INCOMING_END;
    incoming->publisher = connection->publisher;
    incoming->first = end.first;
    incoming->seq = end.head;
    incoming->request = receive->ended =
        talus__replay_connection_take(&receive->replay_client, connection);
}

static void on_mark(struct talus__zmq_receive *receive, struct talus__incoming *incoming)
{
    struct talus__replay_connection *connection = receive->responding;
    struct talus__mark_request *request =
        connection->first ? talus__mark_request_of(connection->first) : NULL;

    if (!request || request->left == 0) {
        on_nonsense(receive, incoming);
        return;
    }
    if (--request->left == 0)
        free(talus__replay_connection_take(&receive->replay_client, connection));
    talus__marks_head(receive, incoming);
}

void talus__responses_take(struct talus__zmq_receive *receive, struct talus__incoming *incoming)
{
    if (!receive->replay_client.may_have_responses)
        return;
    receive->responding =
        talus__replay_client_receive(&receive->replay_client, &receive->frames, &receive->source);
    if (!receive->responding)
        return;
    incoming->kind = TALUS__INCOMING_OTHER;
    int error = talus__topic_parse(talus__frames_topic(&receive->frames),
                                   talus__frames_topic_size(&receive->frames), &incoming->topic);
    if (error) {
        talus__incoming_set_malformed(incoming, talus_strerror(error));
        return;
    }
    switch (incoming->topic.kind) {
    case TALUS__TOPIC_EVENT:
        on_event(receive, incoming);
        break;
    case TALUS__TOPIC_END:
        on_end(receive, incoming);
        break;
    case TALUS__TOPIC_HEAD:
        on_mark(receive, incoming);
        break;
    case TALUS__TOPIC_HELLO:
    case TALUS__TOPIC_BYE:
    case TALUS__TOPIC_BEAT:
    case TALUS__TOPIC_UNKNOWN:
        break;
    }
}
