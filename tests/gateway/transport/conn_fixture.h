// SPDX-License-Identifier: MIT
// A conn on one end of a pair of sockets, the test's client on the other. Its handler keeps what
// arrives, checks what every handler may rely on, and calls the test's functions.
#ifndef TALUS_TESTS_GATEWAY_TRANSPORT_CONN_FIXTURE_H
#define TALUS_TESTS_GATEWAY_TRANSPORT_CONN_FIXTURE_H

#include "gateway/transport/conn.h"
#include "tests/gateway/support/bed.h"

struct conn_fixture {
    struct bed bed;
    struct client *client;
    struct conn *conn; // NULL once it has ended
    struct tl_buffer in;
    unsigned drained;
    unsigned ended;
    enum conn_end end;
    bool is_in_call; // of conn_close or conn_abort: on_end must not come
    void (*on_data)(struct conn_fixture *fixture);
    void (*on_drained)(struct conn_fixture *fixture);
};

extern struct conn_fixture fixture;
extern const struct conn_handler fixture_handler; // its owner is a struct conn_fixture

void open_pair(int ends[2]);

// Setup and teardown of cmocka tests, over a Unix or a TCP socket pair (only TCP knows resets). The
// teardown checks that the conn has ended once.
int conn_setup(void **state);
int conn_setup_tcp(void **state);
int conn_teardown(void **state);

void wait_end(enum conn_end end);
// Waits until so many bytes, and no more, have arrived.
void wait_input(size_t size);
void send_text(const char *text);

// Calls on the conn, in which on_end must not come.
void call_abort(struct conn_fixture *f);
void call_close(struct conn_fixture *f); // with 1,000 milliseconds

#endif
