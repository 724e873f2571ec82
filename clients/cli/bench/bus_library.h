// SPDX-License-Identifier: MIT
// What `talus bench bus` sends and receives with: libtalus, and libzmq as it is.
//
// A sender and a receiver belong to one thread each. Messages are numbered from 1 and carry a time;
// their payload has BUS_PAYLOAD bytes.
#ifndef TALUS_CLI_BENCH_BUS_LIBRARY_H
#define TALUS_CLI_BENCH_BUS_LIBRARY_H

#include <stdbool.h>
#include <stdint.h>

enum { BUS_PAYLOAD = 200, BUS_ENDPOINT_MAX = 256 };

typedef struct bus_library {
    const char *name;
    // Binds to `endpoint`, and tells what a receiver connects to. NULL: reported.
    void *(*sender_new)(const char *endpoint, char bound[BUS_ENDPOINT_MAX]);
    // Waits until a receiver is ready. False: reported.
    bool (*wait_ready)(void *sender, int timeout_ms);
    // Returns 1; 0: there is no room for it now; -1: failed (reported).
    int (*send)(void *sender, uint64_t number, uint64_t time);
    // Waits until all is handed over. False: reported.
    bool (*flush)(void *sender);
    void (*sender_destroy)(void *sender);
    // Connects. NULL: reported.
    void *(*receiver_new)(const char *endpoint);
    // Waits BUS_WAIT_MS at most. Returns 1; 0: nothing came; -1: failed (reported).
    int (*receive)(void *receiver, uint64_t *number, uint64_t *time);
    void (*receiver_destroy)(void *receiver);
} bus_library_t;

enum { BUS_WAIT_MS = 20 };

extern const bus_library_t bus_libtalus;
extern const bus_library_t bus_libzmq;

#endif
