// SPDX-License-Identifier: MIT
// An Engine.IO server on a test bed, and clients that speak raw bytes. Everything is one thread, so
// when a few turns found nothing more to do, what the server has to say has been said.
#ifndef TALUS_TESTS_GATEWAY_SESSION_EIO_HARNESS_H
#define TALUS_TESTS_GATEWAY_SESSION_EIO_HARNESS_H

#include "gateway/protocol/ws.h"
#include "gateway/session/eio_server.h"
#include "tests/common/cmocka_all.h"
#include "tests/gateway/support/bed.h"

#define PING_INTERVAL   300 // milliseconds, as in the public conformance suite
#define PING_TIMEOUT    200
#define UPGRADE_TIMEOUT 1000
#define MAX_PAYLOAD     100000
#define MAX_QUEUE       65536

#define PATH "/engine.io/?EIO=4"
#define POLL PATH "&transport=polling"

struct harness {
    struct bed bed; // first, so that a client's bed leads here
    struct http_server *http;
    struct eio_server *eio;
    struct cors cors;
    int send_buffer; // bytes that the kernel is to take for a client; 0: as many as it likes
    bool is_echo;    // answer each message with itself
    struct eio_session *session; // the newest that is open
    struct tl_buffer log; // what the handler was told: "open", "message:…", "close:…", lines
};

// The bed and the log alone, for harnesses of what stands on Engine.IO: they set `http`.
void harness_init(struct harness *harness);
void harness_fini(struct harness *harness);

// A cmocka fixture: state is a struct harness.
int harness_setup(void **state);
int harness_teardown(void **state);
// Starts anew with CORS for these origins.
void harness_set_origins(struct harness *harness, const char *const *origins, size_t count);

// Turns the loop until nothing happens any more.
void harness_settle(struct harness *harness);
// Moves the clock, a millisecond at a time, and settles.
void harness_advance(struct harness *harness, int64_t ms);
void harness_expect_log(struct harness *harness, const char *expected); // and forgets it

void client_open(struct client **client, struct harness *harness);
// Waits for `size` bytes, compares, and consumes them.
void client_expect(struct client *client, const void *bytes, size_t size);
// Nothing has come, and nothing is coming.
void client_expect_silence(struct client *client);
// The server has closed, and sent nothing more before.
void client_expect_end(struct client *client);

void client_request(struct client *client, const char *method, const char *target,
                    const char *headers, const char *body);
// The answer to it; returns the body, valid until the next response of any client.
const char *client_response(struct client *client);
// Both, and the status checked.
const char *client_exchange(struct client *client, const char *method, const char *target,
                            const char *headers, const char *body, int status);
// One exchange on a connection of its own.
const char *once(struct harness *harness, const char *method, const char *target,
                 const char *headers, const char *body, int status);
// Whether the head has the header with that value; the value NULL: the header at all.
bool response_has(const struct response *response, const char *name, const char *value);
// The newest response of any client.
const struct response *last_response(void);

struct sid {
    char text[64];
};

// A handshake over polling, its open packet checked.
struct sid polling_handshake(struct harness *harness);
// The same, and the handler was told.
struct sid polling_open(struct harness *harness);
// "/engine.io/?EIO=4&transport=polling&sid=…"; valid until the eighth next call.
const char *poll_target(const struct sid *sid);
const char *fetch(struct harness *harness, const struct sid *sid, int status);
void post(struct harness *harness, const struct sid *sid, const char *body); // answered "ok"
// Sends a poll that is to wait.
void poll_begin(struct client *client, const struct sid *sid);
// Waits for the response to it.
void poll_expect(struct client *client, const char *body);

// ---- WebSocket

#define WS_HEADERS                                                                                 \
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"                   \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

void ws_connect(struct client **client, struct harness *harness, const char *target);
// A handshake over WebSocket, its open packet checked.
struct sid ws_handshake(struct client **client, struct harness *harness, const char *target);
// The same, and the handler was told.
struct sid ws_open(struct client **client, struct harness *harness);
struct sid ws_open_at(struct client **client, struct harness *harness, const char *target);
// A WebSocket with the id of a session.
void ws_open_probe(struct client **client, struct harness *harness, const struct sid *sid);
// A masked frame; `first` is the whole first byte (0x80 | opcode).
void ws_put_frame(struct client *client, uint8_t first, const void *bytes, size_t size);
// The same, and lets the server work it off.
void ws_send_frame(struct client *client, uint8_t first, const void *bytes, size_t size);
void ws_send(struct client *client, const char *text);
// Waits for a whole frame and returns its payload, NUL-terminated, valid until the next call.
const char *ws_read_frame(struct client *client, enum ws_opcode *opcode, size_t *size);
void ws_expect(struct client *client, const char *text);
void ws_expect_frame(struct client *client, enum ws_opcode opcode, const void *bytes, size_t size);
// A close frame; code 0: an empty one.
void ws_expect_close(struct client *client, uint16_t code);

#endif
