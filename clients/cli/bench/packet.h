// SPDX-License-Identifier: MIT
// What the bench's clients read: Engine.IO and Socket.IO packets as text, and WebSocket frames of
// servers. Pure, and as quick as it must be to read millions of them a second.
//
// An event of the bench is ["bench",{"t":TIME,"pad":"…"},"ORIGIN.NUMBER"]. TIME is nanoseconds
// since the start of the run, plus PACKET_TIME_BASE so that every event is of one size.
#ifndef TALUS_CLI_BENCH_PACKET_H
#define TALUS_CLI_BENCH_PACKET_H

#include <stddef.h>
#include <stdint.h>

#define PACKET_TYPE      "bench"
#define PACKET_TIME_BASE 1000000000000 // 13 digits for two hours and a half, exact as a double

enum {
    PACKET_PAYLOAD_MIN = 28, // bytes of the payload's JSON with an empty pad
    PACKET_NAMESPACE_MAX = 64,
};

typedef enum packet_kind {
    PACKET_OPEN,      // of Engine.IO
    PACKET_PING,      // to be answered
    PACKET_CONNECTED, // to the namespace
    PACKET_JOINED,
    PACKET_EVENT,   // of the bench: `time` and `number`
    PACKET_REFUSED, // the namespace, or an `error` event
    PACKET_CLOSE,
    PACKET_OTHER,
} packet_kind_t;

typedef struct packet {
    packet_kind_t kind;
    uint64_t number;
    uint64_t time; // as sent
} packet_t;

// How the packets of one namespace and one emitter begin and end.
typedef struct packet_format {
    char address[PACKET_NAMESPACE_MAX + 2]; // "/graph,"; "" for the main namespace
    char event[PACKET_NAMESPACE_MAX + 32];  // 42/graph,["bench",{"t":
    char origin[20];
    size_t address_size, event_size, origin_size;
} packet_format_t;

// `name`: of the namespace, at most PACKET_NAMESPACE_MAX bytes. `origin`: at most 19.
void packet_format_init(packet_format_t *format, const char *name, const char *origin);

// Reads one packet. Events of other origins are PACKET_OTHER.
packet_t packet_read(const packet_format_t *format, const char *text, size_t size);

typedef struct frame {
    unsigned opcode; // 0 to 15
    const char *payload;
    size_t size;  // of the payload
    size_t total; // with the header
} frame_t;

enum { FRAME_TEXT = 1, FRAME_CLOSE = 8, FRAME_PING = 9, FRAME_PONG = 10 };

// Reads the first frame. Returns 1; 0: `size` bytes do not hold it; -1: no frame of a server.
int frame_read(const char *bytes, size_t size, frame_t *frame);

enum { FRAME_HEADER_MAX = 14 };

// Writes a masked frame of at most 65,535 bytes to `out`, which has room for FRAME_HEADER_MAX more.
// Returns its size.
size_t frame_write(char *out, unsigned opcode, const char *payload, size_t size);

#endif
