// SPDX-License-Identifier: MIT
// A bare DEALER socket for tests: it asks a replay socket with no help from libtalus's subscriber.
// Everything that fails ends the test.
#ifndef TALUS_TESTS_RAW_ASKER_H
#define TALUS_TESTS_RAW_ASKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/src/codec/body.h"
#include "bus/src/codec/request.h"

struct raw_asker {
    void *context; // NULL: not its own
    void *socket;
    char topic[256]; // of the answer received last
    uint8_t *frame;  // its body; owned
    size_t frame_size;
    struct talus__body body; // after raw_asker_expect_event
    struct talus__head head; // after raw_asker_expect_head
    struct talus__end end;   // after raw_asker_expect_end; all borrow from `frame`
};

// Connects to `endpoint`. `context` NULL: one of its own. `receive_high_water_mark`: messages.
void raw_asker_open(struct raw_asker *asker, const char *endpoint, void *context,
                    int receive_high_water_mark);
void raw_asker_close(struct raw_asker *asker);

void raw_asker_ask(struct raw_asker *asker, const char *session, uint64_t after, uint64_t max);
void raw_asker_ask_heads(struct raw_asker *asker, const char *const *sessions, size_t count);

// Sends one frame as it is.
void raw_asker_send(struct raw_asker *asker, const void *bytes, size_t size);

// Receives the next message. False: none came within `timeout_ms`.
bool raw_asker_receive(struct raw_asker *asker, int timeout_ms);

// The next message is an event of the topic (NULL: any) with this seq.
void raw_asker_expect_event(struct raw_asker *asker, const char *topic, uint64_t seq);

// The next message is `topic`, a head with this seq.
void raw_asker_expect_head(struct raw_asker *asker, const char *topic, uint64_t seq);

// The next message is `topic`, an end with these members.
void raw_asker_expect_end(struct raw_asker *asker, const char *topic, uint64_t first, uint64_t head,
                          bool is_complete);

#endif
