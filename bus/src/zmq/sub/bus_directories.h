// SPDX-License-Identifier: MIT
// The bus directories of a subscriber: who lives there, who comes and goes.
#ifndef TALUS__BUS_DIRECTORIES_H
#define TALUS__BUS_DIRECTORIES_H

#include "bus/src/zmq/sub/peer_table.h"

// Makes the directory if it is missing, takes our place in it, and looks who is there. Returns 0 or
// an error of talus_subscriber_new.
int talus__bus_directory_enter(struct talus__peers *peers, struct talus__bus_directory *directory);

// Looks again, once look_at is over; makes good a directory that was lost.
void talus__bus_directory_tend(struct talus__peers *peers, struct talus__bus_directory *directory,
                               long long now);

// Takes note of what the watch has told. Returns whether anything had changed.
bool talus__bus_directory_drain(struct talus__peers *peers, struct talus__bus_directory *directory);

void talus__bus_directory_close_watch(struct talus__bus_directory *directory);

#endif
