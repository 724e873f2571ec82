// SPDX-License-Identifier: MIT
// The responses of replays: events for gap repairs and recoveries, and their ends.
#include "bus/src/subscriber/replayed.h"

#include <string.h>

#include <talus/error.h>

#include "bus/src/codec/body.h"
#include "bus/src/codec/malformed.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/gap_requests.h"

void talus__replayed_on_failed(void *arg, struct talus__replay_request *request,
                               struct talus__publisher *publisher)
{
    talus_subscriber_t *subscriber = arg;
    const struct talus__open_replay *replay = talus__open_replay_of(request);

    if (replay->is_recovery)
        talus__recover_failed(&subscriber->recover, replay, publisher);
    else if (replay->gap)
        talus__gap_request_failed(&subscriber->repairs, replay->gap);
}

// Whether it is one of the events that were requested.
static bool was_requested(const struct talus__incoming *incoming, const struct talus__body *body)
{
    const struct talus__topic *topic = &incoming->topic;
    const char *session = incoming->request->session;
    const struct tl_node *publisher = &incoming->publisher->node;

    if (!incoming->is_sequenced && (body->origin_size != publisher->name_size ||
                                    memcmp(body->origin, publisher->name, body->origin_size) != 0))
        return false;
    return strcmp(session, TALUS__EVERYTHING) == 0 ||
           (topic->session_size == strlen(session) &&
            memcmp(topic->session, session, topic->session_size) == 0);
}

int talus__replayed_event(talus_subscriber_t *subscriber)
{
    struct talus__core *core = &subscriber->core;
    const struct talus__incoming *incoming = &core->incoming;
    struct talus__open_replay *replay = talus__open_replay_of(incoming->request);
    struct talus__body body;
    int refusal = talus__body_decode(incoming->body, incoming->body_size, &core->limits, &body);

    if (refusal == TALUS__EBODY || refusal == TALUS_EMSGPACK) {
        talus__core_malformed(core, talus__decode_error_text(refusal), 1);
        return TALUS__TAKEN_HANDLED;
    }
    if (!was_requested(incoming, &body)) {
        talus__core_malformed(core, "it answers something that was not asked", 1);
        core->transport->ops->refuse(core->transport);
        return TALUS__TAKEN_HANDLED;
    }
    const struct talus__ordered_event event = {
        .topic = &incoming->topic,
        .body = &body,
        .session = talus__subscriptions_find(&core->subscriptions, incoming->topic.session,
                                             incoming->topic.session_size),
        .publisher = incoming->publisher,
        .seq = incoming->is_sequenced ? incoming->seq : body.seq,
        .prev = incoming->is_sequenced ? incoming->prev : body.prev,
        .refusal = refusal,
    };
    if (replay->is_recovery)
        return talus__recover_event(&subscriber->recover, replay, &event);
    if (!replay->gap)
        return TALUS__TAKEN_HANDLED;
    core->stats.received++;
    if (event.seq > replay->request.after)
        replay->request.after = event.seq; // where to go on if it must be requested again
    return talus__gap_repair_replayed(&subscriber->repairs, replay->gap, &event);
}

int talus__replayed_end(talus_subscriber_t *subscriber)
{
    const struct talus__incoming *incoming = &subscriber->core.incoming;
    struct talus__open_replay *replay = talus__open_replay_of(incoming->request);

    if (replay->is_recovery)
        return talus__recover_end(&subscriber->recover, incoming->publisher, replay,
                                  incoming->first, incoming->seq);
    if (replay->gap) {
        uint64_t upto = talus__gap_repair_judged_upto(
            &subscriber->repairs, replay->gap->subscription, replay->gap->publisher);
        talus__gap_end(&subscriber->repairs, replay->gap, replay->since,
                       incoming->first > upto ? upto + 1 : incoming->first);
    }
    return TALUS__TAKEN_HANDLED;
}
