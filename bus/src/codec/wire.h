// SPDX-License-Identifier: MIT
// Topics: SESSION/TYPE, the markers' and the control topics (docs/protocol.md). Pure.
//
// Control topics start with `$`, which no session id does:
//
//   `$bus/`                     Every talus subscriber subscribes to it. A broadcaster answers each
//                               such subscription with `$bus/$hello` {origin, seq, replay}, so that
//                               a subscriber knows who is connected, whichever side bound. One
//                               that ends in good order says `$bus/$bye` with the same body, after
//                               everything else. `$bus/$beat` says that it lives.
//   `$ready/SUBSCRIBER/ORIGIN`  A subscriber subscribes to it after that hello. Subscriptions
//                               travel in order: when this one arrives at ORIGIN, all that the
//                               subscriber had subscribed to before has arrived too. Nothing is
//                               ever published under it.
//   `$beat/SUBSCRIBER/MS`       A subscriber that lives subscribes to it and unsubscribes again, in
//                               turn, every MS milliseconds. With MS 0: it will not, and is not to
//                               be missed. Nothing is ever published under it.
#ifndef TALUS__WIRE_H
#define TALUS__WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include <talus/topic.h>

#include "common/event_id.h"

#define TALUS__HEAD        "$head"
#define TALUS__END         "$end"
#define TALUS__EVERYTHING  "*"
#define TALUS__BUS_TOPIC   "$bus/"
#define TALUS__HELLO_TOPIC "$bus/$hello"
#define TALUS__BYE_TOPIC   "$bus/$bye"
#define TALUS__BEAT_TOPIC  "$bus/$beat"
#define TALUS__READY       "$ready/"
#define TALUS__BEATING     "$beat/"

#define TALUS__EVERY_MOST_MS (24 * 60 * 60 * 1000) // between beats

#define TALUS__TOPIC_MAX     (TALUS_SESSION_MAX + 1 + TALUS_TYPE_MAX)
#define TALUS__SUBSCRIBER_ID 12 // characters of our subscribers' ids, of the kind an origin has

enum talus__topic_kind {
    TALUS__TOPIC_EVENT,   // SESSION/TYPE or /TYPE
    TALUS__TOPIC_HEAD,    // SESSION/$head, /$head, */$head
    TALUS__TOPIC_END,     // SESSION/$end, at a replay socket
    TALUS__TOPIC_HELLO,   // $bus/$hello
    TALUS__TOPIC_BYE,     // $bus/$bye
    TALUS__TOPIC_BEAT,    // $bus/$beat
    TALUS__TOPIC_UNKNOWN, // another marker of the bus: from a later version, to be skipped
};

struct talus__topic {
    enum talus__topic_kind kind;
    const char *session; // borrowed; size 0: everybody; "*": everything (markers only)
    size_t session_size;
    const char *type;
    size_t type_size;
};

// Splits and checks a topic. Returns 0; TALUS_ESESSION; TALUS_ETYPE, also when there is no slash;
// TALUS_ERESERVED. Of an unknown control topic ($…) nothing is checked; its session is the part
// before the first slash.
int talus__topic_parse(const void *bytes, size_t size, struct talus__topic *topic);

// What a subscription (the topic that an XPUB receives, without the first byte) asks for.
enum talus__subscription_kind {
    TALUS__SUBSCRIPTION_SESSION,    // `SESSION/`, or `/` for the events for everybody
    TALUS__SUBSCRIPTION_EVERYTHING, // the empty topic
    TALUS__SUBSCRIPTION_BUS,        // `$bus/`
    TALUS__SUBSCRIPTION_READY,      // `$ready/SUBSCRIBER/ORIGIN`
    TALUS__SUBSCRIPTION_BEAT,       // `$beat/SUBSCRIBER/MS`
    TALUS__SUBSCRIPTION_OTHER,      // anything else is legal, and answered by nothing
};

struct talus__subscription_topic {
    enum talus__subscription_kind kind;
    const char *name; // SESSION, or SUBSCRIBER; borrowed
    size_t name_size;
    const char *origin; // READY
    size_t origin_size;
    int every_ms; // BEAT: at most TALUS__EVERY_MOST_MS
};

void talus__subscription_topic_parse(const void *bytes, size_t size,
                                     struct talus__subscription_topic *subscription);

// Whether `type` is formed like a marker of the bus: `$`, then what a type may hold.
bool talus__is_marker(const char *type, size_t size);

#endif
