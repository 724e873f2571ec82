// SPDX-License-Identifier: MIT
// A join with `since` that waits for a history: what catch_up.c and catch_up_queue.c share. Bus
// thread.
#ifndef TALUS_GATEWAY_BRIDGE_CATCH_UP_H
#define TALUS_GATEWAY_BRIDGE_CATCH_UP_H

#include "gateway/bridge/internal.h"

// A broadcaster that waiting joins name. It exists while a history of it is requested, or is to be.
struct bridge_source {
    struct tl_node node;  // of bridge->sources
    struct tl_list link;  // of bridge->catch_up_sources, while the queue is not empty
    struct tl_list queue; // of joins whose history is to be requested
    size_t asked;         // histories that are requested
    char origin[TALUS_ORIGIN_MAX + 1];
};

struct bridge_catch_up {
    struct tl_list link; // of bridge->catch_ups or ->catch_up_paced, or of the source's queue
    struct tl_list session_link; // of session->catch_ups
    struct tl_list followers;    // joins that are told the same
    const struct bridge_catch_up_handler *handler;
    struct bridge_session *session;
    struct bridge_source *source;   // NULL: that of a join for what the log has
    struct bridge_request *request; // the join
    uint64_t after;                 // seq of the client's event
    uint64_t id;                    // of the request to the broadcaster
    bool is_asked;
    bool is_known;     // the client's event is known to be one of the session
    uint64_t asked_at; // index of the newest event when it was asked
    uint64_t end;      // seq of the history's newest event
    uint64_t last;     // seq of the newest event that was found; 0: none was
    uint64_t heard;    // seq up to which the session's stream came of the broadcaster meanwhile
    size_t told;       // what the request had before the missing was told
    bool is_answered;
    bool is_lost;     // the broadcaster did not answer …
    bool is_followed; // … but the stream goes on after the event, or after `end`
    bool is_over;     // the stream has reported the loss of the broadcaster
    bool is_cut;      // what was found is too much, or cannot be used
    bool is_unproven; // there are other broadcasters, and the client is told so
    struct bridge_missed found;
    enum bridge_incomplete cut_for; // of is_cut, if that is known
    struct gw_deadline deadline;
};

// How a catch-up that waits goes on: the queue calls these, and knows nothing of what they do.
struct bridge_catch_up_handler {
    // Lets it join with what the log has, and frees it. False: the log does not have it.
    bool (*find_in_log)(struct bridge_catch_up *catch_up);
    // Lets it join with what was found, or a gap, and frees it.
    void (*finish)(struct bridge_catch_up *catch_up);
};

// ---- catch_up_queue.c

// Lets the join wait for a history or, if the log has it, for its worker. False: it cannot. The
// handler, which stays, is called from later calls only, except `finish` where the history cannot
// be asked for.
bool bridge__catch_up_wait(struct bridge_session *session, struct bridge_request *request,
                           bool is_logged, const struct bridge_catch_up_handler *handler);
// Lets those join that are told the same as its request.
void bridge__catch_up_join_followers(struct bridge_catch_up *catch_up);
// Frees it without its request.
void bridge__catch_up_free(struct bridge_catch_up *catch_up);

#endif
