// SPDX-License-Identifier: MIT
// The broadcaster's XPUB socket: its options, and the endpoints that it is attached to, with the
// files that this takes.
#ifndef TALUS__SOCKETS_H
#define TALUS__SOCKETS_H

#include <stdbool.h>
#include <stddef.h>

#include "directory.h"
#include "endpoint.h"
#include "ipc_lock.h"

// One endpoint that the socket is bound or connected to.
struct talus__attachment {
    char *endpoint;              // owned: what others connect to, or what it connected to
    char *directory;             // owned; NULL: not on a bus directory
    struct talus__claim claim;   // of its name in the directory
    struct talus__ipc_lock lock; // for a plain ipc path
};

struct talus__attachments {
    struct talus__attachment *items; // owned
    size_t count;
};

// Makes an XPUB socket with all its options. NULL: errno says why.
void *talus__xpub_open(void *context, int send_high_water_mark, int linger_ms);

// Closes it; what it has still to send is sent for `linger_ms` more, or the least that is safe.
void talus__xpub_close(void *socket, int linger_ms);

// Attaches the socket to each endpoint. `origin` is its name in bus directories, `directory_mode`
// for those that must be made.
// Returns 0, or an error of talus_broadcaster_new; then nothing is to be released.
int talus__attach(struct talus__attachments *attachments, void *socket,
                  const struct talus__endpoints *endpoints, const char *origin,
                  unsigned directory_mode);

// All endpoints, comma-separated, to be freed by the caller; NULL: no memory.
char *talus__attachments_text(const struct talus__attachments *attachments);

// Removes the files. After the socket was closed, as others take it for dead by them.
void talus__detach(struct talus__attachments *attachments, bool is_forked);

#endif
