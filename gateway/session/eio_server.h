// SPDX-License-Identifier: MIT
// Engine.IO server, protocol revision 4: sessions over polling and WebSocket, upgrades, heartbeats.
// One per loop. It knows nothing of Socket.IO: what sessions carry are messages.
//
// What goes to a client is kept as WebSocket frames of Engine.IO packets (gateway/protocol/
// sio_frames.h), whatever its transport: polling takes the payloads out when it answers a poll.
#ifndef TALUS_GATEWAY_SESSION_EIO_SERVER_H
#define TALUS_GATEWAY_SESSION_EIO_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/chunk.h"
#include "gateway/base/loop.h"
#include "gateway/base/metrics.h"
#include "gateway/transport/cors.h"
#include "gateway/transport/http_server.h"

struct eio_server;
struct eio_session;

struct eio_server_options {
    unsigned ping_interval_ms;   // default 25,000
    unsigned ping_timeout_ms;    // default 20,000
    unsigned upgrade_timeout_ms; // default 10,000
    size_t max_payload;          // bytes a client may send at once; default 1,000,000
    size_t max_queue;            // bytes a client may be behind; default 1 MiB, see SLOW_CLIENTS
    unsigned worker;         // below GW_ID_TAGS_MAX, and to be told by its sessions' ids; default 0
    const struct cors *cors; // borrowed for the server's life; NULL: nothing is configured
};

// Fills in the defaults.
void eio_server_options_init(struct eio_server_options *options);

// Why a session ended, in the reference's words, which reach `disconnect` handlers:
// "transport close", "transport error", "ping timeout", "parse error", "forced close",
// "server shutting down". Constant strings.
struct eio_handler {
    // A session is open: messages may be sent. Called once its open packet is queued.
    void (*on_open)(struct eio_session *session, void *arg);
    // A message; the bytes borrow until it returns.
    void (*on_message)(struct eio_session *session, bool is_binary, const uint8_t *bytes,
                       size_t size, void *arg);
    // The session is over. Called exactly once for each on_open, never from within a call of any
    // function below but eio_server_destroy (else later in the turn, or in the next: in the
    // distribution phase, so that what it sends to others still goes out in that turn). The
    // session is freed after it returns.
    void (*on_close)(struct eio_session *session, const char *reason, void *arg);
};

// Copies `options`; `handler` is borrowed for the server's life. NULL: out of memory.
struct eio_server *eio_server_new(struct gw_loop *loop, struct gw_metrics *metrics,
                                  const struct eio_server_options *options,
                                  const struct eio_handler *handler, void *arg);

// Closes every session at the Engine.IO level ("server shutting down"): polls are answered with a
// close packet, WebSockets get a close frame. Clients treat that as a lost transport and come back.
// New requests are refused with 503 from here on.
void eio_server_stop(struct eio_server *server);
// Whether there is no session, and no connection of one, any more. WebSocket clients have half a
// minute to answer the close frame; a caller that does not wait that long destroys the server.
bool eio_server_is_drained(const struct eio_server *server);
// Ends what is left, without a word to WebSocket clients; on_close is called for each session.
// NULL-safe through the pointer, which is set to NULL. Not from within a handler.
void eio_server_destroy(struct eio_server **server);

// For http_server_options.on_head, of requests for the server's path: lets posts that overlap, or
// are broken off, be noticed, and refuses others early. May be left out.
void eio_server_handle_head(struct eio_server *server, struct http_exchange *exchange,
                            const struct http_request *request);

// Handles one request for the server's path: handshake, poll, post, upgrade, preflight, and every
// error of them, with the reference's statuses and bodies. Consumes the exchange. The connection's
// own bound on bodies should not be below max_payload.
void eio_server_handle(struct eio_server *server, struct http_exchange *exchange,
                       const struct http_request *request);

// The options' `worker` of the server that made a session's id; -1: the text is no such id. Whether
// there is such a session is another matter.
int eio_id_worker(const char *id);

// ---- Sessions

const char *eio_session_id(const struct eio_session *session);
// What the session was to get and did not: complete within on_close, to which it is for the taking.
// May be added to meanwhile.
struct unsent *eio_session_unsent(struct eio_session *session);
// The metric that counts what is dropped for the reason of the session's end, which has begun.
enum gw_metric eio_session_drop_reason(const struct eio_session *session);
const char *eio_session_transport(const struct eio_session *session); // "polling", "websocket"
// False: nothing can be sent any more, and on_close follows, if it has not been called.
bool eio_session_is_open(const struct eio_session *session);

// A pointer that the handler keeps with the session; NULL at first.
void eio_session_set_data(struct eio_session *session, void *data);
void *eio_session_data(const struct eio_session *session);

// Queues a range of a chunk: whole WebSocket frames, each one Engine.IO packet; written in
// this turn's flush phase (polling: when a poll is there). A session that, after a turn's output
// was written, is more than max_queue bytes behind and is sent more, is closed ("transport close")
// and counted. False: nothing was queued (out of memory: the session is over; or it was already, or
// is closing).
bool eio_session_send(struct eio_session *session, const struct range *range);

// Queues a copy of one message. Same results.
bool eio_session_send_message(struct eio_session *session, bool is_binary, const void *bytes,
                              size_t size);

// Sends what is queued, then closes the transport; on_close comes with `reason` (a constant
// string). From here on nothing is received or sent. Again, or after the end: no effect.
void eio_session_close(struct eio_session *session, const char *reason);
// Closes now, whether or not the client has fetched what is queued. After the end: no effect.
void eio_session_abort(struct eio_session *session, const char *reason);
// The same of a session that memory is out for: what it misses cannot be made good, and it is to
// come back ("transport close").
void eio_session_fail(struct eio_session *session);

#endif
