// SPDX-License-Identifier: MIT
// The workers: event loops with a thread each, and on each a listener, an HTTP server and a
// Socket.IO server of its own. A connection stays with the worker that accepted it, unless it
// upgrades a session of another; requests for such sessions are relayed (router.h).
//
// Everything here is for the main thread, whose loop is the first worker's.
#ifndef TALUS_GATEWAY_MAIN_WORKERS_H
#define TALUS_GATEWAY_MAIN_WORKERS_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/bridge/bridge.h"
#include "gateway/main/options.h"
#include "gateway/transport/cors.h"

struct workers;

// Makes the loops and servers, nothing of which runs yet. Both arguments are borrowed for its life.
// NULL on failure, with a text for people in `error`.
struct workers *workers_new(const struct options *options, const struct cors *cors, char *error,
                            size_t error_size);

// Has the bridge serve their clients. False: out of memory.
bool workers_attach(struct workers *workers, struct bridge *bridge);

// Opens the listeners. False on failure, with a text for people in `error`.
bool workers_listen(struct workers *workers, char *error, size_t error_size);
const char *workers_address(const struct workers *workers); // where they listen
unsigned workers_count(const struct workers *workers);

// The loop of the main thread.
struct gw_loop *workers_main_loop(const struct workers *workers);

// Starts the threads, runs the main loop, and returns when all loops have ended. False: a thread
// could not be made, and nothing ran for long.
bool workers_run(struct workers *workers);

// On the main thread, while it runs: has every worker take leave of its clients and end when all
// have done so, or after a while in any case.
void workers_stop(struct workers *workers);
// Ends the loops at once.
void workers_quit(struct workers *workers);

// Closes what is left of connections and sessions, whose ends the bridge hears of; NULL-safe.
void workers_close(struct workers *workers);
// Frees them and nulls the pointer; NULL-safe. The bridge must be gone, and everything else on the
// main loop closed.
void workers_destroy(struct workers **workers);

#endif
