// SPDX-License-Identifier: MIT
// Requests and deadlines of gaps.
#include "bus/src/subscriber/gap_requests.h"

#include "bus/src/zmq/context.h"

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
    struct talus__replay_request *request =
        talus__replay_request_new(TALUS__REPLAY_REPAIR, gap->joined->name, after);

    if (request) {
        request->waiter = gap;
        if (talus__replay_client_request(&repairs->core->replay_client, gap->origin, request) != 0)
            request = NULL;
    }
    gap->request = request;
    if (request)
        talus__sequencer_requested(&gap->repair);
    else // too many, or no memory: later
        wait_until(repairs, gap, tl_monotonic_ms() + REQUEST_AGAIN_MS);
}

void talus__gap_request(struct talus__gap_repair *repairs, struct talus__gap *gap, uint64_t after)
{
    const struct talus__origin *origin = gap->origin;

    if (origin->is_lost)
        talus__sequencer_fail(&repairs->sequencer, &gap->repair, TALUS__CAUSE_LOST);
    else if (origin->replay)
        send_request(repairs, gap, after);
    else if (origin->speaks_heads) // it offers none
        talus__sequencer_fail(&repairs->sequencer, &gap->repair, TALUS__CAUSE_HISTORY);
    else if (origin->is_plain)
        talus__sequencer_fail(&repairs->sequencer, &gap->repair, TALUS__CAUSE_UNPROVEN);
    else
        wait_until(repairs, gap, tl_monotonic_ms() + repairs->core->options.head_wait_ms);
}

static void retry(struct talus__gap_repair *repairs, struct talus__gap *gap)
{
    gap->deadline = 0;
    talus__sequencer_retry(&repairs->sequencer, &gap->repair);
}

void talus__gap_hear_all(struct talus__gap_repair *repairs, const struct talus__origin *origin)
{
    for (struct talus__gap *gap = repairs->first; gap; gap = gap->next) {
        if (gap->origin == origin && gap->deadline != 0)
            retry(repairs, gap);
    }
    talus__gaps_wake(repairs);
}

void talus__gap_end(struct talus__gap_repair *repairs, struct talus__gap *gap, uint64_t since,
                    uint64_t first)
{
    gap->request = NULL;
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
    gap->request = NULL;
    fail(repairs, gap, TALUS__CAUSE_LOST);
}

void talus__gap_fail(struct talus__gap_repair *repairs, struct talus__stream *stream)
{
    if (stream->repair)
        fail(repairs, talus__gap_of(stream->repair), TALUS__CAUSE_LOST);
}

void talus__gap_lose(struct talus__gap_repair *repairs, struct talus__joined *joined,
                     struct talus__origin *origin, struct talus__stream *stream, uint64_t upto)
{
    struct talus__repair *repair =
        talus__gaps_open(repairs, joined, origin, stream, upto > 0 ? upto : stream->last);

    if (!repair)
        return;
    talus__gap_of(repair)->deadline = 0;
    if (upto > 0)
        talus__sequencer_fail(&repairs->sequencer, repair, TALUS__CAUSE_LOST);
    else
        talus__sequencer_lose(&repairs->sequencer, repair);
    talus__gaps_wake(repairs);
}

// Whether the inbox has lately dropped something. Noticed late, it counts as late.
static bool has_dropped(struct talus__gap_repair *repairs, long long now)
{
    uint64_t dropped = atomic_load_explicit(&repairs->core->bound.dropped, memory_order_relaxed);

    if (dropped != repairs->dropped) {
        repairs->dropped = dropped;
        repairs->trusted_at = now + repairs->core->options.heal_timeout_ms;
    }
    return now < repairs->trusted_at;
}

// The publisher's marks may be among what was dropped. If none comes, what is missing is told, as
// of a publisher that offers no history.
static void wait_longer(struct talus__gap_repair *repairs, struct talus__gap *gap, long long now)
{
    if (gap->give_up_at == 0)
        gap->give_up_at = now + repairs->core->options.heal_timeout_ms;
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
    if (is_waiting && !gap->origin->speaks_heads) {
        wait_longer(repairs, gap, now);
        return;
    }
    if (!gap->origin->speaks_heads)
        gap->origin->is_plain = true; // no mark came in its time
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
