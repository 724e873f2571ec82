// SPDX-License-Identifier: MIT
// Replay endpoints.
#include "bus/src/zmq/sub/replay_endpoint.h"

#include <stdio.h>
#include <string.h>

#include "bus/src/zmq/endpoint.h"

#define ENDPOINT_CAPACITY 1024

static bool is_wildcard(const char *host, size_t size)
{
    return (size == 1 && *host == '*') || (size == 7 && memcmp(host, "0.0.0.0", 7) == 0) ||
           (size == 4 && memcmp(host, "[::]", 4) == 0);
}

// Writes one endpoint with its host filled in. False: it cannot be reached.
static bool resolve(const char *endpoint, size_t size, const char *host, char *out, size_t capacity)
{
    static const char tcp[] = "tcp://";
    const char *port = memrchr(endpoint, ':', size);
    size_t prefix = strlen(tcp);

    if (size >= capacity)
        return false;
    memcpy(out, endpoint, size);
    out[size] = '\0';
    if (size < prefix || memcmp(endpoint, tcp, prefix) != 0 || port < endpoint + prefix ||
        !is_wildcard(endpoint + prefix, (size_t)(port - endpoint) - prefix))
        return true;
    if (!host)
        return false;
    bool is_v6 = strchr(host, ':') && *host != '[';
    int written = snprintf(out, capacity, "tcp://%s%s%s%.*s", is_v6 ? "[" : "", host,
                           is_v6 ? "]" : "", (int)(endpoint + size - port), port);
    return written > 0 && (size_t)written < capacity;
}

static bool is_connectable(const char *endpoint)
{
    struct talus__endpoints parsed;

    if (talus__endpoints_parse(endpoint, false, &parsed) != 0)
        return false;
    bool is_one =
        parsed.count == 1 && parsed.items[0].kind == TALUS__ENDPOINT_CONNECT && *endpoint != '>';
    talus__endpoints_fini(&parsed);
    return is_one;
}

bool talus__replay_choose(const char *named, size_t size, const char *transport, const char *host,
                          char *out, size_t capacity)
{
    bool has_any = false;

    while (size > 0) {
        const char *comma = memchr(named, ',', size);
        size_t length = comma ? (size_t)(comma - named) : size;
        char candidate[ENDPOINT_CAPACITY];
        size_t prefix = strlen(transport);
        if (resolve(named, length, host, candidate, sizeof candidate) &&
            is_connectable(candidate) && strlen(candidate) < capacity) {
            bool is_same = strncmp(candidate, transport, prefix) == 0 && candidate[prefix] == ':';
            if (is_same || !has_any)
                strcpy(out, candidate);
            has_any = true;
            if (is_same)
                return true;
        }
        size -= length + (comma != NULL);
        named += length + (comma != NULL);
    }
    return has_any;
}
