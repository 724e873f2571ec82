// SPDX-License-Identifier: MIT
// The sequencer: decides whether an event is the next of its stream, was delivered before, or comes
// after something that is missing; and what is done about what is missing.
//
// A stream is what one publisher sends to one session. The sequence of all of a publisher's events,
// which those who join "*" follow, is a stream of its own. Each event of a stream names the event
// before it (`prev`), so a hole shows at the next event, or at the next high-water mark.
//
// A stream that misses something has a repair. It holds back the events that come too early, while
// the owner asks the publisher for those before them. It ends when nothing is missing, or with a
// gap over what cannot be had.
//
// Pure: no socket, no clock, no allocation. The owner feeds it with what happens (an event, a
// high-water mark, a replayed event, the end of a replay, a time-out, the loss of the publisher),
// carries out what talus__sequencer_next() returns, and owns streams, repairs and held events. It
// embeds them in structs of its own, which hold the frames, the request and the deadline.
//
// Invariants: a stream has a repair in every state but IN_STEP and ENDED; there, it has one that
// ends with the next talus__sequencer_next(). What a repair holds is in the order of seq, and above
// the stream's `last`. A repair that is not ready (see `is_ready`) is WAITING, REQUESTED or
// blocked.
//
// "*" beside sessions: the stream of all judges what the publisher sends after `begins`. What it
// sent to a session before is judged by the session's stream, until that has passed `begins`. If an
// event shows there that older ones of its session are missing, the stream of all waits
// (TALUS__VERDICT_BLOCK) until the session's repair has brought them, or told them as a gap.
#ifndef TALUS__SEQUENCER_H
#define TALUS__SEQUENCER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct talus__repair;

enum talus__stream_state {
    TALUS__STREAM_IN_STEP,   // nothing is known to be missing
    TALUS__STREAM_MISSING,   // events are missing, and are to be requested
    TALUS__STREAM_WAITING,   // … but cannot be requested yet
    TALUS__STREAM_REQUESTED, // … and a replay of them is under way
    TALUS__STREAM_FAILED,    // … and cannot be had
    TALUS__STREAM_LOST,      // the same, and nobody knows what else the publisher had sent
    TALUS__STREAM_ENDED,     // that was told; until the publisher is heard here
};

struct talus__stream {
    uint64_t last;                // seq of the newest event that was delivered, or is not owed
    uint64_t delivered;           // seq of the newest event that was delivered, or told in a gap
    uint64_t begins;              // of all: what is up to here is judged by the sessions' streams
    struct talus__repair *repair; // NULL: none is open
    enum talus__stream_state state : 8;
    bool has_baseline; // a high-water mark came: everything after `last` is owed
};

enum talus__gap_cause {
    TALUS__CAUSE_HISTORY,  // the publisher does not have them any more, or keeps no history
    TALUS__CAUSE_LOST,     // the publisher is gone, or does not answer
    TALUS__CAUSE_UNPROVEN, // as HISTORY, of a publisher that sends no high-water marks: what it
                           // sent before its first event is not told
    TALUS__CAUSE_UNKNOWN,  // they were sent before the join, and the owner may have them
};

// An event that is held back, in a struct of the owner's.
struct talus__held {
    struct talus__held *next;
    uint64_t seq;
    uint64_t prev; // in the stream that judges
    size_t bytes;  // that count towards the bound
};

// In a struct of the owner's. All zero but for what talus__sequencer_open() sets.
struct talus__repair {
    struct talus__stream *stream;
    struct talus__repair *ready_next;
    struct talus__held *first;
    struct talus__held *last;
    uint64_t target;     // events up to this seq have been sent
    uint64_t replayed;   // the newest event of the replay under way, held or not
    uint64_t gap_before; // the events before this seq are gone, which is to be told; 0: none are
    enum talus__gap_cause gap_cause;  // … why
    enum talus__gap_cause fail_cause; // FAILED, LOST: why the rest cannot be had
    bool is_ready;                    // talus__sequencer_next() is to look at it
    // A repair of the stream of all does nothing until that of a session, its blocker, is closed.
    struct talus__repair *blocker;
    struct talus__repair *blocked; // the other way round
    bool was_blocked;              // since the replay was requested
};

struct talus__sequencer {
    struct talus__repair *ready; // in the order in which they became so
    struct talus__repair *ready_last;
    size_t held_events; // of all repairs
    size_t held_bytes;
    size_t max_events;
    size_t max_bytes;
};

// ---- Events

// The streams that an event belongs to. NULL: the owner has none, or nobody wants its events.
struct talus__event_place {
    struct talus__stream *session; // of its session, joined or left a moment ago
    struct talus__stream *all;     // of all events
    bool wants_session;            // joined
    bool wants_all;
    bool is_session_live; // the join is complete: a publisher that comes first now owes all it sent
    bool is_all_live;
    bool has_marks; // the publisher sends high-water marks

    // Chosen by talus__sequencer_place(): the stream whose order counts, and `prev` in it. An event
    // is judged once. While both are wanted, by the stream of all, whose seq has no holes, as soon
    // as that can judge; what was sent before then, by its session's. The other stream follows.
    struct talus__stream *judge; // NULL: nobody wants it, or there is no stream to judge it by
    uint64_t prev;
    bool is_live; // the judge's
    uint64_t session_prev;
    uint64_t missing; // BLOCK: events of the session up to this seq may be missing
};

enum talus__verdict {
    TALUS__VERDICT_DELIVER,   // it is the next; the streams have moved on
    TALUS__VERDICT_DUPLICATE, // it was delivered, or is not owed
    TALUS__VERDICT_HOLD,      // events before it are missing: to be held in the judge's repair
    TALUS__VERDICT_BLOCK,     // the same, but missing in its session: see talus__sequencer_block()
};

// Whether the stream of all knows from where on events are owed: it has a baseline, or the
// publisher came after "*" was live, and owes everything.
static inline bool talus__sequencer_can_judge(const struct talus__stream *all, bool is_all_live)
{
    return all->has_baseline || is_all_live;
}

// Whether the session's stream judges what was sent up to all->begins, and has not passed that.
// Before its baseline nothing is owed, and the stream of all knows best.
static inline bool talus__sequencer_is_behind(const struct talus__event_place *place)
{
    return place->session->last < place->all->begins &&
           (place->session->has_baseline || place->is_session_live);
}

// Chooses the judge. `prev` is the event's, in its session.
static inline void talus__sequencer_place(struct talus__event_place *place, uint64_t seq,
                                          uint64_t prev)
{
    bool has_session = place->wants_session && place->session;

    place->judge = NULL;
    place->session_prev = prev;
    if (place->wants_all && place->all &&
        (!has_session || (talus__sequencer_can_judge(place->all, place->is_all_live) &&
                          (seq > place->all->begins || !talus__sequencer_is_behind(place))))) {
        place->judge = place->all;
        place->prev = seq - 1;
        place->is_live = place->is_all_live;
    } else if (has_session) {
        place->judge = place->session;
        place->prev = prev;
        place->is_live = place->is_session_live;
    }
}

// The same for an event whose order a repair decides: one of its replay, or one that it held.
static inline void talus__sequencer_place_in(struct talus__event_place *place,
                                             const struct talus__repair *repair, uint64_t seq,
                                             uint64_t prev)
{
    place->judge = repair->stream;
    place->session_prev = prev;
    place->prev = repair->stream == place->all ? seq - 1 : prev;
}

// Both streams have this event now, or need it no more.
void talus__sequencer_follow(struct talus__event_place *place, uint64_t seq);

// An event with a judge came. HOLD: open a repair up to place->prev if the judge has none (else
// extend it), and hold the event. That need not succeed: the next event or high-water mark shows
// the same hole again.
enum talus__verdict talus__sequencer_event(struct talus__sequencer *sequencer,
                                           struct talus__event_place *place, uint64_t seq);

// An event of a replay that was requested for the judge's repair. HOLD: hold it.
enum talus__verdict talus__sequencer_replayed(struct talus__sequencer *sequencer,
                                              struct talus__event_place *place, uint64_t seq);

// A held event that talus__sequencer_next() returned, with the place that it has by now. BLOCK:
// hold it again.
enum talus__verdict talus__sequencer_release(struct talus__event_place *place, uint64_t seq);

// Verdict BLOCK: open a repair of place->session up to place->missing if it has none (else extend
// it), call this, and hold the event in the judge's repair; open that first, up to place->prev, if
// there is none. Without memory, do none of it.
void talus__sequencer_block(struct talus__event_place *place);

// ---- High-water marks

// A high-water mark of a stream: events up to `seq` have been sent.
struct talus__mark {
    uint64_t seq;
    bool is_wanted;       // the session is joined, not left a moment ago
    bool is_live;         // its join is complete
    uint64_t judged_upto; // by its own stream; what comes after, by that of all

    // Set by talus__sequencer_take_over(): what the stream of all takes over begins after `from`
    // and reaches up to `upto`.
    bool has_taken_over;
    uint64_t from;
    uint64_t upto;
};

// Whether the mark is its stream's baseline: nothing older is owed, since the join is not complete
// yet. The stream of all takes over what the sessions' streams are known to miss: call
// talus__sequencer_take_over() first, for each of them that has a repair of the same publisher.
static inline bool talus__sequencer_is_baseline(const struct talus__stream *stream, bool is_live)
{
    return !stream->has_baseline && !is_live;
}

// Notes what the stream, which has a repair, misses. Close the repair then.
void talus__sequencer_take_over(const struct talus__stream *session, struct talus__mark *mark);

// "*" is wanted again or live: where the stream of all begins to judge without a mark.
static inline void talus__sequencer_begin(struct talus__stream *all)
{
    all->begins = all->last;
}

// Takes the mark. Returns up to which seq something is missing: open a repair up to there, or
// extend the one there is. 0: nothing is.
uint64_t talus__sequencer_mark(struct talus__sequencer *sequencer, struct talus__stream *stream,
                               const struct talus__mark *mark);

// "*" is live, though the publisher sent no mark of all: the stream of all judges from now on. It
// takes over as above; `seq` of the mark is 0. Returns what talus__sequencer_mark() does.
uint64_t talus__sequencer_adopt(struct talus__sequencer *sequencer, struct talus__stream *all,
                                const struct talus__mark *mark);

// ---- Repairs

// Opens a repair of a stream that has none: events up to `target` have been sent.
void talus__sequencer_open(struct talus__sequencer *sequencer, struct talus__stream *stream,
                           struct talus__repair *repair, uint64_t target);

// The same for a stream that has one.
void talus__sequencer_extend(struct talus__sequencer *sequencer, struct talus__repair *repair,
                             uint64_t target);

// Takes a held event. False: there is no room (it will be requested in its turn), or one with its
// seq is held already; the event stays the caller's. Without memory for it, call
// talus__sequencer_let_go().
bool talus__sequencer_hold(struct talus__sequencer *sequencer, struct talus__repair *repair,
                           struct talus__held *held);

// Whether the bound leaves room for so many bytes.
static inline bool talus__sequencer_has_room(const struct talus__sequencer *sequencer, size_t bytes)
{
    return sequencer->held_events < sequencer->max_events &&
           sequencer->held_bytes + bytes <= sequencer->max_bytes;
}

// An event that was to be held is dropped. Whatever comes next is after a hole again.
void talus__sequencer_let_go(struct talus__repair *repair, uint64_t seq);

// Answers to the action REQUEST: a replay was requested; it must wait.
void talus__sequencer_requested(struct talus__repair *repair);
void talus__sequencer_wait(struct talus__repair *repair);

// A time-out, or news: what waits is to be tried again (the action REQUEST comes).
void talus__sequencer_retry(struct talus__sequencer *sequencer, struct talus__repair *repair);

// The replay that was requested after `since` has ended. The publisher says that it has everything
// from the seq `first` on; pass no more than the seq after the last one that the stream judges.
void talus__sequencer_end(struct talus__sequencer *sequencer, struct talus__repair *repair,
                          uint64_t since, uint64_t first);

// What is missing cannot be had. Changes nothing if that is known already.
void talus__sequencer_fail(struct talus__sequencer *sequencer, struct talus__repair *repair,
                           enum talus__gap_cause cause);

// The same, and the publisher is lost with more than is known.
void talus__sequencer_lose(struct talus__sequencer *sequencer, struct talus__repair *repair);

// Ends a repair whatever its state; the stream misses nothing then. Take what it holds before.
void talus__sequencer_close(struct talus__sequencer *sequencer, struct talus__repair *repair);

// Takes the first held event off a repair; NULL: none is left.
struct talus__held *talus__sequencer_pop(struct talus__sequencer *sequencer,
                                         struct talus__repair *repair);

// The stream lies at another address than before.
static inline void talus__sequencer_moved(struct talus__stream *stream)
{
    if (stream->repair)
        stream->repair->stream = stream;
}

// ---- Actions

enum talus__action_kind {
    TALUS__ACTION_DELIVER, // `held` has its turn: pass it to talus__sequencer_release()
    TALUS__ACTION_FORGET,  // `held` came by another way meanwhile
    TALUS__ACTION_GAP, // deliver a gap: missing are the events after `after` and before `before`
    TALUS__ACTION_REQUEST, // request a replay of what comes after `after`, and answer with
                           // talus__sequencer_requested(), _wait() or _fail()
    TALUS__ACTION_DONE,    // nothing is missing any more: `repair` is closed, and can be freed
};

struct talus__action {
    enum talus__action_kind kind;
    struct talus__repair *repair;
    struct talus__stream *stream;
    struct talus__held *held; // DELIVER, FORGET: the owner's again
    uint64_t after;           // GAP, REQUEST
    uint64_t before;          // GAP; 0: how many are missing is not known
    enum talus__gap_cause cause;
};

// Gives the next action. False: there is none until something happens.
bool talus__sequencer_next(struct talus__sequencer *sequencer, struct talus__action *action);

#endif
