// SPDX-License-Identifier: MIT
// Endpoint lists, and the default endpoint.
//
// Invariant: an endpoint that was parsed is one that this side can use; what ZeroMQ alone can tell
// (a host that does not resolve, a port that is taken) is left to it.
#include "bus/src/zmq/endpoint.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <talus/error.h>
#include <talus/subscriber.h>

#include "bus/src/zmq/directory/directory.h"

// The longest default is ipc:// and a path of the system.
#define DEFAULT_MAX (PATH_MAX + 32)

static bool has_prefix(const char *text, size_t size, const char *prefix)
{
    size_t prefix_size = strlen(prefix);
    return size > prefix_size && memcmp(text, prefix, prefix_size) == 0;
}

// HOST:PORT, where the port is a number or, to bind, `*`. IPv6 hosts stand in brackets, so the last
// colon is the port's.
static bool is_tcp(const char *text, size_t size, bool is_bound)
{
    const char *colon = memrchr(text, ':', size);
    if (!colon || colon == text)
        return false;
    if (!is_bound && *text == '*')
        return false;

    const char *port = colon + 1;
    size_t port_size = (size_t)(text + size - port);
    if (port_size == 1 && (*port == '*' || *port == '0'))
        return is_bound;
    if (port_size < 1 || port_size > 5)
        return false;

    unsigned number = 0;
    for (size_t i = 0; i < port_size; i++) {
        if (port[i] < '0' || port[i] > '9')
            return false;
        number = number * 10 + (unsigned)(port[i] - '0');
    }
    return number >= 1 && number <= 65535;
}

// A bus directory ends with `/*`. An abstract socket's name, which starts with `@`, is no path.
static bool is_directory(const char *path, size_t size)
{
    return size >= 2 && memcmp(path + size - 2, "/*", 2) == 0 && *path != '@';
}

// What follows ipc://.
static int classify_path(const char *path, size_t size, bool binds, bool is_bound,
                         enum talus__endpoint_kind *kind, const char **start, size_t *length)
{
    if (!is_directory(path, size)) {
        if (!binds && *path == '*')
            return TALUS_EENDPOINT;
        return size <= TALUS__SOCKET_PATH_MAX ? 0 : TALUS_EPATHTOOLONG;
    }
    if (binds != is_bound || size == 2) // `ipc:///*` would be the root directory
        return TALUS_EENDPOINT;
    size -= 2;
    while (size > 1 && path[size - 1] == '/')
        size--;
    *kind = TALUS__ENDPOINT_DIRECTORY;
    *start = path;
    *length = size;
    return size <= TALUS__DIRECTORY_PATH_MAX ? 0 : TALUS_EPATHTOOLONG;
}

static int classify(const char *text, size_t size, char prefix, bool is_bound,
                    enum talus__endpoint_kind *kind, const char **start, size_t *length)
{
    bool binds = prefix ? prefix == '@' : is_bound;

    *start = text;
    *length = size;
    *kind = binds ? TALUS__ENDPOINT_BIND : TALUS__ENDPOINT_CONNECT;
    if (has_prefix(text, size, "tcp://"))
        return is_tcp(text + 6, size - 6, binds) ? 0 : TALUS_EENDPOINT;
    if (has_prefix(text, size, "inproc://"))
        return 0;
    if (!has_prefix(text, size, "ipc://"))
        return TALUS_EENDPOINT;

    return classify_path(text + 6, size - 6, binds, is_bound, kind, start, length);
}

static int parse_one(const char *text, size_t size, bool is_bound, struct talus__endpoint *endpoint)
{
    char prefix = 0;
    if (size > 0 && (*text == '@' || *text == '>')) {
        prefix = *text++;
        size--;
    }
    const char *start;
    size_t length;
    int error = classify(text, size, prefix, is_bound, &endpoint->kind, &start, &length);
    if (!error && length > TALUS__ENDPOINT_TEXT_MAX)
        error = TALUS_EENDPOINT;
    if (error)
        return error;
    endpoint->text = strndup(start, length);
    return endpoint->text ? 0 : TALUS_ENOMEM;
}

int talus__endpoints_parse(const char *list, bool is_bound, struct talus__endpoints *endpoints)
{
    char fallback[DEFAULT_MAX];

    if (!list) {
        if (talus_default_endpoint(fallback, sizeof fallback) != 0)
            return TALUS_EENDPOINT;
        list = fallback;
    }

    size_t count = 1;
    for (const char *c = list; *c; c++)
        count += *c == ',';
    if (count > TALUS__ENDPOINTS_MAX)
        return TALUS_EENDPOINT;

    struct talus__endpoints parsed = {.items = calloc(count, sizeof *parsed.items)};
    if (!parsed.items)
        return TALUS_ENOMEM;
    for (;;) {
        size_t size = strcspn(list, ",");
        int error = parse_one(list, size, is_bound, &parsed.items[parsed.count]);
        if (error) {
            talus__endpoints_fini(&parsed);
            return error;
        }
        parsed.count++;
        if (!list[size])
            break;
        list += size + 1;
    }
    *endpoints = parsed;
    return 0;
}

void talus__endpoints_fini(struct talus__endpoints *endpoints)
{
    for (size_t i = 0; i < endpoints->count; i++)
        free(endpoints->items[i].text);
    free(endpoints->items);
    endpoints->items = NULL;
    endpoints->count = 0;
}

talus_error_t talus_default_endpoint(char *buffer, size_t capacity)
{
    char text[DEFAULT_MAX];
    const char *bus = getenv("TALUS_BUS");
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int size;

    if (bus && *bus) {
        size = (int)strnlen(bus, sizeof text);
        if ((size_t)size < sizeof text)
            memcpy(text, bus, (size_t)size + 1);
    } else if (runtime && *runtime == '/') { // a relative one is to be ignored, says its standard
        size = snprintf(text, sizeof text, "ipc://%s/talus/bus/*", runtime);
    } else {
        size = snprintf(text, sizeof text, "ipc:///tmp/talus-%lu/bus/*", (unsigned long)geteuid());
    }
    if (size < 0 || (size_t)size >= sizeof text || (size_t)size >= capacity)
        return TALUS_ETOOLARGE;
    memcpy(buffer, text, (size_t)size + 1);
    return 0;
}
