// SPDX-License-Identifier: MIT
// Requests and deadlines of gaps.
#include "bus/src/subscriber/gap_requests.h"

#include "common/clock.h"

#define REQUEST_AGAIN_MS 100 // before a request is tried again that could not be made

static void tend_by(struct talus__gap_repair *repairs, long long at)
{
    if (repairs->tend_at == 0 || at < repairs->tend_at)
        repairs->tend_at = at;
}

static void wait_until(struct talus__gap_repair *repairs, struct talus__gap *gap, long long at)
{
    gap->deadline = at;
    talus__sequencer_wait(&gap->repair);
    tend_by(repairs, at);
}

static void send_request(struct talus__gap_repair *repairs, struct talus__gap *gap, uint64_t after)
{
    struct talus__receive_transport *transport = repairs->core->transport;
    struct talus__open_replay *replay = talus__open_replay_new(gap->subscription->name, after);

    if (replay) {
        replay->gap = gap;
        if (transport->ops->request(transport, gap->publisher, &replay->request) != 0)
            replay = NULL;
    }
    gap->replay = replay;
    if (replay)
        talus__sequencer_requested(&gap->repair);
    else // too many, or no memory: later
        wait_until(repairs, gap, tl_monotonic_ms() + REQUEST_AGAIN_MS);
}

void talus__gap_request(struct talus__gap_repair *repairs, struct talus__gap *gap, uint64_t after)
{
    const struct talus__publisher *publisher = gap->publisher;

    if (publisher->standing.is_lost)
        talus__sequencer_fail(&repairs->sequencer, &gap->repair, TALUS__CAUSE_LOST);
    else if (publisher->can_replay)
        send_request(repairs, gap, after);
    else if (publisher->sends_marks) // it offers none
        talus__sequencer_fail(&repairs->sequencer, &gap->repair, TALUS__CAUSE_HISTORY);
    else if (publisher->is_plain)
        talus__sequencer_fail(&repairs->sequencer, &gap->repair, TALUS__CAUSE_UNPROVEN);
    else
        wait_until(repairs, gap, tl_monotonic_ms() + repairs->core->options.head_wait_ms);
}

static void retry(struct talus__gap_repair *repairs, struct talus__gap *gap)
{
    gap->deadline = 0;
    talus__sequencer_retry(&repairs->sequencer, &gap->repair);
}

void talus__gap_hear_all(struct talus__gap_repair *repairs,
                         const struct talus__publisher *publisher)
{
    for (struct talus__gap *gap = repairs->first; gap; gap = gap->next) {
        if (gap->publisher == publisher && gap->deadline != 0)
            retry(repairs, gap);
    }
    talus__gaps_wake(repairs);
}

void talus__gap_end(struct talus__gap_repair *repairs, struct talus__gap *gap, uint64_t since,
                    uint64_t first)
{
    gap->replay = NULL;
    talus__sequencer_end(&repairs->sequencer, &gap->repair, since, first);
    talus__gaps_wake(repairs);
}

static void fail(struct talus__gap_repair *repairs, struct talus__gap *gap,
                 enum talus__gap_cause cause)
{
    gap->deadline = 0;
    talus__sequencer_fail(&repairs->sequencer, &gap->repair, cause);
    talus__gaps_wake(repairs);
}

void talus__gap_request_failed(struct talus__gap_repair *repairs, struct talus__gap *gap)
{
    gap->replay = NULL;
    fail(repairs, gap, TALUS__CAUSE_LOST);
}

void talus__gap_fail(struct talus__gap_repair *repairs, struct talus__stream *stream)
{
    if (stream->repair)
        fail(repairs, talus__gap_of(stream->repair), TALUS__CAUSE_LOST);
}

void talus__gap_lose(struct talus__gap_repair *repairs, struct talus__subscription *subscription,
                     struct talus__publisher *publisher, struct talus__stream *stream,
                     uint64_t upto)
{
    struct talus__repair *repair =
        talus__gaps_open(repairs, subscription, publisher, stream, upto > 0 ? upto : stream->last);

    if (!repair)
        return;
    talus__gap_of(repair)->deadline = 0;
    if (upto > 0)
        talus__sequencer_fail(&repairs->sequencer, repair, TALUS__CAUSE_LOST);
    else
        talus__sequencer_lose(&repairs->sequencer, repair);
    talus__gaps_wake(repairs);
}

// Whether messages were lately dropped. Noticed late, it counts as late.
static bool has_dropped(struct talus__gap_repair *repairs, long long now)
{
    const struct talus__receive_transport *transport = repairs->core->transport;
    uint64_t dropped = transport->ops->dropped(transport);

    if (dropped != repairs->dropped) {
        repairs->dropped = dropped;
        repairs->trusted_at = now + repairs->core->options.repair_timeout_ms;
    }
    return now < repairs->trusted_at;
}

// The publisher's marks may be among what was dropped. If none comes, what is missing is told, as
// of a publisher that offers no history.
static void wait_longer(struct talus__gap_repair *repairs, struct talus__gap *gap, long long now)
{
    if (gap->give_up_at == 0)
        gap->give_up_at = now + repairs->core->options.repair_timeout_ms;
    gap->deadline = gap->give_up_at;
    if (now < gap->give_up_at)
        tend_by(repairs, gap->deadline);
    else
        fail(repairs, gap, TALUS__CAUSE_HISTORY);
}

static void tend_gap(struct talus__gap_repair *repairs, struct talus__gap *gap, long long now)
{
    if (gap->deadline == 0)
        return;
    if (now < gap->deadline) {
        tend_by(repairs, gap->deadline);
        return;
    }
    bool is_waiting = gap->give_up_at != 0 || has_dropped(repairs, now);
    if (is_waiting && !gap->publisher->sends_marks) {
        wait_longer(repairs, gap, now);
        return;
    }
    if (!gap->publisher->sends_marks)
        gap->publisher->is_plain = true; // no mark came in its time
    retry(repairs, gap);
}

void talus__gap_tend_all(struct talus__gap_repair *repairs, long long now)
{
    if (repairs->tend_at == 0 || now < repairs->tend_at)
        return;
    repairs->tend_at = 0;
    for (struct talus__gap *gap = repairs->first; gap; gap = gap->next)
        tend_gap(repairs, gap, now);
    talus__gaps_wake(repairs);
}
