// SPDX-License-Identifier: MIT
// The replay client: requests from publishers what did not come, over a DEALER socket for each that
// is being asked.
//
// A publisher answers the requests of one socket in order, so the response that arrives is that of
// the first request. A publisher that does not answer for REPEAT_MS is asked again over a new
// connection, since a request may have been lost with the old one. One that says nothing for
// `repair_timeout_ms` has failed: its requests fail. The responses that wait for a slow owner have
// one bound over all connections; what does not fit is requested again once the owner has taken the
// rest.
#ifndef TALUS__REPLAY_CLIENT_H
#define TALUS__REPLAY_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/src/transport/receive.h"
#include "bus/src/zmq/sub/frames.h"
#include "bus/src/zmq/sub/guard.h"
#include "bus/src/zmq/sub/inbox.h"
#include "bus/src/zmq/sub/presence.h"
#include "common/list.h"

// The transport's own request, for high-water marks that did not come.
struct talus__mark_request {
    struct talus__replay_request base; // first; without a session
    size_t count;                      // how many marks are requested …
    size_t left;                       // … and have not come
    size_t size;                       // bytes of the encoded request
    uint8_t bytes[];
};

static inline struct talus__mark_request *
talus__mark_request_of(struct talus__replay_request *request)
{
    return request->session ? NULL : (struct talus__mark_request *)request;
}

struct talus__replay_connection {
    struct tl_list link;                 // first; in the client's
    struct talus__publisher *publisher;  // a strong reference
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

struct talus__replay_client {
    void *context;
    const struct talus__receive_options *receive; // borrowed: the publishers, the times, …
    struct tl_list connections;                   // the one that waits longest for its turn first
    struct talus__inbox_bound waiting;            // of the inboxes
    size_t count;
    size_t open_requests;
    bool may_have_responses;
    bool is_emptied;          // no socket has a response, as far as is known
    struct talus__post *post; // borrowed
    long long tend_at;        // when talus__replay_client_tend has something to do; 0: nothing
    size_t max_message;
    uint64_t requests; // that were sent
    uint64_t timeouts; // times that a publisher did not respond in time
};

// The event data of what the client adds to the epoll descriptor.
#define TALUS__REPLAY_SOURCE 9u

// `context`, `receive`, `post`, `max_message` and the bound are set, `connections` is empty, the
// rest is zero. Closes sockets and frees requests, and tells nobody.
void talus__replay_client_fini(struct talus__replay_client *client, bool is_forked);

// talus__receive_ops.request and request_marks.
int talus__replay_client_request(struct talus__replay_client *client,
                                 struct talus__publisher *publisher,
                                 struct talus__replay_request *request);
int talus__replay_client_request_marks(struct talus__replay_client *client,
                                       struct talus__publisher *publisher,
                                       const char *const *sessions, size_t count);

// Receives one frame pair of some response. Returns the connection that it is of; NULL: there is
// none now. The frames are initialised; a message that has not two frames is counted and passed
// over.
struct talus__replay_connection *talus__replay_client_receive(struct talus__replay_client *client,
                                                              struct talus__frames *frames,
                                                              struct talus__source *source);

// For the guard: takes in what has come, up to `most` messages of all connections together, of
// which each has its share. Returns whether there is something to receive.
bool talus__replay_client_pull(struct talus__replay_client *client, size_t most);

// What was moved is there to stay.
void talus__replay_client_keep(struct talus__replay_client *client);

// The response to the first request is complete: takes it off, to be freed by the caller.
struct talus__replay_request *
talus__replay_connection_take(struct talus__replay_client *client,
                              struct talus__replay_connection *connection);

// The responses make no sense, or a part of them is lost: requests again over another connection.
void talus__replay_connection_reset(struct talus__replay_client *client,
                                    struct talus__replay_connection *connection);

// Requests again and gives up, as time goes on.
void talus__replay_client_tend(struct talus__replay_client *client, long long now);

// The publisher is gone for good: its requests fail.
void talus__replay_client_give_up(struct talus__replay_client *client,
                                  struct talus__publisher *publisher);

#endif
