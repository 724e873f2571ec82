// SPDX-License-Identifier: MIT
#include "clients/cli/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <talus.h>

#include "clients/cli/report.h"

static bool is_directory(const char *endpoint, size_t size)
{
    return size > strlen("ipc://") && strncmp(endpoint, "ipc://", strlen("ipc://")) == 0 &&
           memcmp(endpoint + size - 2, "/*", 2) == 0;
}

// Appends the endpoints of one list. Returns the new size, or a number beyond ENDPOINT_MAX.
static size_t append(char *out, size_t size, const char *list, bool connects)
{
    for (const char *next = list; next && size < ENDPOINT_MAX;) {
        size_t length = strcspn(next, ",");
        bool is_plain = length > 0 && next[0] != '@' && next[0] != '>';
        const char *prefix = connects && is_plain && !is_directory(next, length) ? ">" : "";
        const char *comma = size > 0 || next != list ? "," : ""; // also after an empty one
        size += (size_t)snprintf(out + size, ENDPOINT_MAX - size, "%s%s%.*s", comma, prefix,
                                 (int)length, next);
        next = next[length] ? next + length + 1 : NULL;
    }
    return size;
}

int endpoint_resolve(const option_list_t *buses, bool connects, char endpoint[ENDPOINT_MAX])
{
    char standard[ENDPOINT_MAX];
    size_t size = 0;
    endpoint[0] = '\0';
    for (size_t i = 0; i < buses->count; i++) {
        if (!buses->items[i][0]) {
            report("--bus takes an endpoint, not \"\"");
            return EXIT_USAGE;
        }
        size = append(endpoint, size, buses->items[i], connects);
    }
    if (buses->count == 0) {
        const char *variable = getenv("TALUS_BUS");
        bool is_named = variable && *variable;
        report_bus_variable(is_named ? "TALUS_BUS" : NULL);
        talus_error_t error = talus_default_endpoint(standard, sizeof(standard));
        if (error && is_named) // longer than any endpoint may be
            return report_bus_error("open a bus", variable, TALUS_EENDPOINT);
        if (error) {
            report("cannot tell the default bus: XDG_RUNTIME_DIR is too long");
            return EXIT_USAGE;
        }
        size = append(endpoint, 0, standard, connects);
    }
    if (size >= ENDPOINT_MAX) {
        report("the bus endpoints are longer than %d bytes together", ENDPOINT_MAX - 1);
        return EXIT_USAGE;
    }
    return 0;
}

bool endpoint_is_directory(const char *endpoint)
{
    size_t size = strlen(endpoint);
    return !strchr(endpoint, ',') && is_directory(endpoint, size);
}
