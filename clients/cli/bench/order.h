// SPDX-License-Identifier: MIT
// Whether a client got each event of its room, once and in order. Pure.
//
// The events of a run are numbered from 1 and go to the rooms in turn: room R of M has R + 1,
// R + 1 + M, R + 1 + 2 M…, so a client needs no more than the next number to tell what is missing.
#ifndef TALUS_CLI_BENCH_ORDER_H
#define TALUS_CLI_BENCH_ORDER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct order {
    uint64_t next;
    uint64_t received;  // in order or not
    uint64_t lost;      // passed over, or missing at the end
    uint64_t misplaced; // arrived after a later one or twice, or belongs to another room
} order_t;

void order_init(order_t *order, uint64_t room);

// `rooms`: M. Returns whether it came in its place: later than those before it, and for the first
// time.
bool order_receive(order_t *order, uint64_t rooms, uint64_t number);

// `emitted`: the number of the run's last event; what should have come by then counts as lost.
void order_end(order_t *order, uint64_t rooms, uint64_t emitted);

#endif
