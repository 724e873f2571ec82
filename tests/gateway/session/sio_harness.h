// SPDX-License-Identifier: MIT
// A Socket.IO server on the bed of the Engine.IO harness, whose clients and helpers serve here too.
// What its handlers are told goes to the log; what they do is for each test to say.
#ifndef TALUS_TESTS_GATEWAY_SESSION_SIO_HARNESS_H
#define TALUS_TESTS_GATEWAY_SESSION_SIO_HARNESS_H

#include "gateway/session/sio_server.h"
#include "tests/gateway/session/eio_harness.h"

#define CONNECT_TIMEOUT 250 // milliseconds; before the first ping
#define MAX_NAMESPACES  2   // of one connection

#define WS PATH "&transport=websocket"

struct sio_harness {
    struct harness base; // first, since a client's bed leads here
    struct sio_server *sio;
    struct sio_namespace *main;   // "/"
    struct sio_namespace *custom; // "/custom"
    struct sio_namespace *third;  // "/third"
    // What is done beside writing the log; `arg` is the harness. An event that no hook takes has
    // its acknowledgement dropped.
    struct sio_handler hooks;
    void *data;                // a hook's own
    struct sio_socket *newest; // that was connected last; NULL once it is gone
    json_t *late;              // an event that comes too late for its socket
    unsigned connections;
    unsigned disconnections;
};

// A cmocka fixture: state is a struct sio_harness. The log has, in lines,
//     connect /custom {"token":1}       connection /custom {"token":1}
//     event / ["name",1] ack <0102>     ("ack" if one is asked for; the attachments in hexadecimal)
//     disconnect / transport close
// The teardown ends with every gauge at zero, and every connection disconnected.
int sio_setup(void **state);
int sio_teardown(void **state);

void sio_expect_log(struct sio_harness *harness, const char *expected); // and forgets it
// Forgets it, once what was under way is done.
void sio_forget_log(struct sio_harness *harness);

// A client over WebSocket, in the namespace "/". The log is forgotten.
struct sio_socket *sio_ws_open(struct client **client, struct sio_harness *harness);
// Enters a further namespace.
struct sio_socket *sio_ws_enter(struct client *client, struct sio_harness *harness,
                                const char *nsp);
// The same over polling.
struct sio_socket *sio_polling_open(struct sid *sid, struct sio_harness *harness);

// The event or arguments of that JSON text; `args` is to be freed.
struct sio_message message_of(const char *json);
bool sio_emit_json(struct sio_socket *socket, const char *json);
// To a room (NULL: everybody) but the socket `except` (NULL: nobody).
size_t sio_room_emit_json(struct sio_namespace *nsp, const char *room, const char *json,
                          const struct sio_socket *except);
// The same by way of the room's chunk.
size_t sio_room_emit_frames(struct sio_namespace *nsp, const char *room, const char *json,
                            const struct sio_socket *except);

#endif
