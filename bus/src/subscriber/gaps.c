// SPDX-License-Identifier: MIT
// Open gaps.
#include "bus/src/subscriber/gaps.h"

#include <stdlib.h>
#include <string.h>

#include "bus/src/base/log.h"
#include "bus/src/base/probes.h"
#include "bus/src/subscriber/catch_up.h"

void talus__gaps_init(struct talus__gap_repair *repairs, struct talus__core *core)
{
    repairs->core = core;
    repairs->sequencer.max_events = core->options.held_events;
    repairs->sequencer.max_bytes = core->options.held_bytes;
}

void talus__gaps_wake(struct talus__gap_repair *repairs)
{
    if (repairs->sequencer.ready)
        talus__wake_set(&repairs->core->wake);
}

// ---- Events that are held

void talus__gaps_forget(struct talus__held *held)
{
    free(held);
}

void talus__gaps_hold(struct talus__gap_repair *repairs, struct talus__repair *repair, uint64_t seq,
                      uint64_t prev)
{
    const struct talus__incoming *incoming = &repairs->core->incoming;
    size_t bytes = sizeof(struct talus__held_event) + incoming->topic_size + incoming->body_size;
    struct talus__held_event *event = NULL;

    if (talus__sequencer_has_room(&repairs->sequencer, bytes))
        event = malloc(bytes);
    if (!event) {
        talus__sequencer_let_go(repair, seq);
        return;
    }
    event->held = (struct talus__held){.seq = seq, .prev = prev, .bytes = bytes};
    event->topic_size = incoming->topic_size;
    event->body_size = incoming->body_size;
    if (!talus__sequencer_hold(&repairs->sequencer, repair, &event->held)) {
        free(event);
        return;
    }
    memcpy(event->bytes, incoming->topic_bytes, incoming->topic_size);
    memcpy(event->bytes + incoming->topic_size, incoming->body, incoming->body_size);
}

// ---- Opening and closing

static void log_hole(struct talus__gap_repair *repairs, const struct talus__gap *gap)
{
    unsigned long long held_back;

    repairs->core->stats.gaps_opened++;
    if (talus__may_log(&repairs->hole_gate, &held_back))
        talus__log(TALUS_LOG_INFO,
                   "session '%s' misses events of %s after %llu up to %llu (and %llu more holes)",
                   gap->subscription->name, gap->publisher->name,
                   (unsigned long long)gap->repair.stream->last,
                   (unsigned long long)gap->repair.target, held_back);
}

static struct talus__gap *add_gap(struct talus__gap_repair *repairs,
                                  struct talus__subscription *subscription,
                                  struct talus__publisher *publisher)
{
    struct talus__gap *gap = calloc(1, sizeof *gap);

    if (!gap) {
        talus__log(TALUS_LOG_ERROR, "out of memory: session '%s' misses events of %s for now",
                   subscription->name, publisher->name);
        return NULL;
    }
    gap->subscription = subscription;
    gap->publisher = publisher;
    gap->next = repairs->first;
    if (repairs->first)
        repairs->first->before = gap;
    repairs->first = gap;
    talus__publisher_ref(&repairs->core->publishers, publisher);
    return gap;
}

struct talus__repair *talus__gaps_open(struct talus__gap_repair *repairs,
                                       struct talus__subscription *subscription,
                                       struct talus__publisher *publisher,
                                       struct talus__stream *stream, uint64_t target)
{
    if (stream->repair) {
        talus__sequencer_extend(&repairs->sequencer, stream->repair, target);
        return stream->repair;
    }
    struct talus__gap *gap = add_gap(repairs, subscription, publisher);
    if (!gap)
        return NULL;
    TALUS__PROBE4(gap_opened, talus__probe_text(subscription->name),
                  talus__probe_text(publisher->name), stream->last, target);
    talus__sequencer_open(&repairs->sequencer, stream, &gap->repair, target);
    if (target > stream->last && (publisher->sends_marks || stream->last > 0))
        log_hole(repairs, gap);
    talus__gaps_wake(repairs);
    return &gap->repair;
}

void talus__gaps_free(struct talus__gap_repair *repairs, struct talus__gap *gap)
{
    struct talus__publisher *publisher = gap->publisher;

    TALUS__PROBE4(gap_closed, talus__probe_text(gap->subscription->name),
                  talus__probe_text(publisher->name), gap->repair.target, gap->has_failed);
    if (gap->before)
        gap->before->next = gap->next;
    else
        repairs->first = gap->next;
    if (gap->next)
        gap->next->before = gap->before;
    if (gap->replay)
        gap->replay->gap = NULL;
    free(gap);
    talus__publisher_unref(&repairs->core->publishers, publisher);
}

void talus__gaps_close(struct talus__gap_repair *repairs, struct talus__gap *gap)
{
    struct talus__held *held;

    while ((held = talus__sequencer_pop(&repairs->sequencer, &gap->repair)))
        talus__gaps_forget(held);
    talus__sequencer_close(&repairs->sequencer, &gap->repair);
    talus__catch_up_check(repairs->core, gap->subscription);
    talus__gaps_free(repairs, gap);
}

void talus__gaps_fini(struct talus__gap_repair *repairs)
{
    struct talus__held *held;

    while (repairs->first) {
        struct talus__gap *gap = repairs->first;
        repairs->first = gap->next;
        while ((held = talus__sequencer_pop(&repairs->sequencer, &gap->repair)))
            talus__gaps_forget(held);
        free(gap);
    }
}
