// SPDX-License-Identifier: MIT
// A broadcaster for tests that is a bare XPUB, and its replay socket, which answers when, and what,
// the test wants. Everything that fails ends the test.
#ifndef TALUS_TESTS_REPLAY_SOCKET_H
#define TALUS_TESTS_REPLAY_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bus/support/raw_publisher.h"
#include "tests/bus/support/repair_fixture.h"

struct replay_socket {
    void *context;
    void *router;
    char endpoint[64];
    char identity[256]; // of who asked last
    size_t identity_size;
};

void replay_open(struct replay_socket *replay);
void replay_close(struct replay_socket *replay);

// Sends a marker of the publisher that names `replay` as where to ask it.
void publish_head(struct raw_publisher *raw, const char *topic, uint64_t seq, const char *replay);

// Joins "s" with a bare publisher, opened here, that names `replay`.
void join_raw(struct repair_fixture *fixture, struct raw_publisher *raw, const char *replay);

// Likewise, and has the subscriber miss events 6 and 7: it gets 8 and 9.
void miss_events(struct repair_fixture *fixture, struct raw_publisher *raw, const char *replay);

// Takes a request of any kind that has come, into `bytes`. Returns its size; 0: none has.
size_t replay_take(struct replay_socket *replay, void *bytes, size_t capacity);

// Takes a request for a replay that has come, and gives its `after`. False: none has.
bool replay_take_request(struct replay_socket *replay, uint64_t *after);

// Waits for a request for a replay, while the subscriber delivers nothing. Gives its `after`.
uint64_t replay_expect_request(struct replay_socket *replay, talus_subscriber_t *subscriber);

// Sends two frames to who asked last.
void replay_send(struct replay_socket *replay, const char *topic, const void *body, size_t size);

// Ends an answer for "s": the history has all events up to `head`.
void replay_send_end(struct replay_socket *replay, const char *origin, uint64_t head);

// Answers with the events of "s" from `first` to `last`, of which the history has them all.
void replay_answer(struct replay_socket *replay, const char *origin, uint64_t first, uint64_t last);

#endif
