// SPDX-License-Identifier: MIT
// One publisher, a bad network and one owner of a sequencer, driven by random numbers; and the
// model that the deliveries must agree with.
#ifndef SEQUENCER_WORLD_H
#define SEQUENCER_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/src/subscriber/sequencer.h"

enum {
    WORLD_SESSIONS = 3,
    WORLD_ALL = WORLD_SESSIONS, // the stream of all
    WORLD_STREAMS,
    WORLD_EVENTS = 48, // that a publisher sends at most
    WORLD_FLIGHT = 24, // messages on their way
    WORLD_REPLAY = 5,  // events that one replay holds at most
    WORLD_HELD = 128,
};

enum world_kind {
    WORLD_HONEST, // it sends high-water marks and answers requests truly
    WORLD_PLAIN,  // it sends events only, and cannot be asked
    WORLD_LYING,  // its marks and replays say anything
    WORLD_KINDS,
};

// What is true of an event, and what the subscriber's caller was told of it.
struct world_event {
    uint64_t prev;
    uint8_t session;
    bool is_delivered;
    bool is_told; // to be missing
    bool is_held;
    bool is_gone;  // the history does not have it any more
    bool is_early; // had, or not owed, when the stream of all began to judge
};

struct world_message {
    bool is_mark;
    bool is_end;
    uint8_t stream;
    uint64_t seq;
    uint64_t prev; // of an end: `first`
};

struct world_replay {
    bool is_open;
    bool has_given_up; // the next answer is that the publisher does not answer
    uint64_t since;
    unsigned count;
    unsigned next;
    struct world_message messages[WORLD_REPLAY + 1];
};

struct world_held {
    struct talus__held held; // first
    unsigned session;
    struct world_held *free_next;
};

struct world {
    const char *problem; // what is wrong; NULL: nothing
    bool is_traced;      // prints what happens
    uint64_t random;
    enum world_kind kind;
    struct talus__sequencer sequencer;
    struct talus__stream streams[WORLD_STREAMS];
    struct talus__repair repairs[WORLD_STREAMS];
    struct world_replay replays[WORLD_STREAMS];
    bool is_wanted[WORLD_STREAMS];
    bool is_live[WORLD_STREAMS];
    bool is_lost;        // the publisher is gone: what is missing may be told as a gap
    bool is_ended;       // … and so may be that more is missing
    bool is_mute;        // LYING: it says that it has everything, and gives nothing
    bool is_unreachable; // a request of it was given up
    bool is_calm;        // nothing goes wrong any more
    uint64_t newest[WORLD_STREAMS];
    uint64_t floor[WORLD_STREAMS];    // up to here nothing is owed
    uint64_t position[WORLD_STREAMS]; // of the deliveries
    uint64_t kept;                    // the history has the events from this seq on
    struct world_event events[WORLD_EVENTS + 2];
    struct world_message flight[WORLD_FLIGHT];
    unsigned flying;
    struct world_held held[WORLD_HELD];
    struct world_held *free_held;
    unsigned long deliveries, gaps, requests;
};

// Runs the schedule that the seed stands for, to its end. world->problem says what was wrong.
void world_run(struct world *world, uint64_t seed, bool is_traced);

#endif
