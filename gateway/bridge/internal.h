// SPDX-License-Identifier: MIT
// What the files of the bridge share: the loop messages between the bus thread and the workers, and
// the two sides' state. A field belongs to the thread that its struct's comment names.
#ifndef TALUS_GATEWAY_BRIDGE_INTERNAL_H
#define TALUS_GATEWAY_BRIDGE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <talus.h>

#include "common/buffer.h"
#include "common/table.h"
#include "gateway/base/chunk.h"
#include "gateway/base/random.h"
#include "gateway/bridge/bridge.h"
#include "gateway/bridge/events/encode.h"
#include "gateway/bridge/events/event_log.h"
#include "gateway/bridge/events/missed.h"

#define BRIDGE_WORKERS_MAX 64
#define BRIDGE_PENDING_MAX ((size_t)8 << 20) // bytes that may be under way to one worker

// ---- Loop messages from a worker to the bus thread, and back as its answer

enum bridge_command {
    BRIDGE_JOIN,
    BRIDGE_LEAVE,   // asked for by the client
    BRIDGE_GONE,    // the client is gone; needs no answer
    BRIDGE_SUSPEND, // the client is gone, from all its sessions, and may come back; needs no answer
    BRIDGE_RECOVER, // a client says that it was here before
};

enum bridge_status {
    BRIDGE_OK,
    BRIDGE_UNAVAILABLE, // the bus cannot take the subscription
    BRIDGE_UNKNOWN,     // RECOVER: nothing is known of it any more, or too little
};

// Why a join with `since` is told a gap. Of several reasons the last one in this list counts.
enum bridge_incomplete {
    BRIDGE_COMPLETE,
    BRIDGE_UNPROVEN,       // the event does not say what the client has of others' events
    BRIDGE_NO_HISTORY,     // the broadcaster's does not reach back
    BRIDGE_NO_ANSWER,      // the broadcaster is gone, cannot be asked, or does not answer
    BRIDGE_TOO_MUCH,       // more than a client may miss, or than the log keeps
    BRIDGE_STREAM_TIMEOUT, // the live stream did not reach the history's end
    BRIDGE_QUEUE_TIMEOUT,  // the history could not be asked for in time
    BRIDGE_QUEUE_FULL,     // too many joins wait, or memory is out
};

// Of a client that is in a session and is left out by `skip`: the newest event that it was sent is
// not the session's newest.
struct bridge_exclusion {
    uint64_t excluded; // index of the newest event that it was left out of; 0: none
    struct bridge_log_position
        before; // the newest event before those that it was left out of in a row
};

struct bridge_suspended_membership {
    uint64_t joined; // index of the newest event when the client joined
    bool is_since;   // at that it was sent older ones, which may not have arrived
    struct bridge_exclusion exclusion;
    // Of the bus thread: the session's `published` when the suspension was kept, and the events
    // that came before that, less those after it that leave the client out.
    uint64_t published;
    uint64_t while_away;
    char session[TALUS_SESSION_MAX + 1]; // "": the events for everybody
};

// What is known of a client that was cut off. Made by its worker, kept by the bus thread, handed
// back if the client comes in time.
struct bridge_suspension {
    char client[GW_ID_SIZE + 1];
    char stale[TALUS_ID_MAX + 1];    // the offset that it had when it connected, "" for none
    bool is_stale_since;             // … from which on its joins bring what came
    bool is_unsure;                  // … where what it has is not known
    struct bridge_log_position left; // newest event of the sessions that it has left
    uint64_t reached;                // index up to which its worker had given out events
    uint64_t pending;                // events that it was to get by then, and that were not written
    uint64_t pending_from;           // index of the first event that it is owed
    unsigned membership_count;
    struct bridge_suspended_membership
        memberships[]; // the first one is that of the events for everybody
};

// Travels to the bus thread, waits there with its session until the subscription is live, and
// travels back to be answered. Its present holder owns it.
struct bridge_request {
    struct gw_loop_message message;
    struct tl_list link; // of session->waiting
    struct bridge_worker *worker;
    struct bridge_worker *worker_left; // with `suspension`: that of the connection that ended
    struct sio_ack *ack;               // the worker's; only carried along
    enum bridge_command command;
    bool is_member;  // JOIN: the client is in the session already
    bool is_implied; // JOIN: `since` is the offset of its CONNECT, perhaps of another session; "":
                     // it was here before, and what it has is not known
    enum bridge_status status;
    enum bridge_incomplete incomplete; // JOIN with `since`
    struct bridge_encoded *presence;   // JOIN that was new: what the room is told before `joined`
    size_t active_clients;
    uint64_t index;                // of the session's newest event
    char offset[TALUS_ID_MAX + 1]; // RECOVER: what the client says; else the newest event's id
    char since[TALUS_ID_MAX + 1];  // JOIN: the newest event that the client has; "": it says none
    // SUSPEND; RECOVER, from a worker: of the connection that the client still had; back there, if
    // the status is OK: what it is to be restored from.
    struct bridge_suspension *suspension;
    struct bridge_missed missed; // RECOVER, JOIN with `since`
    struct chunk *shared;        // JOIN: the same, for several joins of its worker; or NULL
    size_t pending;              // bytes of it that count in the worker's `pending`
    char past[GW_ID_SIZE + 1];   // RECOVER: the id that the client had
    unsigned asked;              // RECOVER: workers that were asked for the client
    char client[GW_ID_SIZE + 1];
    char session[TALUS_SESSION_MAX + 1];
};

// ---- Loop messages from the bus thread to workers

// An event or presence, encoded once; each worker that has members gets a room message that refers
// to it.
struct bridge_room_message {
    struct gw_loop_message message;
    struct bridge_worker *worker;
    struct bridge_encoded *encoded; // one reference
};

// ---- Both sides

// How the bus thread waits for a worker that is behind. The message can be on its way once only, so
// it is not asked for again before it has arrived.
enum bridge_pace {
    BRIDGE_FREE,
    BRIDGE_AWAITED, // set by the bus thread: the worker is to say when it has caught up
    BRIDGE_READY,   // set by the worker: ready_message is on its way
};

// Set up before the threads start, read-only then but for the atomics and the messages.
struct bridge_worker {
    struct bridge *bridge;
    struct sio_server *server;
    struct gw_loop *loop;
    struct gw_metrics *metrics;
    struct sio_namespace *nsp;
    unsigned index;
    uint64_t newest;       // index of the newest event that it has given out; the worker's own
    size_t unanswered;     // requests under way that an answer is due to; the worker's own
    atomic_size_t pending; // bytes of room messages and answers posted and not worked off
    atomic_int pace;       // enum bridge_pace
    struct gw_loop_message ready_message;
    struct gw_loop_message lost_message; // the bus thread had no memory for a room message
    atomic_bool is_lost;                 // it is on its way
};

// The broadcasters that have sent to a session, as far as `since` needs them: see origins.c.
struct bridge_origins {
    char first[TALUS_ORIGIN_MAX + 1]; // the first one; "": none yet
    uint64_t others;                  // index of the first event of another one; 0: it was before
                                      // the session was live; UINT64_MAX: there is none
};

// A session of the bus that clients are in or were in a moment ago. Bus thread.
struct bridge_session {
    struct tl_node node; // of bridge->sessions
    struct bridge *bridge;
    struct tl_list waiting; // requests, until it is live
    bool is_live;
    size_t clients; // in all workers
    size_t held;    // for clients that may come back, or wait for what they missed
    struct session_log log;
    struct tl_list catch_ups;      // joins that wait for a history: see catch_up.c
    char newest[TALUS_ID_MAX + 1]; // id of the newest event known but for gateways' presence; ""
                                   // for none
    struct bridge_origins origins;
    struct gw_deadline linger; // since the last client left
    const char *name;          // behind `members`
    size_t members[];          // clients of each worker
};

// What delivers each kind of message at the other side's loop. Set once, in bridge.c: neither side
// calls the other.
struct bridge_handlers {
    void (*on_request)(struct gw_loop_message *message);      // bus thread
    void (*on_answer)(struct gw_loop_message *message);       // worker
    void (*on_room_message)(struct gw_loop_message *message); // worker
    void (*on_search)(struct gw_loop_message *message);       // worker
};

struct bridge {
    struct bridge_options options;
    const struct bridge_handlers *handlers;
    char *nsp;
    talus_broadcaster_t *broadcaster;
    talus_subscriber_t *subscriber;
    struct bridge_worker workers[BRIDGE_WORKERS_MAX];
    unsigned worker_count;

    // Bus thread.
    struct gw_loop *loop;
    pthread_t thread;
    bool is_started;
    bool are_workers_gone;  // where they share the loop: what is still posted to them is dropped
    uv_poll_t *bus_watcher; // of the subscriber's descriptor
    struct gw_task receive_task;
    struct gw_deadline_queue linger;
    size_t lingering_count;
    bool is_publishing_stuck; // presence found the queue full, and it did not empty in time
    struct tl_table sessions; // by name
    struct encoder *encoder;
    struct event_log log;
    struct session_log everybody;
    struct gw_deadline_queue log_deadlines;
    struct gw_deadline log_deadline; // lets go what is too old
    struct tl_table suspended;       // by client
    struct gw_deadline_queue suspended_deadlines;
    size_t suspended_count;
    size_t suspended_bytes;
    struct tl_list catch_ups; // histories that are asked for, for joins: see catch_up.c
    size_t catch_up_count;
    struct tl_table sources;         // by broadcaster: the queues of those still to be asked for
    struct tl_list catch_up_sources; // whose queue has some, in turn
    struct tl_list catch_up_paced;   // joins for what the log has, whose worker is behind
    size_t catch_up_waiting;         // joins that wait for one of all these
    struct gw_deadline_queue catch_up_deadlines;
    struct gw_deadline_queue catch_up_queue_deadlines;
    struct gw_metrics metrics;
    struct gw_loop_message stop_message;
};

// Whether so much is under way to a worker that no more is to be.
static inline bool bridge__is_behind(const struct bridge_worker *worker)
{
    return atomic_load(&worker->pending) > BRIDGE_PENDING_MAX;
}

// ---- request.c

// Workers. A new request; NULL: out of memory.
struct bridge_request *bridge__new_request(struct bridge_worker *worker,
                                           enum bridge_command command, const char *session,
                                           const char *client_id);
// Workers. Sends it to the bus thread; all but GONE and SUSPEND come back to bridge__on_answer.
void bridge__post_request(struct bridge_request *request);
// Bus thread. Sends it back to its worker.
void bridge__answer(struct bridge_request *request, enum bridge_status status);
// Frees a request with all that it carries but the ack.
void bridge__free_request(struct bridge_request *request);
// Frees a request that is dropped at the end, when the workers' servers are gone, with its ack.
void bridge__drop_request(struct gw_loop_message *message);

// ---- fan_out.c, bus thread

// Sends an encoded message to the workers that have members in `session` (NULL: to all), but not to
// `except` (NULL: nobody).
void bridge__fan_out(struct bridge *bridge, const struct bridge_session *session,
                     struct bridge_encoded *encoded, const struct bridge_worker *except);
// What a room message counts for, in bytes. Any thread.
size_t bridge__room_message_size(const struct bridge_room_message *room_message);

// ---- session.c, bus thread

// NULL: the bridge is not subscribed to it.
struct bridge_session *bridge__find_session(const struct bridge *bridge, const char *name);
// Subscribes. NULL: out of memory, or the bus cannot; the latter is logged.
struct bridge_session *bridge__session_new(struct bridge *bridge, const char *name);
// Frees it, still subscribed.
void bridge__session_free(struct bridge_session *session);
// Whether it has members, or is held.
bool bridge__is_used(const struct bridge_session *session);
// Unsubscribes after a while, unless it is used.
void bridge__linger_if_unused(struct bridge_session *session);
// Keeps the session and logs it, also while it has no member; `held` counts the calls.
void bridge__hold(struct bridge_session *session);
// Unsubscribes the session that has lingered longest. False: none does.
bool bridge__evict_lingering(struct bridge *bridge);
void bridge__count_in(struct bridge_session *session, const struct bridge_worker *worker);
void bridge__count_out(struct bridge_session *session, const struct bridge_worker *worker);

// ---- presence.c, bus thread

// Tells the bus, and every worker that has members, that a client came or went. With `carrier` not
// NULL, its worker gets what it is to tell with that request, and not by a room message.
void bridge__presence(struct bridge_session *session, const char *type, const char *client,
                      struct bridge_request *carrier);
// The same of a client that went, by the session's name: if the session was let go meanwhile, only
// the bus is told.
void bridge__tell_gone(struct bridge *bridge, const char *session, const char *client);

// Counts a client in, and answers; or refuses, where the request's status says so.
void bridge__join(struct bridge_session *session, struct bridge_request *request);

// ---- request_handler.c, bus thread

// A request that arrives at the bus thread.
void bridge__on_request(struct gw_loop_message *message);
// A JOIN, LEAVE or GONE for a session that is live.
void bridge__work_off(struct bridge_session *session, struct bridge_request *request);

// ---- delivery_handler.c, bus thread

void bridge__on_delivery(struct bridge *bridge, const talus_delivery_t *delivery);

// ---- bus.c

// Bus thread: starts and ends its part.
bool bridge__bus_init(struct bridge *bridge);
void bridge__bus_fini(struct bridge *bridge);
// A worker that was behind has caught up. Runs on the bus thread.
void bridge__on_ready(struct gw_loop_message *message);

// ---- worker.c

// Registers the handlers with a worker's server. False: out of memory.
bool bridge__worker_init(struct bridge_worker *worker);
// A request that comes back to its worker. Runs on the worker's loop.
void bridge__on_answer(struct gw_loop_message *message);
// A room message for the worker's clients. Runs on the worker's loop.
void bridge__on_room_message(struct gw_loop_message *message);
// A room message to the worker could not be made. Runs on the worker's loop.
void bridge__on_lost(struct gw_loop_message *message);

// ---- origins.c, bus thread

void bridge__origins_init(struct bridge_origins *origins);
// The session is live.
void bridge__origins_begin(struct bridge_origins *origins, const talus_live_t *live);
// An event has come; `index`: the log's.
void bridge__origins_note(struct bridge_origins *origins, const talus_event_t *event,
                          uint64_t index);
// Whether a gateway's broadcaster says who came or went. What else comes under such an origin
// counts as any other broadcaster's.
bool bridge__is_gateway_presence(const talus_event_t *event);
// Whether an id is of a gateway's broadcaster, which tells of nothing but presence.
bool bridge__is_presence_id(const char *id);
// Whether a broadcaster other than that of an event id sent something before that index.
bool bridge__has_others(const struct bridge_origins *origins, const char *id, uint64_t index);

// ---- catch_up.c and catch_up_queue.c, bus thread

void bridge__catch_ups_init(struct bridge *bridge);
void bridge__catch_ups_fini(struct bridge *bridge);
// Finds what a client that joins a live session missed. True: it waits, and bridge__join
// follows when that is known; false: it is in the request, or a gap is.
bool bridge__catch_up(struct bridge_session *session, struct bridge_request *request);
// Answers waiting joins whose events the log has, while their workers are not behind.
void bridge__catch_ups_resume(struct bridge *bridge);
// Requests waiting histories, as many as allowed at a time. Not to be called while the requested
// histories are walked through: some joins may end.
void bridge__catch_ups_request(struct bridge *bridge);
// Deliveries of requested histories.
void bridge__on_replayed(struct bridge *bridge, const talus_replayed_t *replayed);
void bridge__on_recovered(struct bridge *bridge, const talus_recovered_t *recovered);
// An event of the session has come, and is in the log.
void bridge__catch_ups_on_event(struct bridge_session *session, const talus_event_t *event);
// The same of a gap.
void bridge__catch_ups_on_gap(struct bridge_session *session, const talus_gap_t *gap);

// ---- suspended_clients.c, bus thread

void bridge__recovery_init(struct bridge *bridge);
void bridge__recovery_fini(struct bridge *bridge);
// Notes an event of the session (NULL: for everybody), or with `event` NULL a gap, and keeps it.
// NULL `encoded`: it cannot be kept.
void bridge__log(struct bridge *bridge, struct bridge_session *session,
                 struct bridge_encoded *encoded, const talus_event_t *event);
// Keeps the suspension of a client that its sessions do not count any more, and takes it over.
void bridge__suspend(struct bridge *bridge, struct bridge_suspension *suspension);
// Drops the client that has been suspended longest. False: there is none.
bool bridge__forget_oldest(struct bridge *bridge);
// Whether a client of that id is suspended.
bool bridge__is_suspended(const struct bridge *bridge, const char *client);
// Finds what a client that comes back missed. True: the request carries it; the client is to be
// counted in its sessions again.
bool bridge__recover(struct bridge *bridge, struct bridge_request *request);

// ---- connection_recovery.c, workers

struct client;

// Asks whether a client that connects was here before. False: it says nothing of that, it was not
// here, or memory is out: it is not recovered.
bool bridge__ask_recovery(struct bridge_worker *worker, struct sio_socket *socket,
                          const json_t *auth);
void bridge__on_recovery_answer(struct bridge_request *request);
// A client that asks for recovery may have a connection here. Runs on the loop of the worker that
// is asked.
void bridge__on_search(struct gw_loop_message *message);
// The client is gone: hands the requests that take its place to the bus thread.
void bridge__hand_over(struct client *client);
// A client is not recovered: notes the offset that it names. `auth`: its CONNECT, or NULL.
void bridge__begin_anew(struct sio_socket *socket, const json_t *auth);
// Tells the bus thread that a client was cut off which may come back, or leaves that to
// bridge__hand_over. False: it may not.
bool bridge__report_suspension(struct client *client, const char *reason);

#endif
