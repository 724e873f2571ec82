// SPDX-License-Identifier: MIT
// A world for the sequencer.
#include "sequencer_world.h"

#include <stdio.h>
#include <string.h>

#define CHECK(condition, what)                                                                     \
    do {                                                                                           \
        if (!(condition) && !world->problem)                                                       \
            world->problem = what;                                                                 \
    } while (0)

#define TRACE(...)                                                                                 \
    do {                                                                                           \
        if (world->is_traced)                                                                      \
            printf(__VA_ARGS__);                                                                   \
    } while (0)

typedef unsigned long long number; // as printf has it

static uint64_t draw(struct world *world, uint64_t below)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return (world->random >> 11) % below;
}

static bool one_in(struct world *world, uint64_t count)
{
    return draw(world, count) == 0;
}

static unsigned index_of(const struct world *world, const struct talus__stream *stream)
{
    return (unsigned)(stream - world->streams);
}

// ---- The model: each event once and in order, or a gap that names what is missing

static bool is_in(const struct world *world, uint64_t seq, unsigned stream)
{
    return stream == WORLD_ALL || world->events[seq].session == stream;
}

static bool is_settled(const struct world_event *event)
{
    return event->is_delivered || event->is_told || event->is_early;
}

static bool is_by_all(const struct world *world)
{
    return world->is_wanted[WORLD_ALL] &&
           talus__sequencer_can_judge(&world->streams[WORLD_ALL], world->is_live[WORLD_ALL]);
}

// Up to which seq the stream judges, if it is wanted.
static uint64_t judged_upto(const struct world *world, unsigned index)
{
    if (index == WORLD_ALL)
        return UINT64_MAX;
    return is_by_all(world) ? world->streams[WORLD_ALL].begins : UINT64_MAX;
}

static void model_deliver(struct world *world, unsigned stream, uint64_t seq)
{
    struct world_event *event = &world->events[seq];

    TRACE("  deliver %llu in %u\n", (number)seq, stream);
    world->deliveries++;
    CHECK(seq > world->position[stream], "an event came twice, or out of order");
    world->position[stream] = seq;
    if (world->kind == WORLD_LYING)
        return;
    CHECK(!event->is_delivered, "an event came twice");
    CHECK(!event->is_told, "an event came that was told to be missing");
    if (world->kind == WORLD_PLAIN && world->floor[stream] == UINT64_MAX)
        world->floor[stream] = seq; // what was before is not known to be owed
    for (uint64_t seq2 = 1; seq2 < seq; seq2++) {
        if (seq2 > world->floor[stream] && is_in(world, seq2, stream))
            CHECK(is_settled(&world->events[seq2]), "an event came before one that is owed");
    }
    event->is_delivered = true;
}

static void model_gap(struct world *world, unsigned stream, uint64_t after, uint64_t before)
{
    bool has_any = false;

    TRACE("  gap (%llu, %llu) in %u\n", (number)after, (number)before, stream);
    world->gaps++;
    CHECK(after >= world->position[stream], "a gap begins before the last delivery");
    world->position[stream] = after;
    if (before == 0) {
        CHECK(world->is_ended, "a gap without end, of a publisher that is not lost");
        return;
    }
    CHECK(before > after + 1, "a gap names nothing");
    CHECK(world->kind != WORLD_PLAIN || after > 0 || world->is_lost,
          "a gap before the first event of a publisher without marks");
    world->position[stream] = before - 1;
    if (world->kind == WORLD_LYING)
        return;
    CHECK(before <= world->newest[stream] + 1, "a gap names what was never sent");
    for (uint64_t seq = after + 1; seq < before && seq <= world->newest[WORLD_ALL]; seq++) {
        struct world_event *event = &world->events[seq];
        if (!is_in(world, seq, stream))
            continue;
        has_any = true;
        if (event->is_early)
            continue; // the stream of all does not know what the sessions had before it judged
        CHECK(!event->is_delivered, "a gap names an event that was delivered");
        CHECK(!event->is_told, "a gap names an event twice");
        CHECK(!event->is_held, "a gap names an event that is held");
        CHECK(event->is_gone || world->is_lost || world->is_unreachable ||
                  world->kind == WORLD_PLAIN,
              "a gap names an event that could be had");
        event->is_told = true;
    }
    // A session that has newer events may miss something before the stream of all began to judge.
    bool is_unsure = stream != WORLD_ALL && before == judged_upto(world, stream) + 1 &&
                     world->newest[stream] >= before;
    CHECK(has_any || is_unsure, "a gap names no event of the session");
}

// ---- The owner

static struct talus__event_place place_of(struct world *world, unsigned session)
{
    return (struct talus__event_place){
        .session = world->is_wanted[session] ? &world->streams[session] : NULL,
        .all = world->is_wanted[WORLD_ALL] ? &world->streams[WORLD_ALL] : NULL,
        .wants_session = world->is_wanted[session],
        .wants_all = world->is_wanted[WORLD_ALL],
        .is_session_live = world->is_live[session],
        .is_all_live = world->is_live[WORLD_ALL],
        .has_marks = world->kind != WORLD_PLAIN,
    };
}

static void open_repair(struct world *world, struct talus__stream *stream, uint64_t target)
{
    if (stream->repair)
        talus__sequencer_extend(&world->sequencer, stream->repair, target);
    else
        talus__sequencer_open(&world->sequencer, stream, &world->repairs[index_of(world, stream)],
                              target);
}

static void give_back(struct world *world, struct talus__held *held)
{
    struct world_held *own = (struct world_held *)held;

    if (held->seq <= WORLD_EVENTS)
        world->events[held->seq].is_held = false;
    own->free_next = world->free_held;
    world->free_held = own;
}

static void hold(struct world *world, struct talus__repair *repair, unsigned session, uint64_t seq,
                 uint64_t prev)
{
    struct world_held *own = world->free_held;

    if (!own || one_in(world, 40)) { // without memory
        talus__sequencer_let_go(repair, seq);
        return;
    }
    own->held = (struct talus__held){.seq = seq, .prev = prev, .bytes = 1 + draw(world, 9)};
    own->session = session;
    bool was_held = seq <= WORLD_EVENTS && world->events[seq].is_held;
    if (!talus__sequencer_hold(&world->sequencer, repair, &own->held))
        return;
    CHECK(!was_held || world->kind == WORLD_LYING, "an event is held twice");
    world->free_held = own->free_next;
    if (seq <= WORLD_EVENTS)
        world->events[seq].is_held = true;
}

static void take_verdict(struct world *world, enum talus__verdict verdict,
                         struct talus__event_place *place, unsigned session, uint64_t seq,
                         uint64_t last)
{
    if (verdict == TALUS__VERDICT_DELIVER && one_in(world, 30) && world->kind == WORLD_LYING)
        model_gap(world, index_of(world, place->judge), last, seq + 1); // its payload is refused
    else if (verdict == TALUS__VERDICT_DELIVER)
        model_deliver(world, index_of(world, place->judge), seq);
    if (verdict == TALUS__VERDICT_HOLD || verdict == TALUS__VERDICT_BLOCK) {
        if (verdict == TALUS__VERDICT_BLOCK)
            open_repair(world, place->session, place->missing);
        open_repair(world, place->judge, place->prev);
        if (verdict == TALUS__VERDICT_BLOCK)
            talus__sequencer_block(place);
        hold(world, place->judge->repair, session, seq, place->prev);
    }
}

static void on_event(struct world *world, uint64_t seq, unsigned session, uint64_t prev)
{
    struct talus__event_place place = place_of(world, session);

    talus__sequencer_place(&place, seq, prev);
    if (!place.judge)
        return;
    uint64_t last = place.judge->last;
    enum talus__verdict verdict = talus__sequencer_event(&world->sequencer, &place, seq);
    TRACE("event %llu (prev %llu) of %u: verdict %d of %u\n", (number)seq, (number)prev, session,
          (int)verdict, index_of(world, place.judge));
    take_verdict(world, verdict, &place, session, seq, last);
}

static void close_repair(struct world *world, struct talus__repair *repair)
{
    struct talus__held *held;

    while ((held = talus__sequencer_pop(&world->sequencer, repair)))
        give_back(world, held);
    world->replays[index_of(world, repair->stream)].is_open = false;
    talus__sequencer_close(&world->sequencer, repair);
}

// From here on the stream owes everything. A session's own stream owes no more than what was sent
// before that of all began to judge. What it is known to miss belongs to all, and what lies before
// where it was is not owed again.
static void note_baseline(struct world *world, unsigned index, uint64_t from)
{
    world->position[index] = world->streams[index].last;
    world->floor[index] = from < world->position[index] ? from : world->position[index];
    if (world->kind == WORLD_PLAIN && world->floor[index] == 0)
        world->floor[index] = UINT64_MAX;
    for (unsigned i = 0; i < WORLD_SESSIONS && index == WORLD_ALL; i++) {
        for (uint64_t event = 1; event <= world->newest[i]; event++)
            world->events[event].is_early |=
                world->events[event].session == i && event <= world->streams[i].last;
    }
}

// Returns from where on something is known to be owed.
static uint64_t take_over(struct world *world, struct talus__mark *mark)
{
    uint64_t owed = UINT64_MAX;

    for (unsigned i = 0; i < WORLD_SESSIONS; i++) {
        struct talus__stream *session = &world->streams[i];
        if (!session->repair)
            continue;
        owed = session->last < owed ? session->last : owed;
        talus__sequencer_take_over(session, mark);
        close_repair(world, session->repair);
    }
    return owed;
}

// "*" is live after its time, whatever came.
static void go_live(struct world *world)
{
    struct talus__mark mark = {0};

    if (!world->is_wanted[WORLD_ALL] || world->is_live[WORLD_ALL])
        return;
    TRACE("* is live\n");
    world->is_live[WORLD_ALL] = true;
    if (world->streams[WORLD_ALL].has_baseline)
        return;
    uint64_t owed = take_over(world, &mark);
    uint64_t missing = talus__sequencer_adopt(&world->sequencer, &world->streams[WORLD_ALL], &mark);
    if (missing > 0)
        open_repair(world, &world->streams[WORLD_ALL], missing);
    note_baseline(world, WORLD_ALL, owed);
}

static void on_mark(struct world *world, unsigned index, uint64_t seq)
{
    struct talus__stream *stream = &world->streams[index];
    bool is_baseline = talus__sequencer_is_baseline(stream, world->is_live[index]);
    uint64_t owed = UINT64_MAX;
    struct talus__mark mark = {.seq = seq,
                               .is_wanted = true,
                               .is_live = world->is_live[index],
                               .judged_upto = judged_upto(world, index)};

    if (!world->is_wanted[index])
        return;
    TRACE("mark %llu of %u\n", (number)seq, index);
    if (index == WORLD_ALL && is_baseline)
        owed = take_over(world, &mark);
    uint64_t missing = talus__sequencer_mark(&world->sequencer, stream, &mark);
    if (missing > 0)
        open_repair(world, stream, missing);
    if (is_baseline)
        note_baseline(world, index, owed);
}

static void start_replay(struct world *world, unsigned index, uint64_t after)
{
    struct world_replay *replay = &world->replays[index];
    uint64_t seq = after + 1, first = world->kept;
    uint64_t newest = world->newest[WORLD_ALL];

    *replay = (struct world_replay){.is_open = true, .since = after};
    for (; !world->is_mute && seq <= newest && replay->count < WORLD_REPLAY; seq++) {
        const struct world_event *event = &world->events[seq];
        if (!is_in(world, seq, index) || event->is_gone)
            continue;
        struct world_message *message = &replay->messages[replay->count++];
        *message =
            (struct world_message){.seq = seq, .stream = event->session, .prev = event->prev};
        if (world->kind == WORLD_LYING && one_in(world, 3)) {
            message->seq = 1 + draw(world, WORLD_EVENTS);
            message->prev = draw(world, message->seq);
        }
    }
    // What is gone is so only if the session had an event there.
    for (seq = first - 1; seq > 0 && !is_in(world, seq, index); seq--)
        first = seq;
    if (world->is_mute)
        first = 0;
    else if (world->kind == WORLD_LYING && one_in(world, 3))
        first = one_in(world, 20) ? UINT64_MAX : draw(world, WORLD_EVENTS + 2);
    replay->messages[replay->count++] = (struct world_message){.is_end = true, .prev = first};
}

static void on_request(struct world *world, const struct talus__action *action)
{
    struct talus__repair *repair = action->repair;
    unsigned index = index_of(world, action->stream);

    TRACE("  request after %llu in %u\n", (number)action->after, index);
    world->requests++;
    if (world->kind == WORLD_PLAIN) {
        talus__sequencer_fail(&world->sequencer, repair, TALUS__CAUSE_UNPROVEN);
    } else if (world->is_lost) {
        talus__sequencer_fail(&world->sequencer, repair, TALUS__CAUSE_LOST);
    } else if (!world->is_calm && one_in(world, 4)) {
        talus__sequencer_wait(repair);
    } else {
        start_replay(world, index, action->after);
        talus__sequencer_requested(repair);
    }
}

static void take_action(struct world *world, const struct talus__action *action)
{
    unsigned index = index_of(world, action->stream);
    struct talus__event_place place;

    switch (action->kind) {
    case TALUS__ACTION_DELIVER:
        unsigned session = ((const struct world_held *)action->held)->session;
        place = place_of(world, session);
        talus__sequencer_place_in(&place, action->repair, action->held->seq, action->held->prev);
        uint64_t seq = action->held->seq, last = action->stream->last;
        give_back(world, action->held);
        take_verdict(world, talus__sequencer_release(&place, seq), &place, session, seq, last);
        break;
    case TALUS__ACTION_FORGET:
        give_back(world, action->held);
        break;
    case TALUS__ACTION_GAP:
        model_gap(world, index, action->after, action->before);
        break;
    case TALUS__ACTION_REQUEST:
        on_request(world, action);
        break;
    case TALUS__ACTION_DONE:
        world->replays[index].is_open = false;
        CHECK(!action->stream->repair, "a repair is done and still there");
        break;
    }
}

// Takes `most` actions. Returns whether there are no more.
static bool take_actions(struct world *world, unsigned most)
{
    struct talus__action action;

    for (unsigned i = 0; i < most && !world->problem; i++) {
        if (!talus__sequencer_next(&world->sequencer, &action))
            return true;
        take_action(world, &action);
    }
    return false;
}

// ---- The publisher and the network

static void fly(struct world *world, struct world_message message)
{
    if (world->flying < WORLD_FLIGHT)
        world->flight[world->flying++] = message; // else it is lost
}

static void emit(struct world *world)
{
    uint64_t seq = world->newest[WORLD_ALL] + 1;
    uint8_t session = (uint8_t)draw(world, WORLD_SESSIONS);

    if (seq > WORLD_EVENTS)
        return;
    world->events[seq] = (struct world_event){.prev = world->newest[session], .session = session};
    world->newest[session] = world->newest[WORLD_ALL] = seq;
    fly(world,
        (struct world_message){.stream = session, .seq = seq, .prev = world->events[seq].prev});
}

static void send_mark(struct world *world, unsigned stream)
{
    uint64_t seq = world->newest[stream];

    if (world->kind == WORLD_PLAIN)
        return;
    if (world->kind == WORLD_LYING && one_in(world, 3))
        seq = one_in(world, 20) ? UINT64_MAX : draw(world, 2 * WORLD_EVENTS);
    fly(world, (struct world_message){.is_mark = true, .stream = (uint8_t)stream, .seq = seq});
}

static void land(struct world *world, unsigned index)
{
    struct world_message message = world->flight[index];

    world->flying--;
    memmove(&world->flight[index], &world->flight[index + 1],
            (world->flying - index) * sizeof message);
    if (message.is_mark)
        on_mark(world, message.stream, message.seq);
    else
        on_event(world, message.seq, message.stream, message.prev);
}

static void lose_message(struct world *world, unsigned index)
{
    world->flying--;
    memmove(&world->flight[index], &world->flight[index + 1],
            (world->flying - index) * sizeof world->flight[0]);
}

static void duplicate(struct world *world)
{
    if (world->newest[WORLD_ALL] == 0)
        return;
    uint64_t seq = 1 + draw(world, world->newest[WORLD_ALL]);
    fly(world, (struct world_message){.stream = world->events[seq].session,
                                      .seq = seq,
                                      .prev = world->events[seq].prev});
}

static void step_replay(struct world *world, unsigned index)
{
    struct world_replay *replay = &world->replays[index];
    struct talus__repair *repair = world->streams[index].repair;

    if (!replay->is_open)
        return;
    const struct world_message *message = &replay->messages[replay->next++];
    if (message->is_end) {
        replay->is_open = false;
        TRACE("end of replay in %u: first %llu\n", index, (number)message->prev);
        uint64_t upto = judged_upto(world, index);
        talus__sequencer_end(&world->sequencer, repair, replay->since,
                             message->prev > upto ? upto + 1 : message->prev);
        return;
    }
    struct talus__event_place place = place_of(world, message->stream);
    TRACE("replayed %llu (prev %llu) in %u\n", (number)message->seq, (number)message->prev, index);
    talus__sequencer_place_in(&place, repair, message->seq, message->prev);
    uint64_t last = place.judge->last;
    take_verdict(world, talus__sequencer_replayed(&world->sequencer, &place, message->seq), &place,
                 message->stream, message->seq, last);
}

static void time_out(struct world *world, unsigned index)
{
    struct talus__stream *stream = &world->streams[index];

    if (stream->state == TALUS__STREAM_WAITING) {
        talus__sequencer_retry(&world->sequencer, stream->repair);
    } else if (stream->state == TALUS__STREAM_REQUESTED && !world->is_calm) {
        if (one_in(world, 4)) { // it does not answer
            world->is_unreachable = true;
            world->replays[index].is_open = false;
            talus__sequencer_fail(&world->sequencer, stream->repair, TALUS__CAUSE_LOST);
        } else { // asked again, and answered from where it was
            uint64_t since = world->replays[index].since;
            start_replay(world, index, stream->last);
            world->replays[index].since = since;
        }
    }
}

static void cut_history(struct world *world)
{
    uint64_t kept = world->kept + draw(world, 4);

    for (; world->kept < kept && world->kept <= world->newest[WORLD_ALL]; world->kept++)
        world->events[world->kept].is_gone = true;
}

// ---- The loss of the publisher, and the next

static void lose_stream(struct world *world, unsigned index, bool has_ledger)
{
    struct talus__stream *stream = &world->streams[index];
    uint64_t newest = world->newest[index];

    if (!world->is_wanted[index])
        return;
    if (stream->repair)
        world->replays[index].is_open = false;
    if (index != WORLD_ALL && is_by_all(world)) { // it judges no more than what was sent before
        uint64_t begins = world->streams[WORLD_ALL].begins;
        bool is_owed = stream->has_baseline || world->is_live[index];
        newest = newest < begins ? newest : begins;
        if (has_ledger && is_owed && newest > stream->last)
            open_repair(world, stream, newest);
        if (stream->repair)
            talus__sequencer_fail(&world->sequencer, stream->repair, TALUS__CAUSE_LOST);
        return;
    }
    if (!has_ledger) {
        if (stream->state == TALUS__STREAM_ENDED)
            return;
        open_repair(world, stream, stream->last);
        talus__sequencer_lose(&world->sequencer, stream->repair);
    } else if (newest > stream->last) {
        open_repair(world, stream, newest);
        talus__sequencer_fail(&world->sequencer, stream->repair, TALUS__CAUSE_LOST);
    } else if (stream->repair) {
        talus__sequencer_fail(&world->sequencer, stream->repair, TALUS__CAUSE_LOST);
    }
}

static void check_settled(struct world *world, bool must_all_be)
{
    for (unsigned i = 0; i < WORLD_STREAMS; i++) {
        const struct talus__stream *stream = &world->streams[i];
        CHECK(!stream->repair, "a repair does not end");
        CHECK(stream->state == TALUS__STREAM_IN_STEP || stream->state == TALUS__STREAM_ENDED,
              "a stream without a repair is in another state");
        bool is_known = stream->has_baseline || world->is_live[i];
        if (!world->is_wanted[i] || !must_all_be || !is_known || world->kind == WORLD_LYING)
            continue;
        uint64_t newest = world->newest[WORLD_ALL], upto = judged_upto(world, i);
        for (uint64_t seq = 1; seq <= newest && seq <= upto; seq++) {
            if (is_in(world, seq, i) && seq > world->floor[i])
                CHECK(is_settled(&world->events[seq]), "an event is missing in silence");
        }
    }
    CHECK(world->sequencer.held_events == 0 && world->sequencer.held_bytes == 0,
          "something is held for ever");
}

enum { STEPS_MOST = 4000 };

static void run_to_rest(struct world *world)
{
    unsigned steps = 0;
    bool is_done = false;

    while (!is_done && !world->problem && steps++ < STEPS_MOST) {
        is_done = take_actions(world, STEPS_MOST) && world->flying == 0;
        if (world->flying > 0)
            land(world, 0);
        for (unsigned i = 0; i < WORLD_STREAMS; i++) {
            time_out(world, i);
            step_replay(world, i);
            is_done &= !world->streams[i].repair;
        }
    }
    CHECK(is_done, "it goes on for ever");
}

// The publisher is killed, and another one starts. Sessions that are live owe all that it sends.
static void restart(struct world *world)
{
    bool has_ledger = one_in(world, 2);

    TRACE("the publisher is lost %s a ledger\n", has_ledger ? "with" : "without");
    world->is_lost = true;
    world->is_ended = !has_ledger;
    for (unsigned i = 0; i < WORLD_STREAMS; i++) {
        if (i != WORLD_ALL || is_by_all(world))
            lose_stream(world, i, has_ledger);
    }
    world->flying = 0;
    run_to_rest(world);
    check_settled(world, has_ledger && world->kind == WORLD_HONEST);
    for (unsigned i = 0; i < WORLD_STREAMS; i++) {
        world->streams[i] = (struct talus__stream){0};
        world->newest[i] = world->position[i] = 0;
        world->is_live[i] = world->is_wanted[i] && world->kind != WORLD_PLAIN;
        world->floor[i] = world->is_live[i] ? 0 : UINT64_MAX;
    }
    world->is_lost = world->is_ended = world->is_unreachable = false;
    world->kept = 1;
}

// ---- Schedules

static void join_all(struct world *world)
{
    if (world->is_wanted[WORLD_ALL])
        return;
    // All sessions are joined: what it delivered of others before its baseline is not known then.
    for (unsigned i = 0; i < WORLD_SESSIONS; i++) {
        if (!world->is_wanted[i])
            return;
    }
    world->is_wanted[WORLD_ALL] = true;
    world->floor[WORLD_ALL] = UINT64_MAX;
}

static void step(struct world *world)
{
    unsigned stream = (unsigned)draw(world, WORLD_STREAMS);

    switch (draw(world, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
        emit(world);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
        if (world->flying > 0)
            land(world, one_in(world, 4) ? (unsigned)draw(world, world->flying) : 0);
        break;
    case 8:
        if (world->flying > 0)
            lose_message(world, (unsigned)draw(world, world->flying));
        break;
    case 9:
        duplicate(world);
        break;
    case 10:
    case 11:
        send_mark(world, stream);
        break;
    case 12:
        step_replay(world, stream);
        break;
    case 13:
        time_out(world, stream);
        break;
    case 14:
        if (one_in(world, 3))
            cut_history(world);
        else if (stream == WORLD_ALL)
            go_live(world);
        else if (world->streams[stream].has_baseline) // the join is complete
            world->is_live[stream] = true;
        break;
    default:
        if (one_in(world, 12))
            restart(world);
        else if (one_in(world, 8))
            join_all(world);
    }
}

// What a publisher does at last: its marks come again, or another event, and nothing is lost.
static void calm_down(struct world *world)
{
    TRACE("nothing goes wrong from here on\n");
    world->is_calm = true;
    for (unsigned i = 0; i < WORLD_STREAMS; i++) {
        if (world->flying == WORLD_FLIGHT)
            land(world, 0);
        send_mark(world, i);
    }
    run_to_rest(world);
    if (world->kind == WORLD_HONEST || world->is_live[WORLD_ALL])
        check_settled(world, world->kind == WORLD_HONEST);
    else
        check_settled(world, false);
}

void world_run(struct world *world, uint64_t seed, bool is_traced)
{
    memset(world, 0, sizeof *world);
    world->is_traced = is_traced;
    world->random = seed * 0x9E3779B97F4A7C15u + 1;
    world->kind = (enum world_kind)draw(world, WORLD_KINDS);
    world->is_mute = world->kind == WORLD_LYING && one_in(world, 4);
    world->kept = 1;
    world->sequencer.max_events = one_in(world, 3) ? 2 + draw(world, 4) : WORLD_HELD;
    world->sequencer.max_bytes = one_in(world, 3) ? 10 + draw(world, 20) : 10 * WORLD_HELD;
    for (unsigned i = 0; i < WORLD_HELD; i++) {
        world->held[i].free_next = world->free_held;
        world->free_held = &world->held[i];
    }
    bool is_all_only = one_in(world, 5);
    for (unsigned i = 0; i < WORLD_STREAMS; i++) {
        world->is_wanted[i] = i == WORLD_ALL ? is_all_only : !is_all_only && !one_in(world, 5);
        world->floor[i] = UINT64_MAX;
    }
    unsigned steps = 10 + (unsigned)draw(world, 100);
    for (unsigned i = 0; i < steps && !world->problem; i++) {
        step(world);
        if (!one_in(world, 3))
            take_actions(world, one_in(world, 3) ? 1 : STEPS_MOST);
    }
    calm_down(world);
}
