// SPDX-License-Identifier: MIT
// A transport for tests that publishes into memory, with faults by script: it refuses events, takes
// few at once, settles late or never, fails events. It checks that the broadcaster keeps the
// contract of transport/publish.h. There is one at a time.
#ifndef TALUS_TESTS_MEMORY_PUBLISH_H
#define TALUS_TESTS_MEMORY_PUBLISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <talus/broadcaster.h>

#include "bus/src/transport/publish.h"

#define MEMORY_DEADLINE_MS 20000
#define MEMORY_EVENTS_MAX  65536
#define MEMORY_REPLAY_MAX  64

enum memory_settling {
    MEMORY_SETTLES_AT_ONCE,
    MEMORY_SETTLES_LATE,    // `delay_ms` after the send, one by one
    MEMORY_SETTLES_BY_TEST, // when memory_settle says so
};

struct memory_script {
    int open_error;       // what `open` returns; 0: success
    size_t window_events; // most that are sent and not settled; 0: no bound
    size_t window_bytes;  // … and their bytes; 0: no bound
    bool is_refusing;     // there is no room
    bool is_holding;      // there is no room until the queue is half full, or the end
    enum memory_settling settling;
    int delay_ms;
    unsigned fail_every;  // each so manieth event fails; 0: none
    int busy_turns;       // so many turns have more to do
    bool is_nobody_ready; // the subscribers that live do not become ready
};

struct memory_event {
    char session[TALUS_SESSION_MAX + 1];
    uint64_t seq;
    uint64_t prev;
    uint64_t in_session; // how many events of the session were sent, by the transport's own count
};

// Makes a broadcaster on such a transport.
void memory_open(talus_broadcaster_t **bus, const talus_broadcaster_options_t *options,
                 const struct memory_script *script);

// The same, for a script that has `open` fail. Returns the error.
int memory_open_error(const struct memory_script *script);

// Changes the script, and wakes the bus thread.
void memory_change(const struct memory_script *script);

// Settles up to this seq.
void memory_settle(uint64_t seq);

// Waits until so many events were sent; fails after MEMORY_DEADLINE_MS.
void memory_wait_sent(size_t count);

// The events that were sent, which do not change any more.
size_t memory_sent(void);
const struct memory_event *memory_event(size_t index);

struct memory_counts {
    size_t batches;
    size_t turns;
    size_t forgotten;   // sessions
    uint64_t watermark; // of the session forgotten last
    bool is_finished;
    bool is_complete; // as `finish` was told
    bool is_closed;
    enum talus__publish_end end; // as `close` was told
};

struct memory_counts memory_counts(void);

struct memory_replay {
    const char *session;
    uint64_t after;
    size_t pause_at; // stands still after so many events, until memory_replay_resume; 0: does not
    // What was read:
    uint64_t seqs[MEMORY_REPLAY_MAX];
    size_t count;
    uint64_t missing_to;
    uint64_t last; // of the session
};

// Reads the history on the bus thread, an event a turn. memory_replay_wait waits for the pause or
// the end.
void memory_replay_start(struct memory_replay *replay);
void memory_replay_wait(void);
void memory_replay_resume(void);

// Fails if the broadcaster has broken the contract.
void memory_check(void);

#endif
