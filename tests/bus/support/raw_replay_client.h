// SPDX-License-Identifier: MIT
// A bare DEALER socket for tests: it asks a replay socket with no help from libtalus's subscriber.
// Everything that fails ends the test.
#ifndef TALUS_TESTS_RAW_REPLAY_CLIENT_H
#define TALUS_TESTS_RAW_REPLAY_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/src/codec/body.h"
#include "bus/src/codec/request.h"

struct raw_replay_client {
    void *context; // NULL: not its own
    void *socket;
    char topic[256]; // of the answer received last
    uint8_t *frame;  // its body; owned
    size_t frame_size;
    struct talus__body body; // after raw_replay_client_expect_event
    struct talus__head head; // after raw_replay_client_expect_head
    struct talus__end end;   // after raw_replay_client_expect_end; all borrow from `frame`
};

// Connects to `endpoint`. `context` NULL: one of its own. `receive_high_water_mark`: messages.
void raw_replay_client_open(struct raw_replay_client *client, const char *endpoint, void *context,
                            int receive_high_water_mark);
void raw_replay_client_close(struct raw_replay_client *client);

void raw_replay_client_ask(struct raw_replay_client *client, const char *session, uint64_t after,
                           uint64_t max);
void raw_replay_client_ask_heads(struct raw_replay_client *client, const char *const *sessions,
                                 size_t count);

// Sends one frame as it is.
void raw_replay_client_send(struct raw_replay_client *client, const void *bytes, size_t size);

// Receives the next message. False: none came within `timeout_ms`.
bool raw_replay_client_receive(struct raw_replay_client *client, int timeout_ms);

// The next message is an event of the topic (NULL: any) with this seq.
void raw_replay_client_expect_event(struct raw_replay_client *client, const char *topic,
                                    uint64_t seq);

// The next message is `topic`, a head with this seq.
void raw_replay_client_expect_head(struct raw_replay_client *client, const char *topic,
                                   uint64_t seq);

// The next message is `topic`, an end with these members.
void raw_replay_client_expect_end(struct raw_replay_client *client, const char *topic,
                                  uint64_t first, uint64_t head, bool is_complete);

#endif
