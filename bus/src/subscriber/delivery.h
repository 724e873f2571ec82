// SPDX-License-Identifier: MIT
// What a subscriber gives its owner: one delivery at a time, which borrows its strings from here.
#ifndef TALUS__DELIVERY_H
#define TALUS__DELIVERY_H

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
    char session[TALUS_SESSION_MAX + 1];
    char type[TALUS_TYPE_MAX + 1];
    char origin[TALUS_ORIGIN_MAX + 1];
    char id[TALUS_ID_MAX + 1];
    char skip[TALUS_SKIP_MAX + 1];
    char after[TALUS_ID_MAX + 1];
    char first[TALUS_ID_MAX + 1];
};

// Set the delivery: to nothing but its kind; to an event, whose payload is borrowed from `body`; to
// a gap (`first` 0: its end is not known).
void talus__delivery_clear(struct talus__delivery *delivery, talus_delivery_kind_t kind);
void talus__delivery_event(struct talus__delivery *delivery, const struct talus__topic *topic,
                           const struct talus__body *body);
void talus__delivery_gap(struct talus__delivery *delivery, const char *session, const char *origin,
                         uint64_t after, uint64_t first, talus_gap_reason_t reason);

#endif
