// SPDX-License-Identifier: MIT
// What a monitor has told while its owner stood still. Of each connection it keeps what matters:
// whether it has ended since, and whether it is there now. So it has as many entries as there are
// descriptors and endpoints, however often connections come and go.
#ifndef TALUS__BACKLOG_H
#define TALUS__BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct talus__backlog_entry {
    struct talus__backlog_entry *next;
    int fd;
    uint16_t kind;  // of its last event, as ZeroMQ names it
    bool has_ended; // … or of one before
    char endpoint[];
};

#define TALUS__BACKLOG_ENDPOINT 512u // bytes of an endpoint with its NUL, at most

// In the order of their last events.
struct talus__backlog {
    struct talus__backlog_entry *first;
    struct talus__backlog_entry *last;
    struct talus__backlog_entry *spare; // for the next event; NULL: talus__backlog_reserve makes it
};

void talus__backlog_fini(struct talus__backlog *backlog);

// Makes room for an event. False: out of memory.
bool talus__backlog_reserve(struct talus__backlog *backlog);

// Adds an event, for which there is room. `is_end`: the connection is gone.
void talus__backlog_add(struct talus__backlog *backlog, int fd, const char *endpoint, uint16_t kind,
                        bool is_end);

// Takes the first entry off, to be freed by the caller. NULL: there is none.
struct talus__backlog_entry *talus__backlog_take(struct talus__backlog *backlog);

#endif
