// SPDX-License-Identifier: MIT
// The replay client: requests from publishers what did not come, over a DEALER socket for each that
// is being asked.
//
// A publisher answers the requests of one socket in order, so the response that arrives is that of
// the first request. A publisher that does not answer for REPEAT_MS is asked again over a new
// connection, since a request may have been lost with the old one. One that says nothing for
// `heal_timeout_ms` has failed: its requests fail. The responses that wait for a slow owner have
// one bound over all connections; what does not fit is requested again once the owner has taken the
// rest.
#ifndef TALUS__REPLAY_CLIENT_H
#define TALUS__REPLAY_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <talus/subscriber.h>

#include "bus/src/zmq/sub/frames.h"
#include "bus/src/zmq/sub/guard.h"
#include "bus/src/zmq/sub/inbox.h"
#include "bus/src/zmq/sub/publishers.h"

enum talus__replay_request_kind {
    TALUS__REPLAY_REPAIR,  // the events that a gap repair waits for
    TALUS__REPLAY_RECOVER, // talus_subscriber_recover
    TALUS__REPLAY_HEADS,   // heads that did not come
};

struct talus__replay_request {
    struct talus__replay_request *next; // of the same broadcaster
    enum talus__replay_request_kind kind;
    void *waiter;        // REPAIR: who waits for it; NULL: nobody does any more
    uint64_t request;    // RECOVER
    uint64_t since;      // REPAIR, RECOVER: where it began
    uint64_t after;      // … and the newest event that came
    uint64_t gap_after;  // RECOVER: events after this one …
    uint64_t gap_first;  // … and before this one are missing; 0: none is
    uint64_t stream;     // RECOVER: when it began, the session's deliveries were to go on …
    bool has_stream;     // … after this one, if at all
    size_t heads;        // HEADS: how many are asked for …
    size_t heads_left;   // … and have not come
    const char *session; // REPAIR, RECOVER: NUL-terminated
    size_t size;         // HEADS: bytes of the encoded request
    uint8_t bytes[];     // the session, or the request
};

struct talus__replay_connection {
    struct talus__replay_connection *next;
    struct talus__replay_connection *before;
    struct talus__publisher *publisher;  // pinned
    void *socket;                        // NULL: to be opened
    struct talus__inbox inbox;           // of `socket`
    int fd;                              // its descriptor, watched while it is open
    struct talus__replay_request *first; // the one being answered
    struct talus__replay_request *last;
    struct talus__replay_request *unsent; // the first that was not sent yet
    size_t sent;                          // how many were
    long long progress_at;                // when it answered last, or was first asked
    long long asked_at;                   // … or asked again
};

// What befalls an request. It is not on its connection any more, and freed afterwards.
typedef void talus__replay_failed_fn(struct talus__replay_request *request,
                                     struct talus__publisher *publisher, void *arg);

struct talus__replay_client {
    void *context;
    struct talus__publishers *publishers;
    int epoll;
    struct talus__replay_connection *first;
    struct talus__replay_connection *last;
    struct talus__inbox_bound waiting; // of the inboxes
    size_t count;
    size_t open_requests;
    bool may_have_answers;
    bool is_emptied;          // no socket has an answer, as far as is known
    struct talus__post *post; // borrowed
    long long tend_at;        // when talus__replay_client_tend has something to do; 0: nothing
    size_t max_message;
    const talus_subscriber_options_t *options; // the times; borrowed
    talus__replay_failed_fn *on_failed;
    void *arg;
    talus_subscriber_stats_t *stats;
};

// The event data of what client add to the epoll descriptor.
#define TALUS__REPLAY_SOURCE 9u

// Everything is set but the lists and the bound. Closes sockets and frees requests, without
// on_failed.
void talus__replay_client_fini(struct talus__replay_client *client, bool is_forked);

// Make an request, to be given to talus__replay_client_request. NULL: out of memory.
struct talus__replay_request *talus__replay_request_new(enum talus__replay_request_kind kind,
                                                        const char *session, uint64_t after);
struct talus__replay_request *talus__replay_request_heads(const char *const *sessions,
                                                          size_t count);

// Asks the publisher, which has a `replay`. Consumes the request.
// Returns 0; TALUS_ENOMEM, TALUS_ELIMIT: the request is freed.
int talus__replay_client_request(struct talus__replay_client *client,
                                 struct talus__publisher *publisher,
                                 struct talus__replay_request *request);

// Receives one frame pair of some answer. Returns the connection that it is of; NULL: there is none
// now. The frames are initialised; a message that has not two frames is counted and passed over.
struct talus__replay_connection *talus__replay_client_receive(struct talus__replay_client *client,
                                                              struct talus__frames *frames,
                                                              struct talus__source *source);

// For the guard: takes in what has come, up to `most` messages of all client together, of which
// each has its share. Returns whether there is something to receive.
bool talus__replay_client_pull(struct talus__replay_client *client, size_t most);

// The first request is answered: takes it off, to be freed by the caller.
struct talus__replay_request *
talus__replay_connection_take(struct talus__replay_client *client,
                              struct talus__replay_connection *connection);

// The answers make no sense, or a part of them is lost: requests anew over another connection.
void talus__replay_connection_reset(struct talus__replay_client *client,
                                    struct talus__replay_connection *connection);

// Asks again and gives up, as time goes on.
void talus__replay_client_tend(struct talus__replay_client *client, long long now);

// The publisher is gone for good: its requests fail.
void talus__replay_client_give_up(struct talus__replay_client *client,
                                  struct talus__publisher *publisher);

#endif
