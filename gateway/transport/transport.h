// SPDX-License-Identifier: MIT
// What carries an Engine.IO session: polling or WebSocket, behind one table of functions. A session
// never asks which one it has.
//
// Output has one form: WebSocket frames, each one Engine.IO packet, in an outq. A WebSocket's queue
// is its connection's own; polling keeps them until a poll is there and takes the payloads out.
//
// Life: a transport has an owner from `accept` until it says on_end or is dropped. After that it
// says goodbye to its client by itself and frees itself; the owner must not use it any more.
// Everything is for the loop's thread; nothing blocks.
#ifndef TALUS_GATEWAY_TRANSPORT_TRANSPORT_H
#define TALUS_GATEWAY_TRANSPORT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/list.h"
#include "gateway/base/chunk.h"
#include "gateway/base/loop.h"
#include "gateway/base/metrics.h"
#include "gateway/protocol/eio.h"
#include "gateway/transport/cors.h"
#include "gateway/transport/http_server.h"

struct transport;

enum transport_end {
    TRANSPORT_END_CLOSED,    // by the client, or after `close`
    TRANSPORT_END_ERROR,     // the client broke the rules of the transport
    TRANSPORT_END_MALFORMED, // the client sent something that is not an Engine.IO packet
    TRANSPORT_END_SLOW,      // the client makes us answer and does not read
};

// What a transport tells its owner.
struct transport_events {
    // A packet of any type but EIO_CLOSE, which ends the transport. It borrows until this returns.
    // The owner may close or drop the transport meanwhile.
    void (*on_packet)(struct transport *transport, void *owner, const struct eio_packet *packet);
    // The transport is over. At most once; never after drop. May come from within `close`.
    void (*on_end)(struct transport *transport, void *owner, enum transport_end end);
};

// What all transports of one server share. Plain data of the server; see transport_host_init.
struct transport_host {
    struct gw_loop *loop;
    struct gw_metrics *metrics;
    const struct cors *cors;
    size_t max_payload;                // bytes a client may send at once
    size_t max_queue;                  // bytes a client may be behind
    struct gw_deadline_queue goodbyes; // of transports whose client is slow to take its leave
    struct tl_list transports;         // every one that is not freed yet
};

struct transport_ops {
    const char *name;   // of the query parameter `transport`
    bool can_upgrade;   // its sessions may move to a WebSocket
    bool needs_upgrade; // it takes over the connection of an HTTP upgrade; the others take requests

    // Makes a transport of a request, which it answers (polling: with `open`; WebSocket: with 101,
    // then `open` as the first packet). `open` is the open packet's text, NULL for a transport that
    // a session may move to. `events` NULL: it has no owner; drop it. Consumes the exchange.
    // NULL: the request is invalid or memory is out, and was answered accordingly.
    struct transport *(*accept)(struct transport_host *host, struct http_exchange *exchange,
                                const struct http_request *request, const struct tl_buffer *open,
                                const struct transport_events *events, void *owner);
    // The head of a further request of its client, whose body is still to come: may be answered or
    // claimed. NULL if it needs an upgrade.
    void (*on_head)(struct transport *transport, struct http_exchange *exchange,
                    const struct http_request *request);
    // A further request of its client. Consumes the exchange. NULL if it needs an upgrade.
    void (*on_request)(struct transport *transport, struct http_exchange *exchange,
                       const struct http_request *request);
    // Where frames are appended, whole ones only; `flush` is to be called afterwards.
    struct outq *(*queue)(struct transport *transport);
    // Has what was queued go out in this turn's flush phase, as far as it can.
    void (*flush)(struct transport *transport);
    // How far the client is behind: bytes queued and what it costs to keep them.
    size_t (*backlog)(const struct transport *transport);
    // Lets a client go that waits for packets (with a noop), since it wants to move on.
    void (*release)(struct transport *transport);
    // Sends what is queued, then closes; on_end comes as soon as the transport can see to the rest
    // by itself (polling: when a poll has fetched it).
    void (*close)(struct transport *transport);
    // Before the owner is done with it, or told of its end: writes what the client's kernel takes
    // now, and adds the copies that were not written. With such a rest the client is behind, and is
    // cut off without a goodbye, so that none is written later. `is_last`: the rest cannot be made
    // good; it goes on being written, and the transport itself counts what is left at its end.
    void (*take_unsent)(struct transport *transport, bool is_last, struct unsent *unsent);
    // The owner is done with it: tells a client that listens, without waiting for one that does
    // not.
    void (*drop)(struct transport *transport);
    // The time of its goodbye is over (transport_start_goodbye), or there is none.
    void (*expire)(struct transport *transport);
    // Ends it without a word, because the host is going.
    void (*abort)(struct transport *transport);
};

// The common start of every transport.
struct transport {
    const struct transport_events *events; // NULL: no owner (any more)
    void *owner;
    struct transport_host *host;
    struct tl_list link;               // of host->transports
    struct transport_goodbye *goodbye; // while it takes its leave; else NULL
    const struct transport_ops *ops;   // last, beside what the implementation has for a delivery
};

// How long a client may take to take its leave, as the reference has it.
#define TRANSPORT_GOODBYE_MS 30000

// Everything but `goodbyes` and `transports` is the caller's to fill in, before.
void transport_host_init(struct transport_host *host);
// Aborts the transports that are left.
void transport_host_fini(struct transport_host *host);

// The table of "polling" or "websocket"; NULL for any other name.
const struct transport_ops *transport_find(const char *name);

// Queues one packet of at most TRANSPORT_PACKET_MAX bytes of text behind its type, and flushes.
// False: out of memory.
#define TRANSPORT_PACKET_MAX 64
bool transport_send(struct transport *transport, enum eio_type type, const char *text);

// ---- For implementations

// The bytes of a queue, and what its ranges cost beside them: many small ones are a burden too.
size_t transport_queue_cost(const struct outq *queue);

void transport_init(struct transport *transport, const struct transport_ops *ops,
                    struct transport_host *host, const struct transport_events *events,
                    void *owner);
void transport_fini(struct transport *transport);

// Gives the client TRANSPORT_GOODBYE_MS to take its leave; then ops->expire is called. Without
// memory for that it is called at once, and false returned.
bool transport_start_goodbye(struct transport *transport);
// No effect on one that takes no leave.
void transport_stop_goodbye(struct transport *transport);

// Tells the owner, if there is one still, that it is over.
void transport_end(struct transport *transport, enum transport_end end);

// Response headers: `lines`, then what CORS asks for, NUL-terminated, to be freed. NULL: out of
// memory.
char *transport_headers(const struct transport_host *host, const struct http_request *request,
                        const char *lines);

#endif
