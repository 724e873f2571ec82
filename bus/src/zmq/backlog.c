// SPDX-License-Identifier: MIT
// What a monitor has told while its owner stood still.
#include "bus/src/zmq/backlog.h"

#include <stdlib.h>
#include <string.h>

void talus__backlog_fini(struct talus__backlog *backlog)
{
    struct talus__backlog_entry *entry;

    while ((entry = talus__backlog_take(backlog)))
        free(entry);
    free(backlog->spare);
    backlog->spare = NULL;
}

// Takes the entry of a connection off. NULL: there is none.
static struct talus__backlog_entry *take_of(struct talus__backlog *backlog, int fd,
                                            const char *endpoint)
{
    struct talus__backlog_entry *before = NULL, *entry = backlog->first;

    while (entry && (entry->fd != fd || strcmp(entry->endpoint, endpoint) != 0)) {
        before = entry;
        entry = entry->next;
    }
    if (!entry)
        return NULL;
    if (before)
        before->next = entry->next;
    else
        backlog->first = entry->next;
    if (backlog->last == entry)
        backlog->last = before;
    return entry;
}

bool talus__backlog_reserve(struct talus__backlog *backlog)
{
    if (!backlog->spare)
        backlog->spare = malloc(sizeof *backlog->spare + TALUS__BACKLOG_ENDPOINT);
    return backlog->spare != NULL;
}

static struct talus__backlog_entry *use_spare(struct talus__backlog *backlog, int fd,
                                              const char *endpoint)
{
    size_t size = strlen(endpoint) + 1;
    struct talus__backlog_entry *smaller = realloc(backlog->spare, sizeof *backlog->spare + size);
    struct talus__backlog_entry *entry = smaller ? smaller : backlog->spare;

    backlog->spare = NULL;
    *entry = (struct talus__backlog_entry){.fd = fd};
    memcpy(entry->endpoint, endpoint, size);
    return entry;
}

void talus__backlog_add(struct talus__backlog *backlog, int fd, const char *endpoint, uint16_t kind,
                        bool is_end)
{
    struct talus__backlog_entry *entry = take_of(backlog, fd, endpoint);

    if (!entry)
        entry = use_spare(backlog, fd, endpoint);
    entry->kind = kind;
    entry->has_ended |= is_end;
    entry->next = NULL;
    if (backlog->last)
        backlog->last->next = entry;
    else
        backlog->first = entry;
    backlog->last = entry;
}

struct talus__backlog_entry *talus__backlog_take(struct talus__backlog *backlog)
{
    struct talus__backlog_entry *entry = backlog->first;

    if (!entry)
        return NULL;
    backlog->first = entry->next;
    if (!entry->next)
        backlog->last = NULL;
    return entry;
}
