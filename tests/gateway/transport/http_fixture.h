// SPDX-License-Identifier: MIT
// An HTTP server on a free loopback port, whose handler does what the path says:
//     /echo…    200, "METHOD PATH?QUERY BODY"
//     /close    200, "bye", and the connection is to be closed
//     /later    keeps the exchange in `owed`; the test answers
//     /big      200, BIG_SIZE bytes in ranges of one shared chunk
//     /204, /304, /404, /503    that status with the body "gone"
//     /upgrade  101, then everything comes back in upper case
// Whatever has too large a body gets 413, "too large".
#ifndef TALUS_TESTS_GATEWAY_TRANSPORT_HTTP_FIXTURE_H
#define TALUS_TESTS_GATEWAY_TRANSPORT_HTTP_FIXTURE_H

#include "gateway/transport/http_server.h"
#include "gateway/transport/listener.h"
#include "tests/gateway/support/bed.h"

enum {
    OWED_MAX = 32,
    BIG_CHUNK = 64 * 1024,
    BIG_RANGES = 192,
    BIG_SIZE = BIG_CHUNK * BIG_RANGES,
};

struct http_fixture {
    struct bed bed;
    struct http_server *server;
    struct listener *listener;
    struct chunk *big;
    struct http_exchange *owed[OWED_MAX];
    unsigned owed_count;
    unsigned requests;
    unsigned aborted;
    unsigned heads; // that came before their bodies
    // Upgrades
    struct conn *upgraded; // NULL: none, or ended
    unsigned upgrades_ended;
    bool is_in_upgrade; // http_upgrade is on the stack
    // Called for every request before the handler, may be NULL; true: it has dealt with it.
    bool (*intercept)(struct http_exchange *exchange, const struct http_request *request);
    // Called for every head that comes before its body, may be NULL.
    void (*on_head)(struct http_exchange *exchange, const struct http_request *request);
};

extern struct http_fixture fixture;

// Setup and teardown of cmocka tests. The setup with other limits: heads of 1,000 bytes, bodies of
// 10,000.
int http_setup(void **state);
int http_setup_small(void **state);
int http_teardown(void **state);

struct client *connect_client(void);

// Answers fixture.owed[0] and takes it out.
void answer_owed(const char *body);
// Answers fixture.owed[index] and takes it out; `close`: the connection is to be closed.
void answer_owed_at(unsigned index, const char *body, bool close);
// Keeps an exchange in `owed`.
void keep_exchange(struct http_exchange *exchange);
// Counts it, and takes the exchange out of `owed`.
void on_fixture_abort(struct http_exchange *exchange, void *arg);
// Lets everything happen that can.
void http_settle(void);
// Answers fixture.owed[0] by an upgrade.
struct conn *upgrade_owed(void);
void upgrade(struct http_exchange *exchange);

void wait_owed(unsigned count);

// Sends a request text and checks the whole answer.
void expect(struct client *client, const char *request, int status, const char *body);
// Takes a response and checks it.
void expect_response(struct client *client, int status, const char *body);

#endif
