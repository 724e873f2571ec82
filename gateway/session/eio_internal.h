// SPDX-License-Identifier: MIT
// Shared by the files of the Engine.IO server; no other file includes it.
//
// A server has sessions; a session has one transport while it is open or closing, and for the time
// of an upgrade the one that it may move to.
//
// A session ends in three steps: the state becomes ENDED, and it cannot be found by its id any
// more; on_close is called in the distribution phase; the memory is freed in the reap phase. So a
// session stays valid for whatever is on the stack.
#ifndef TALUS_GATEWAY_SESSION_EIO_INTERNAL_H
#define TALUS_GATEWAY_SESSION_EIO_INTERNAL_H

#include "common/list.h"
#include "common/table.h"
#include "gateway/base/random.h"
#include "gateway/session/eio_server.h"
#include "gateway/transport/transport.h"

struct eio_server {
    struct eio_server_options options;
    const struct eio_handler *handler;
    void *arg;
    struct transport_host host;
    struct gw_deadline_queue ping_intervals;
    struct gw_deadline_queue ping_timeouts;
    struct gw_deadline_queue upgrade_timeouts;
    struct gw_deadline_queue releases; // of polls, while their sessions upgrade
    struct tl_table by_id;             // those that can be found
    struct tl_list sessions;           // all that are not freed yet
    struct tl_list orphans;            // struct eio_upgrade, whose sessions have ended
    int64_t origin_logged_at;  // when a refused origin was last logged, loop's time; 0: never
    uint64_t origins_unlogged; // requests refused for their origin since then
    bool is_stopping;
};

enum eio_session_state {
    EIO_SESSION_OPENING, // not known to the handler yet
    EIO_SESSION_OPEN,
    EIO_SESSION_CLOSING, // on purpose: waits for the client to have what is queued
    EIO_SESSION_ENDED,
};

struct eio_session {
    // What a delivery reads comes first, in one line of the cache.
    struct transport *transport; // NULL once ended
    struct eio_server *server;
    uint8_t state; // enum eio_session_state
    bool is_pong_awaited;
    bool is_patience_used; // a packet other than a pong has put off the ping timeout
    bool is_close_told;    // on_close was called
    bool is_behind;        // it is ended for its backlog
    bool is_memory_out;    // it is ended because it cannot be told something
    uint8_t lateness_ms;   // of the ping, where that is the timer's own
    char id[GW_ID_SIZE + 1];
    struct eio_upgrade *upgrade; // NULL but during one
    void *data;
    const char *reason;           // of the end
    struct unsent unsent;         // when it ended, and later
    struct gw_deadline heartbeat; // the next ping, or the end of waiting for a pong
    struct gw_task task;          // open: judges a slow client; ended: on_close, then frees
    struct tl_list link;          // of server->sessions
    struct tl_node node;          // of server->by_id
};

// The upgrade of a session, from the handshake of its new transport on.
struct eio_upgrade {
    struct eio_session *session; // NULL: it has ended
    struct tl_list link;         // then: of server->orphans
    struct transport *transport; // that the session may move to
    struct gw_deadline timeout;
    struct gw_deadline release; // lets polls go from the probe on, so that the client can move
};

// ---- eio_session.c

// Why sessions end when their server stops.
#define EIO__SHUTTING_DOWN "server shutting down"

extern const struct transport_events eio__session_events;

// A session in the state OPENING, with an id. NULL: out of memory, or of random numbers.
struct eio_session *eio__session_new(struct eio_server *server);
// Frees one that is OPENING still.
void eio__session_discard(struct eio_session *session);
// Opens it over `transport`. If memory is out, the transport is dropped and the session freed.
void eio__session_open(struct eio_session *session, struct transport *transport);
// The session of that id, or NULL.
struct eio_session *eio__session_find(struct eio_server *server, const char *id);
// The end. A transport that is still there is dropped.
void eio__session_end(struct eio_session *session, const char *reason);
// on_close now, unless it was told, and frees.
void eio__session_destroy(struct eio_session *session);

// ---- eio_probe.c

// Frees the upgrade, not its transport.
void eio__upgrade_free(struct eio_upgrade *upgrade);
// Drops the transport that the session might have moved to, if there is one.
void eio__upgrade_abandon(struct eio_session *session);
// The same where the session ends by the server's will: a client that has paused its polling hears
// of nothing but its move, so its new transport is kept until it says `5`, or for as long as an
// upgrade may take, and dropped then.
void eio__upgrade_orphan(struct eio_session *session);
// Drops what eio__upgrade_orphan keeps.
void eio__upgrades_drop_orphans(struct eio_server *server);
// Whether its client was told to move: it may poll no more, and hears of an end over the new
// transport alone.
bool eio__upgrade_is_probed(const struct eio_session *session);

// ---- eio_upgrade.c

// A handshake of a transport with the session's id. Consumes the exchange.
void eio__upgrade_begin(struct eio_session *session, const struct transport_ops *ops,
                        struct http_exchange *exchange, const struct http_request *request);

#endif
