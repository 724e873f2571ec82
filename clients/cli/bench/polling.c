// SPDX-License-Identifier: MIT
// The polling transport of the bench's clients. One connection is enough: a client posts only
// between two polls, and there is always one request on its way.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clients/cli/bench/fleet.h"

enum { REQUEST_MAX = 1024 };

typedef struct poller {
    char sid[CLIENT_SID_MAX]; // "" until the open packet
    char outbox[CLIENT_OUTBOX_MAX];
    size_t outbox_size;
    bool is_posting;
} poller_t;

static bool request(fleet_t *fleet, client_t *client)
{
    char text[REQUEST_MAX];
    const target_t *target = fleet->target;
    poller_t *poller = client->poller;
    poller->is_posting = poller->outbox_size > 0;
    int size =
        snprintf(text, sizeof(text), "%s %s?EIO=4&transport=polling%s%s HTTP/1.1\r\nHost: %s\r\n",
                 poller->is_posting ? "POST" : "GET", target->path, poller->sid[0] ? "&sid=" : "",
                 poller->sid, target->host);
    if (poller->is_posting)
        size +=
            snprintf(text + size, sizeof(text) - (size_t)size,
                     "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %zu\r\n\r\n%.*s",
                     poller->outbox_size, (int)poller->outbox_size, poller->outbox);
    else
        size += snprintf(text + size, sizeof(text) - (size_t)size, "\r\n");
    poller->outbox_size = 0;
    return fleet_write(fleet, client, text, (size_t)size);
}

static bool start(fleet_t *fleet, client_t *client)
{
    client->poller = calloc(1, sizeof(*client->poller));
    if (!client->poller) {
        fleet_fail(fleet, client, "out of memory");
        return false;
    }
    return request(fleet, client);
}

// Goes out with the next request.
static bool send_packet(fleet_t *fleet, client_t *client, const char *packet, size_t size)
{
    poller_t *poller = client->poller;
    if (poller->outbox_size + size + 1 > sizeof(poller->outbox)) {
        fleet_fail(fleet, client, "there is too much to answer");
        return false;
    }
    if (poller->outbox_size > 0)
        poller->outbox[poller->outbox_size++] = '\x1e';
    memcpy(poller->outbox + poller->outbox_size, packet, size);
    poller->outbox_size += size;
    return true;
}

// The value of a header of a head that ends with an empty line; NULL: there is none.
static const char *find_header(const char *head, const char *end, const char *name)
{
    size_t size = strlen(name);
    const char *line = memchr(head, '\n', (size_t)(end - head));
    for (; line && line + 1 < end; line = memchr(line + 1, '\n', (size_t)(end - line - 1)))
        if ((size_t)(end - line - 1) > size && strncasecmp(line + 1, name, size) == 0 &&
            line[1 + size] == ':')
            return line + 2 + size;
    return NULL;
}

static void keep_sid(poller_t *poller, const char *body, size_t size)
{
    static const char key[] = "\"sid\":\"";
    const char *sid = memmem(body, size, key, sizeof(key) - 1);
    if (!sid)
        return;
    sid += sizeof(key) - 1;
    const char *end = memchr(sid, '"', size - (size_t)(sid - body));
    if (end && end - sid < CLIENT_SID_MAX)
        snprintf(poller->sid, sizeof(poller->sid), "%.*s", (int)(end - sid), sid);
}

static void on_payload(fleet_t *fleet, client_t *client, const char *body, size_t size)
{
    if (!client->poller->sid[0])
        keep_sid(client->poller, body, size);
    for (const char *end = body + size; body < end && client->state != CLIENT_GONE;) {
        const char *separator = memchr(body, '\x1e', (size_t)(end - body));
        const char *packet_end = separator ? separator : end;
        fleet_on_packet(fleet, client, body, (size_t)(packet_end - body));
        body = packet_end + 1;
    }
}

// One response. Returns its size; 0: it is not whole; -1: failed.
static ptrdiff_t consume(fleet_t *fleet, client_t *client, const char *bytes, size_t size)
{
    static const char well[] = "HTTP/1.1 200 ";
    const char *end = memmem(bytes, size, "\r\n\r\n", 4);
    if (!end)
        return 0;
    const char *length = find_header(bytes, end + 2, "Content-Length");
    if (strncmp(bytes, well, sizeof(well) - 1) != 0 || !length) {
        const char *line_end = memchr(bytes, '\r', size);
        fleet_fail(fleet, client, "%s: %.*s", length ? "refused" : "an answer without a length",
                   (int)(line_end - bytes), bytes);
        return -1;
    }
    size_t head = (size_t)(end + 4 - bytes), body = strtoull(length, NULL, 10);
    if (size - head < body)
        return 0;
    if (!client->poller->is_posting)
        on_payload(fleet, client, end + 4, body);
    if (client->state == CLIENT_GONE || !request(fleet, client))
        return -1;
    return (ptrdiff_t)(head + body);
}

static void fini(client_t *client)
{
    free(client->poller);
    client->poller = NULL;
}

const transport_t polling_transport = {
    .name = "polling",
    .start = start,
    .consume = consume,
    .send = send_packet,
    .fini = fini,
};
