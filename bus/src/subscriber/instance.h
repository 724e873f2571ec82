// SPDX-License-Identifier: MIT
// The subscriber from the inside, and how its files stand to each other:
//
//   subscriber.c  making, ending, watching it
//   receive.c     waiting: what wakes the caller, and what is done meanwhile
//   intake.c      a message becomes an event or a marker
//   order.c       an event is the next, was had, or comes after something that is missing
//   heal.c        what is missing is asked for, what came too early is held back, gaps are told
//   answers.c     what broadcasters answer, and recoveries
//   lost.c        broadcasters that are gone
//   beats.c       … and those that stand still
//   heartbeat.c   what tells them that we do not
//   live.c        joining and leaving, and when a join is live
//
// Below them, each on its own: origins.c (who there is), joined.c (what is joined, and how far one
// is), peers.c (sockets and bus directories), monitor.c and backlog.c (connections), askers.c
// (requests), inbox.c and guard.c (what comes while the owner stands still).
//
// Invariant: the epoll descriptor is readable whenever a call of talus_subscriber_receive could
// give something. What lies in the socket's queue is not seen by the kernel, so the event
// descriptor `wake` stays raised from the first thing that is given until nothing is left. As that
// is two system calls for each burst, it begins with the first call for the descriptor.
#ifndef TALUS__SUBSCRIBER_INSTANCE_H
#define TALUS__SUBSCRIBER_INSTANCE_H

#include <stdbool.h>
#include <zmq.h>

#include <talus/subscriber.h>
#include <talus/topic.h>

#include "bus/src/codec/body.h"
#include "bus/src/codec/event_limits.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/heal.h"
#include "bus/src/subscriber/joined.h"
#include "bus/src/subscriber/origins.h"
#include "bus/src/zmq/sub/askers.h"
#include "bus/src/zmq/sub/guard.h"
#include "bus/src/zmq/sub/heartbeat.h"
#include "bus/src/zmq/sub/inbox.h"
#include "bus/src/zmq/sub/peers.h"

// Holds back all but one line a second of a kind.
struct talus__log_gate {
    long long opens_at;
    unsigned long long held_back;
};

struct talus_subscriber {
    unsigned generation; // of forks
    void *context;
    void *socket;                    // SUB
    struct talus__inbox inbox;       // of `socket`
    struct talus__inbox_bound bound; // of `inbox`
    struct talus__post post;         // whoever reads `socket` and the askers' holds it
    int epoll;
    int timer; // fires at armed_at
    int wake;
    bool has_more;   // a call of receive could give something
    bool is_raised;  // `wake`: has_more, where it is watched
    bool is_watched; // the caller has asked for the descriptor
    long long armed_at;
    long long beats_at; // when to count the beats that did not come; 0: nobody beats
    struct talus__heartbeat heartbeat;
    unsigned untended;                  // messages since the descriptors were looked at
    talus_subscriber_options_t options; // without the text
    struct talus__limits limits;
    struct talus__origins origins;
    struct talus__joined_set joined;
    struct talus__peers peers;
    struct talus__heals heals;
    struct talus__askers askers;
    struct talus__failed_recovery *first_failed; // answers.c
    struct talus__failed_recovery *last_failed;
    uint64_t last_request;
    size_t recoveries;    // that were asked for and have not ended
    bool prefers_answers; // whose turn it is: the askers', or the socket's
    talus_subscriber_stats_t stats;
    uint64_t malformed_found; // of those that the inboxes count: logged
    struct talus__log_gate malformed_gate, refused_gate, hole_gate, gap_gate;

    // What was given last: the delivery borrows from here.
    zmq_msg_t topic;
    zmq_msg_t body;
    struct talus__source source; // of a message from a socket or an inbox
    talus_delivery_t delivery;
    talus_event_t event;
    char session[TALUS_SESSION_MAX + 1];
    char type[TALUS_TYPE_MAX + 1];
    char origin[TALUS_ORIGIN_MAX + 1];
    char id[TALUS_ID_MAX + 1];
    char skip[TALUS_SKIP_MAX + 1];
    char after[TALUS_ID_MAX + 1];
    char first[TALUS_ID_MAX + 1];
};

// Around what the owner does with its sockets, so that the guard does not read them meanwhile.
static inline void talus__enter(talus_subscriber_t *subscriber)
{
    talus__post_enter(&subscriber->post);
}

static inline void talus__leave(talus_subscriber_t *subscriber)
{
    talus__post_leave(&subscriber->post,
                      subscriber->inbox.is_emptied && subscriber->askers.is_emptied);
}

// Makes the epoll descriptor readable until nothing is left, if it is watched. Does not fail: the
// counter of an event descriptor that is read before it is written again cannot overflow.
void talus__raise(talus_subscriber_t *subscriber);

// Sets the timer to the next thing that is due.
void talus__arm_timer(talus_subscriber_t *subscriber);

// Whether a line may be logged now, and how many were held back since the last.
bool talus__may_log(struct talus__log_gate *gate, unsigned long long *held_back);

// Writes ORIGIN.SEQ, as an event id has it.
void talus__format_id(char id[TALUS_ID_MAX + 1], const char *origin, uint64_t seq);

enum talus__intake {
    TALUS__INTAKE_EMPTY,   // there was no message
    TALUS__INTAKE_HANDLED, // there was one, but nothing for the caller
    TALUS__INTAKE_EVENT,   // subscriber->delivery is set
};

// Takes the next message. Returns one of the above, or an error.
int talus__take_message(talus_subscriber_t *subscriber);

// Messages that the inboxes found not to have two frames. The guard counts, too, so it changes.
static inline uint64_t talus__inboxes_malformed(const talus_subscriber_t *subscriber)
{
    return atomic_load_explicit(&subscriber->bound.malformed, memory_order_relaxed) +
           atomic_load_explicit(&subscriber->askers.waiting.malformed, memory_order_relaxed);
}

// Counts a message that is none of ours. Returns TALUS__INTAKE_HANDLED.
int talus__on_malformed(talus_subscriber_t *subscriber, const char *what);

// Logs what the inboxes have found malformed since the last call.
void talus__log_inboxes(talus_subscriber_t *subscriber);

// A head in subscriber->body. Returns what talus__take_message does.
int talus__on_head(talus_subscriber_t *subscriber, const struct talus__topic *topic);

// Set subscriber->delivery: to nothing but its kind; to an event in subscriber->body; to a gap
// (`first` 0: its end is not known).
void talus__clear_delivery(talus_subscriber_t *subscriber, talus_delivery_kind_t kind);
void talus__set_event(talus_subscriber_t *subscriber, const struct talus__topic *topic,
                      const struct talus__body *body);
void talus__set_gap(talus_subscriber_t *subscriber, const char *session, const char *origin,
                    uint64_t after, uint64_t first, talus_gap_reason_t reason);

// A known origin's head came, or one is waited for no more: some joins may be live now.
void talus__live_check(talus_subscriber_t *subscriber, struct talus__joined *joined);

// One of the endpoints that joins wait for at the beginning was heard.
void talus__live_greeted(talus_subscriber_t *subscriber);

// Sets subscriber->delivery to the next LIVE that is due. False: there is none.
bool talus__live_take(talus_subscriber_t *subscriber);

// Ends joins whose time is over, and subscriptions that lingered long enough.
void talus__live_tend(talus_subscriber_t *subscriber, long long now);

// When talus__live_tend has something to do; 0: nothing.
long long talus__live_due(const talus_subscriber_t *subscriber);

// Has the subscription $ready/SUBSCRIBER/ORIGIN made, or made again after a reconnect.
void talus__announce_ready(talus_subscriber_t *subscriber, struct talus__origin *origin);

// For talus__origins.on_remove.
void talus__on_origin_removed(struct talus__origin *origin, void *arg);

#endif
