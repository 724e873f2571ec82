// SPDX-License-Identifier: MIT
// A bridge on a worker's loop whose time the test moves, with a bus of its own, a broadcaster on
// it, and clients that speak raw bytes. Everything that fails ends the test.
#ifndef TALUS_TESTS_GATEWAY_BRIDGE_FIXTURE_H
#define TALUS_TESTS_GATEWAY_BRIDGE_FIXTURE_H

#include "gateway/bridge/internal.h"
#include "tests/gateway/session/eio_harness.h"

#define WINDOW_MS 5000
#define LOG_MS    (WINDOW_MS + PING_INTERVAL + PING_TIMEOUT) // how long an event is kept

struct fixture {
    struct harness base; // first, since a client's bed leads here
    char folder[64];
    char endpoint[80];
    struct sio_server *sio;
    struct bridge *bridge;
    talus_broadcaster_t *bus;
};

// What a client knows of itself.
struct identity {
    char sid[64], pid[64], offset[64];
};

// cmocka's: `bridge_setup` starts with the usual options, after `bridge_setup_folder` the test
// calls `start_bridge`.
int bridge_setup(void **state);
int bridge_setup_folder(void **state);
int bridge_teardown(void **state);
void start_bridge(struct fixture *fixture, struct bridge_options *options);

// A metric of the bus thread, and waiting until it has that value.
int64_t metric(const struct fixture *fixture, enum gw_metric metric);
void wait_metric(struct fixture *fixture, enum gw_metric which, int64_t value);

// Nothing is received from the bus, as if the worker were behind with its room messages; and it is
// again.
void hold_bus_up(struct fixture *fixture);
void let_bus_go_on(struct fixture *fixture);

// Emits an event, whose sequence number is its name, and waits until the bridge has it.
void emit(struct fixture *fixture, const char *session, const char *except);

// A connection, and the CONNECT with what a client knows of itself; `put` leaves it unread.
struct client *open_client(struct fixture *fixture);
void put_connect(struct client *client, const struct identity *identity);
// Both, and the gateway has worked it off.
struct client *connect_client(struct fixture *fixture, const struct identity *identity);
// The answer to its CONNECT. Returns whether it was recovered.
bool read_connect(struct client *client, struct identity *identity);
// Answers what is no message, until a message comes, which must start so. Returns the whole of it.
const char *read_message(struct client *client, const char *beginning);
void read_step(struct client *client, struct identity *identity, unsigned seq);
// Asks to join, with `since` unless that is NULL, and leaves it unread.
void put_join(struct client *client, const char *session, const char *since);
// Joins, as a member of a room that is told who comes.
void join(struct client *client, const char *session);
// How many clients the bridge counts in a session.
size_t count_clients(const struct fixture *fixture, const char *name);
// Closes the client's connection, and waits until the bridge knows that it may come back.
void cut(struct fixture *fixture, struct client *client);
// Time goes by while a client answers its pings.
void live(struct fixture *fixture, struct client *client, int64_t ms);

#endif
