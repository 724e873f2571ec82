// SPDX-License-Identifier: MIT
// Losses of publishers.
#include "bus/src/subscriber/losses.h"

#include "bus/src/subscriber/gap_requests.h"

// Whether something was sent to the session that has not come, and up to which seq. Where nobody
// knows, whatever was sent since the last mark may be missing.
static bool is_owed(const struct talus__loss *loss, const struct talus__subscription *subscription,
                    const struct talus__stream_cursor *cursor, uint64_t *upto)
{
    uint64_t last = cursor ? cursor->stream.last : 0;

    *upto = 0;
    if (!loss->newest)
        return !cursor || last > 0;
    *upto = loss->newest(loss, subscription->name, subscription->node.name_size);
    return *upto > last;
}

static void lose_cursor(struct talus__gap_repair *repairs, struct talus__subscription *subscription,
                        const struct talus__loss *loss)
{
    struct talus__publishers *publishers = &repairs->core->publishers;
    struct talus__publisher *publisher = loss->publisher;
    struct talus__publisher_ref ref = talus__publisher_refer(publishers, publisher);
    struct talus__stream_cursor *cursor = talus__stream_cursor_find(subscription, ref);
    uint64_t upto;

    if (loss->has_left || (cursor && cursor->stream.state == TALUS__STREAM_ENDED) ||
        !is_owed(loss, subscription, cursor, &upto)) {
        if (cursor) // it cannot be asked any more
            talus__gap_fail(repairs, &cursor->stream);
        return;
    }
    // One that was never heard came when the session was live: what it sent was owed. Where it was
    // gone before the session was live, nothing was.
    if (!cursor && subscription->is_live && loss->was_known &&
        subscription->live_turn < publisher->left_at)
        cursor = talus__stream_cursor_get(subscription, publishers, ref);
    else if (cursor && !cursor->stream.has_baseline && cursor->stream.last == 0 &&
             !subscription->is_live)
        return;
    if (cursor)
        talus__gap_lose(repairs, subscription, publisher, &cursor->stream, upto);
}

// The stream of all tells what was sent after it `begins`; a session's own tells what is missing
// before. Where nobody knows what that is, the stream of all tells that, too.
static void lose_before(struct talus__gap_repair *repairs, struct talus__subscription *subscription,
                        const struct talus__loss *loss, uint64_t begins)
{
    struct talus__stream_cursor *cursor = talus__stream_cursor_find(
        subscription, talus__publisher_refer(&repairs->core->publishers, loss->publisher));
    uint64_t upto;

    if (!cursor)
        return;
    if (loss->has_left || !loss->newest || cursor->stream.last >= begins ||
        (!cursor->stream.has_baseline && !subscription->is_live) ||
        !is_owed(loss, subscription, cursor, &upto))
        talus__gap_fail(repairs, &cursor->stream);
    else
        talus__gap_lose(repairs, subscription, loss->publisher, &cursor->stream,
                        upto < begins ? upto : begins);
}

void talus__losses_tell(struct talus__gap_repair *repairs, const struct talus__loss *loss)
{
    struct talus__subscriptions *subscriptions = &repairs->core->subscriptions;
    const struct talus__stream *all = talus__gap_repair_judge_of_all(repairs, loss->publisher);
    uint64_t begins = all ? all->begins : 0;

    for (size_t i = 0; i <= subscriptions->table.mask; i++) {
        struct tl_node *node = subscriptions->table.buckets[i];
        for (; node; node = node->next) {
            struct talus__subscription *subscription = (struct talus__subscription *)node;
            if (talus__subscription_is_left(subscription) ||
                (all && subscription == subscriptions->everything))
                continue;
            if (all)
                lose_before(repairs, subscription, loss, begins);
            else
                lose_cursor(repairs, subscription, loss);
        }
    }
    if (all) // what is missing before it began is told first
        lose_cursor(repairs, subscriptions->everything, loss);
}
