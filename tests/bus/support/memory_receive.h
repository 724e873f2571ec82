// SPDX-License-Identifier: MIT
// A transport for tests that receives from memory, with faults by script: events are lost, come
// twice or in another order; publishers go away, leave or are lost; replays are refused, late,
// incomplete, or lie. It checks that the subscriber keeps the contract of transport/receive.h.
// There is one at a time, of the test's thread.
#ifndef TALUS_TESTS_MEMORY_RECEIVE_H
#define TALUS_TESTS_MEMORY_RECEIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <talus/subscriber.h>

#include "bus/src/transport/receive.h"

#define FEED_SESSION_MAX 32

enum feed_replays {
    FEED_ANSWERS, // at once
    FEED_WAITS,   // until feed_respond
};

// What is wrong with the next responses.
enum feed_lie {
    FEED_HONEST,
    FEED_OTHER_PUBLISHER, // an event of another publisher
    FEED_OTHER_SESSION,   // an event of another session
    FEED_NO_BODY,         // an event whose body is none
    FEED_TWICE,           // each event comes twice
    FEED_NOTHING,         // the response ends at once, though all is kept
    FEED_BEYOND,          // it says that it has only what comes after its newest event
};

struct feed_script {
    int open_error; // what each of these returns; 0: success
    int subscribe_error;
    int unsubscribe_error;
    int take_error;
    int request_error;
    int request_marks_error;
    bool is_connecting; // at the beginning, until feed_connect
    bool is_mute;       // subscriptions are not answered with marks
    bool is_deaf;       // nor are requests for marks
    enum feed_replays replays;
    size_t replay_most; // events of a response; 0: all
    enum feed_lie lie;
    size_t lies;      // responses that lie
    uint64_t dropped; // what the transport says to have dropped
};

// Tests change it at any time. feed_begin clears it.
extern struct feed_script feed;

void feed_begin(void);

// Makes a subscriber on such a transport. Returns 0 or an error.
int feed_open(talus_subscriber_t **subscriber, const talus_subscriber_options_t *options);

// Fails if the subscriber has broken the contract.
void feed_check(void);

// ---- Publishers. What is said of them reaches the subscriber with what they send, in order.

struct feed_publisher;

// One that is there from now on, sends marks, and can be asked for events.
struct feed_publisher *feed_publisher(const char *origin);

// One of which only events are heard.
struct feed_publisher *feed_plain_publisher(const char *origin);

void feed_set_replay(struct feed_publisher *publisher, bool can_replay);

// It sends an event; returns its seq. Or the event is lost on its way.
uint64_t feed_publish(struct feed_publisher *publisher, const char *session);
uint64_t feed_lose(struct feed_publisher *publisher, const char *session);

// The same for an event with a payload of so many bytes.
uint64_t feed_publish_sized(struct feed_publisher *publisher, const char *session, size_t size);

// An event of another origin, which `stream` has put into one order with all others.
uint64_t feed_publish_sequenced(struct feed_publisher *stream, const char *origin,
                                const char *session, bool is_lost);

// An event that was published comes (once more).
void feed_send(struct feed_publisher *publisher, uint64_t seq);

// The session's high-water mark comes once more, if it is subscribed to; "*": that of all.
void feed_mark(struct feed_publisher *publisher, const char *session);

// It keeps no events before this one any more.
void feed_truncate(struct feed_publisher *publisher, uint64_t first);

// It is silent for now; it is there again; joins wait for it no more.
void feed_go_away(struct feed_publisher *publisher);
void feed_return(struct feed_publisher *publisher);

enum feed_end {
    FEED_LEFT,    // it took leave
    FEED_RECORD,  // it is lost, and it is known what it had sent
    FEED_UNKNOWN, // it is lost, and that is not known
};

// It is gone. Its requests fail.
void feed_end(struct feed_publisher *publisher, enum feed_end end);

// ---- Messages and requests

// A message with these frames comes as an event.
void feed_frames(const char *topic, const void *body, size_t body_size);

// A malformed message comes; so many were found by the transport itself.
void feed_malformed(void);
void feed_tell_malformed(uint64_t count);

void feed_connect(void);

// The requests that wait are answered; or they fail.
void feed_respond(void);
void feed_fail_requests(void);

struct feed_counts {
    size_t open_requests;
    size_t requests;
    uint64_t after;       // of the newest request
    size_t mark_requests; // sessions whose marks were requested
    size_t refused;       // responses
    size_t heard;         // times that an event of a publisher that was missed was told of
    size_t silenced;
    size_t subscriptions; // sessions
};

struct feed_counts feed_counts(void);

#endif
