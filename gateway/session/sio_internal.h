// SPDX-License-Identifier: MIT
// Shared by the files of the Socket.IO server; no other file includes it.
//
// Objects: a server has namespaces and clients; a client is one Engine.IO session and has a socket
// for each namespace that it connected to; a socket has memberships, one for each room that it is
// in.
//
// Order: everything that goes to a socket enters its session's queue at once, except what a room
// has pending for the members that are in no other room: that waits until the end of the turn, so
// that a burst costs each of them one range. Whoever sends to a socket by another way distributes
// its rooms first (sio__room_distribute), so the order of calls is the order on the wire.
#ifndef TALUS_GATEWAY_SESSION_SIO_INTERNAL_H
#define TALUS_GATEWAY_SESSION_SIO_INTERNAL_H

#include "common/table.h"
#include "gateway/base/random.h"
#include "gateway/session/sio_server.h"

struct sio_server {
    struct gw_loop *loop;
    struct gw_metrics *metrics;
    struct sio_server_options options;
    struct eio_server *engine;
    struct sio_decoder *decoder; // for packets that come whole; NULL while lent to a client
    struct tl_buffer scratch;    // where packets are encoded
    struct tl_list namespaces;
    struct tl_list ack_queues; // of deadline queues, one for each time-out in use
    struct gw_deadline_queue connect_deadlines;
    size_t client_count;
};

struct sio_namespace {
    struct tl_list link;
    struct sio_server *server;
    struct sio_handler handler;
    void *arg;
    struct tl_table sockets; // by id
    struct tl_table rooms;   // by name
    int64_t next_ack;        // ids of acknowledgements asked for
    char name[];
};

struct sio_client {
    struct sio_server *server;
    struct eio_session *session;
    struct sio_decoder *decoder; // only while attachments are due
    struct tl_list sockets;
    unsigned socket_count;
    bool is_closing;                       // on purpose: what still arrives is ignored
    struct sio_connect_wait *connect_wait; // NULL once it has connected to a namespace
};

// Of a client that has not connected to any namespace yet.
struct sio_connect_wait {
    struct gw_deadline deadline;
    struct sio_client *client;
};

enum sio_socket_state {
    SIO_SOCKET_CONNECTING,    // on_connect decides
    SIO_SOCKET_DEFERRED,      // it will be decided later
    SIO_SOCKET_CONNECTED,     //
    SIO_SOCKET_DISCONNECTING, // by us: on_disconnect is still to be called
    SIO_SOCKET_ENDED,         // on_disconnect is being called
};

struct sio_socket {
    char id[GW_ID_SIZE + 1];
    uint8_t state;               // enum sio_socket_state
    struct eio_session *session; // its data is the client: a delivery need not go by it
    struct sio_namespace *nsp;
    struct sio_membership *memberships; // by `next`, in the order of joining
    struct tl_list link;                // of the client's sockets
    struct tl_list acks;                // struct sio_ack, both ways
    void *data;
    struct gw_task end_task;
    struct tl_node node; // of nsp->sockets
};

// A socket of a walk over nsp->sockets.
static inline struct sio_socket *sio__socket_at(struct tl_node *node)
{
    return TL_TABLE_ENTRY(node, struct sio_socket, node);
}

static inline struct sio_client *sio__client_of(const struct sio_socket *socket)
{
    return eio_session_data(socket->session);
}

// An acknowledgement that we owe the client, or that the client owes us (see sio_ack.c).
struct sio_ack {
    struct tl_list link; // of socket->acks; alone once the socket is gone
    struct sio_socket *socket;
    int64_t id;
    bool is_awaited; // from the client
};

// A member of exactly one room takes what the room has pending at the end of the turn; a member of
// several takes each message at once, so that those of different rooms keep their order.
struct sio_room {
    struct sio_namespace *nsp;
    struct tl_list single; // memberships of sockets that are in this room alone
    struct tl_list multi;  // memberships of sockets that are in others too
    size_t size;
    struct chunk *chunk;  // where messages are appended; NULL at first and after a large one
    uint32_t distributed; // bytes of `chunk` that the single members have been given
    uint32_t counted;     // copies in them
    size_t next_capacity; // of the next chunk: grows with the room's traffic
    struct gw_task task;  // distributes
    struct tl_node node;  // of nsp->rooms
    char name[];
};

struct sio_membership {
    struct tl_list link; // of room->single or room->multi
    struct sio_socket *socket;
    struct sio_membership *next; // of socket->memberships
    struct sio_room *room;
};

// ---- sio_packet.c

// Encodes a packet as WebSocket frames into a chunk of its own (one reference for the caller).
// NULL: out of memory, or clients would take it for malformed.
struct chunk *sio__encode(struct sio_server *server, enum sio_type type, const char *nsp,
                          int64_t id, const json_t *data, const struct sio_attachment *attachments,
                          unsigned attachment_count);
// Queues a whole chunk, with its copies. False: as of eio_session_send.
bool sio__send_chunk(struct eio_session *session, struct chunk *chunk);
// Sends one packet without attachments to a client.
bool sio__client_send(struct sio_client *client, enum sio_type type, const char *nsp,
                      const json_t *data);

// ---- sio_lookup.c

// The client's socket of a namespace, unless it is disconnecting; or NULL.
struct sio_socket *sio__client_socket(const struct sio_client *client,
                                      const struct sio_namespace *nsp);

// ---- sio_pending.c

#define SIO__CHUNK_MAX ((size_t)64 * 1024) // a larger message gets a chunk of its own size

// Queues a range of a room's chunk to each member in a list of memberships, but for one id (NULL:
// for none).
void sio__give_range(struct tl_list *members, const struct range *range, const char *except);
// Gives the members that are in no other room what is pending.
void sio__room_distribute(struct sio_room *room);
// The same for every room that the socket is in.
void sio__socket_distribute(struct sio_socket *socket);
// One large message is no reason for the room to keep so much memory. All of it was given out.
void sio__room_drop_large_chunk(struct sio_room *room);
// Queues a chunk, with its copies, to a connected socket, after distributing its rooms.
bool sio__socket_send(struct sio_socket *socket, struct chunk *chunk);
// The socket was to get the copies of the range, and does not: they are its session's unsent ones,
// or, if that goes on without the socket, dropped.
void sio__socket_miss(struct sio_socket *socket, const struct range *range);

// ---- sio_client.c

// A client that has not connected to any namespace yet. NULL: out of memory.
struct sio_client *sio__client_new(struct sio_server *server, struct eio_session *session);
// It has connected to a namespace, or is gone.
void sio__client_stop_waiting(struct sio_client *client);
// Closes a client as the reference does on a violation: "forced close".
void sio__client_close(struct sio_client *client);

// ---- sio_ack.c

struct sio_ack *sio__ack_new(struct sio_socket *socket, int64_t id);
// The client answered acknowledgement `packet->id`; an unknown id is ignored.
void sio__acks_receive(struct sio_socket *socket, const struct sio_packet *packet);
// The socket is gone: what it owed is called with NULL, what we owed is forgotten.
void sio__acks_end(struct sio_socket *socket);
void sio__ack_queues_fini(struct sio_server *server);

// ---- sio_room.c

void sio__socket_leave_all(struct sio_socket *socket);

// ---- sio_socket.c

// Makes a socket, asks the handler, answers CONNECT or CONNECT_ERROR.
void sio__socket_connect(struct sio_client *client, struct sio_namespace *nsp, const json_t *auth);
// The end of a socket: rooms, acknowledgements, handler. Frees it.
void sio__socket_end(struct sio_socket *socket, const char *reason);
// An event or acknowledgement from the client.
void sio__socket_receive(struct sio_socket *socket, const struct sio_packet *packet);

#endif
