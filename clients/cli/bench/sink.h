// SPDX-License-Identifier: MIT
// Where the bench's events go: onto a bus, through libtalus, or to a reference server, as the same
// JSON that the gateway would make of them:
//   unix:PATH, HOST:PORT  a line `ROOM ["bench",{…},"ORIGIN.NUMBER"]` for each event
//   zmq:ENDPOINT          a message of two frames for each, ROOM and the array, from a PUB bound
//   there
//
// A sink is made and destroyed on one thread and used on another in between, never on both at once.
#ifndef TALUS_CLI_BENCH_SINK_H
#define TALUS_CLI_BENCH_SINK_H

#include <stddef.h>
#include <stdint.h>

enum { SINK_ROOM_MAX = 100, SINK_PAYLOAD_MAX = 900000 };

typedef struct sink sink_t;

typedef enum sink_result {
    SINK_DONE,
    SINK_FULL,   // try again a little later
    SINK_FAILED, // reported
} sink_result_t;

// `size`: bytes of each event's payload as JSON, PACKET_PAYLOAD_MIN to SINK_PAYLOAD_MAX.
// NULL: reported, with the exit status in `*status`.
sink_t *sink_open_bus(const char *endpoint, size_t size, int *status);
sink_t *sink_open_server(const char *address, size_t size, int *status);
// NULL-safe.
void sink_close(sink_t **sink);

// Of the events' ids; lives as long as the sink.
const char *sink_origin(const sink_t *sink);

// Waits until whoever receives is ready. Returns the exit status; an error is reported.
int sink_wait_ready(sink_t *sink, int timeout_ms);

// Emits the next event. `time`: as its payload has it.
sink_result_t sink_emit(sink_t *sink, const char *room, uint64_t time);

// Hands over what a burst gathered. Blocks while a reference server is not reading, 10 s at most.
sink_result_t sink_flush(sink_t *sink);

#endif
