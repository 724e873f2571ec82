// SPDX-License-Identifier: MIT
// What a subscriber gives its owner: one delivery at a time, which borrows its strings from here.
#ifndef TALUS__DELIVERY_H
#define TALUS__DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include <talus/subscriber.h>
#include <talus/topic.h>

#include "bus/src/codec/body.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/log_gate.h"

enum talus__taken {
    TALUS__TAKEN_EMPTY,   // there was no message
    TALUS__TAKEN_HANDLED, // there was one, but nothing for the owner
    TALUS__TAKEN_EVENT,   // the delivery is set
};

struct talus__delivery {
    talus_subscriber_stats_t *stats; // borrowed
    struct talus__log_gate gap_gate;
    talus_delivery_t given;
    talus_event_t event;
    talus_gap_t missing; // of a RECOVERED
    char session[TALUS_SESSION_MAX + 1];
    char type[TALUS_TYPE_MAX + 1];
    char origin[TALUS_ORIGIN_MAX + 1];
    char id[TALUS_ID_MAX + 1];
    char except[TALUS_EXCEPT_MAX + 1];
    char after[TALUS_ID_MAX + 1];
    char first[TALUS_ID_MAX + 1];
};

// Splits ORIGIN.SEQ. False: it is no event id, or nothing can come after it.
bool talus__parse_id(const char *text, size_t size, char origin[TALUS_ORIGIN_MAX + 1],
                     uint64_t *seq);

// Set the delivery to an event, whose payload is borrowed from `body`.
void talus__delivery_event(struct talus__delivery *delivery, const struct talus__topic *topic,
                           const struct talus__body *body);

// The same as the answer to a request.
void talus__delivery_replayed(struct talus__delivery *delivery, const struct talus__topic *topic,
                              const struct talus__body *body, uint64_t request);

// Sets the delivery to LIVE. `newest_seq` 0: there is no newest event.
void talus__delivery_live(struct talus__delivery *delivery, const char *session,
                          const char *newest_origin, uint64_t newest_seq, bool is_complete);

// Sets the delivery to a gap (`first` 0: its end is not known).
void talus__delivery_gap(struct talus__delivery *delivery, const char *session, const char *origin,
                         uint64_t after, uint64_t first, talus_gap_reason_t reason);

// Sets the delivery to the end of a recovery, of which nothing is missing; then what is (`first` as
// above).
void talus__delivery_recovered(struct talus__delivery *delivery, const char *session,
                               const char *origin, uint64_t request, uint64_t newest);
void talus__delivery_missing(struct talus__delivery *delivery, uint64_t after, uint64_t first,
                             talus_gap_reason_t reason);

#endif
