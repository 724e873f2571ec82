// SPDX-License-Identifier: MIT
// A Socket.IO server, protocol revision 5, on an event handler interface. One per loop; everything
// here is for that loop's thread alone.
//
//     static void on_event(struct sio_socket *socket, const struct sio_message *message,
//                          struct sio_ack *ack, void *arg)
//     {
//         if (ack)
//             sio_ack_answer(ack, message->args, message->attachments, message->attachment_count);
//     }
//     …
//     struct sio_handler handler = {.on_event = on_event};
//     sio_server_add_namespace(server, "/", &handler, NULL);
//
// A client's connection carries one socket for each namespace that it has connected to.
#ifndef TALUS_GATEWAY_SESSION_SIO_SERVER_H
#define TALUS_GATEWAY_SESSION_SIO_SERVER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/random.h"
#include "gateway/base/secret.h"
#include "gateway/protocol/sio.h"
#include "gateway/session/eio_server.h"

struct sio_server;
struct sio_namespace;
struct sio_socket;
struct sio_ack;

struct sio_server_options {
    struct eio_server_options engine;
    unsigned connect_timeout_ms; // for a client that joins no namespace; default 45,000
    unsigned max_namespaces;     // sockets on one connection; default 16
    size_t max_packet;           // bytes of a packet with all its attachments, which wait in memory
                                 // for the last one; default 0: as many messages of max_payload
                                 // as a packet can have
};

void sio_server_options_init(struct sio_server_options *options);

// NULL: out of memory.
struct sio_server *sio_server_new(struct gw_loop *loop, struct gw_metrics *metrics,
                                  const struct sio_server_options *options);
// Closes all clients at the Engine.IO level, so that they come back. on_disconnect runs for each.
void sio_server_stop(struct sio_server *server);
bool sio_server_is_drained(const struct sio_server *server);
void sio_server_destroy(struct sio_server **server);

// For http_server_options.on_head, of requests for the server's path (see eio_server_handle_head).
void sio_server_handle_head(struct sio_server *server, struct http_exchange *exchange,
                            const struct http_request *request);
// One request for the server's path. Consumes the exchange.
void sio_server_handle(struct sio_server *server, struct http_exchange *exchange,
                       const struct http_request *request);

// ---- Handlers

// What an event carries, in both directions. Placeholders stand in `args` where the binary values
// belong ({"_placeholder":true,"num":N}); `attachments[N]` has the bytes.
struct sio_message {
    json_t *args; // an array; of events its first element is the event's name
    const struct sio_attachment *attachments;
    unsigned attachment_count;
};

// A message encoded once for many, as WebSocket frames of a namespace (sio_frames.h makes them).
struct sio_encoded {
    const uint8_t *bytes;
    size_t size;
    uint64_t index; // of the event, by which a log finds it again; 0: it is in none
};

// Messages in a row, and what each of them is to the client that gets them.
struct sio_missed {
    const uint8_t *bytes;
    size_t size;
    const struct sio_missed_copy {
        uint64_t index;      // as above
        uint32_t end;        // of the message, in `bytes`
        enum copy_kind kind; // not COPY_LIVE
    } * copies;
    size_t count;
};

struct sio_refusal {
    char message[128];
    json_t *data; // may be NULL; taken over by the server
};

struct sio_handler {
    // A client wants a socket in the namespace. `auth`: the CONNECT payload, NULL if there was
    // none; borrowed. Return true to accept; false refuses, with CONNECT_ERROR of what `refusal`
    // says. NULL accepts everybody. Nothing may be emitted yet; rooms may be joined. Who cannot
    // say at once calls sio_socket_defer.
    bool (*on_connect)(struct sio_socket *socket, const json_t *auth, struct sio_refusal *refusal,
                       void *arg);
    // The socket is connected and its CONNECT is queued.
    void (*on_connection)(struct sio_socket *socket, const json_t *auth, void *arg);
    // An event. `message` borrows until it returns. `ack` is NULL if none was asked for; else it is
    // to be answered once, now or later, or given back unanswered with sio_ack_drop.
    void (*on_event)(struct sio_socket *socket, const struct sio_message *message,
                     struct sio_ack *ack, void *arg);
    // CONNECT answers tell the client its socket's secret (sio_socket_pid) as `pid`, by which it
    // asks for recovery when it comes back.
    bool has_recovery;
    // The socket is over, with the reason in the reference's words ("transport close", "client
    // namespace disconnect", "ping timeout", …). It is still in its rooms, and leaves them when
    // this returns. Emitting to it is a no-op. Called exactly once for each on_connection, never
    // from within a call of ours that the handler made.
    void (*on_disconnect)(struct sio_socket *socket, const char *reason, void *arg);
};

// Adds a namespace ("/graph"); a CONNECT to one that was not added is answered by CONNECT_ERROR
// {"message":"Invalid namespace"}. `handler` is copied. NULL: out of memory, or it exists.
struct sio_namespace *sio_server_add_namespace(struct sio_server *server, const char *name,
                                               const struct sio_handler *handler, void *arg);

// ---- Sockets

const char *sio_socket_id(const struct sio_socket *socket); // its own in each namespace
#define SIO_PID_SIZE (GW_ID_SIZE + GW_SECRET_SIZE)          // characters of a `pid`

// What only its client and this process know: the id, and a secret that proves it. False: out of
// memory.
bool sio_socket_pid(const struct sio_socket *socket, char pid[SIO_PID_SIZE + 1]);
// Whose `pid` the text is. False: it is none that this process has given out.
bool sio_pid_id(const char *pid, char id[GW_ID_SIZE + 1]);
// Within on_disconnect, if the connection has ended: takes over what was published to the client's
// sockets, not written, and has an index. What is not taken is counted as dropped. Copies are kept
// for a client, so those of all its namespaces are taken by the first one that asks.
void sio_socket_take_unsent(struct sio_socket *socket, struct unsent *unsent);
struct sio_namespace *sio_socket_namespace(const struct sio_socket *socket);
bool sio_socket_is_connected(const struct sio_socket *socket);
void sio_socket_set_data(struct sio_socket *socket, void *data);
void *sio_socket_data(const struct sio_socket *socket);

// ---- Answering a CONNECT later

// Within on_connect, which then returns true: the client is answered by sio_socket_accept or
// sio_socket_refuse. Until then the socket can be found by its id and looked at, and nothing can be
// emitted to it; if the client goes meanwhile the socket is gone without on_disconnect, as after a
// refusal. A client that sends anything else in the namespace meanwhile is closed.
void sio_socket_defer(struct sio_socket *socket);
// Gives a deferred socket the id of one that is gone. False: the id is in use, or memory is out;
// the socket keeps its own.
bool sio_socket_resume(struct sio_socket *socket, const char *id);
// Answers with CONNECT; on_connection runs, with `auth` NULL. False: it could not be sent, and the
// client is closed.
bool sio_socket_accept(struct sio_socket *socket);
// Answers with CONNECT_ERROR; the socket is gone.
void sio_socket_refuse(struct sio_socket *socket, const struct sio_refusal *refusal);

// The socket of that id, or NULL. One whose CONNECT has not been answered is found, too.
struct sio_socket *sio_namespace_find(struct sio_namespace *nsp, const char *id);

// Sends DISCONNECT: the client will not come back by itself. `close`: also from its other
// namespaces, and the connection is closed.
void sio_socket_disconnect(struct sio_socket *socket, bool close);
// Closes its connection without a word at the level of Socket.IO, so that the client comes back.
void sio_socket_drop(struct sio_socket *socket);
// The same without waiting for the client: its connection is taken to be dead. on_disconnect runs
// in this turn, with the reason "transport close"; also of one that is being closed, which is not
// waited for any longer, and whose own reason is overwritten. No effect on one that has ended.
void sio_socket_abort(struct sio_socket *socket);

// ---- Emitting. Errors: false, nothing was sent (out of memory, not connected, cannot be encoded,
// or would be malformed to the client: no array, an event name of its own, too many attachments).
// Everything sent to one socket arrives in the order of the calls, whichever function sent it.

bool sio_emit(struct sio_socket *socket, const struct sio_message *message);

// Emits with an acknowledgement: `on_ack` is called once, with the client's answer or, when
// `timeout_ms` (at least 1) is over or the socket is gone, with NULL. Not if this returns false.
typedef void sio_ack_fn(struct sio_socket *socket, const struct sio_message *answer, void *arg);
bool sio_emit_with_ack(struct sio_socket *socket, const struct sio_message *message,
                       unsigned timeout_ms, sio_ack_fn *on_ack, void *arg);

// Answers an acknowledgement with an array of arguments, and frees it. A no-op towards a socket
// that is gone meanwhile. Consumes the ack in any case.
bool sio_ack_answer(struct sio_ack *ack, json_t *args, const struct sio_attachment *attachments,
                    unsigned attachment_count);
// Frees it unanswered; NULL-safe.
void sio_ack_drop(struct sio_ack *ack);

// Sends messages to one socket, also to a deferred one: then they come before the answer to
// CONNECT, and official clients hand them on once they are connected. False: neither, or memory is
// out; nothing was counted.
bool sio_emit_missed(struct sio_socket *socket, const struct sio_missed *missed);
// The same for several sockets of one loop, which share the memory: a chunk of the messages with
// one reference (NULL: out of memory), and the sending of it, which takes a reference of its own.
struct chunk *sio_missed_chunk(const struct sio_missed *missed);
bool sio_emit_missed_chunk(struct sio_socket *socket, struct chunk *chunk);

// ---- Rooms: sets of sockets of one namespace, by name

// Joins (twice is once). False: out of memory.
bool sio_join(struct sio_socket *socket, const char *room);
void sio_leave(struct sio_socket *socket, const char *room);
bool sio_is_in(const struct sio_socket *socket, const char *room);
size_t sio_room_size(struct sio_namespace *nsp, const char *room);

// Emits to each member but those in `except` (socket ids; may be NULL). `room` NULL: to every
// socket of the namespace. Returns the number of sockets that it goes to; 0, too, on the errors
// above.
size_t sio_room_emit(struct sio_namespace *nsp, const char *room, const struct sio_message *message,
                     const char *const *except, size_t except_count);

// The same with bytes that were encoded before, perhaps on another thread; they are copied once,
// into the room's chunk, and each member's queue gets a range of it. A member that is on its way
// out in this turn still counts. For each member it is a copy that is accounted for: published
// here, and in the end written, or taken (sio_socket_take_unsent), or dropped. If memory is out,
// the connections of all members are closed, since what they would have missed cannot be made good.
size_t sio_room_emit_encoded(struct sio_namespace *nsp, const char *room,
                             const struct sio_encoded *encoded, const char *except);

// Closes the connections of all sockets of a namespace at once, for a caller that cannot even make
// the message.
void sio_namespace_give_up(struct sio_namespace *nsp);

#endif
