// SPDX-License-Identifier: MIT
// Addresses, to and from text.
#include "gateway/transport/address.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *parse_path(const char *path, struct address *address)
{
    size_t size = strlen(path);
    if (size == 0)
        return "the path is empty";
    if (size >= sizeof address->path.sun_path)
        return "the path is longer than 107 bytes";
    address->is_unix = true;
    address->path.sun_family = AF_UNIX;
    memcpy(address->path.sun_path, path, size + 1);
    return NULL;
}

static bool is_port(const char *text)
{
    size_t size = strlen(text);
    return size > 0 && size <= 5 && strspn(text, "0123456789") == size &&
           strtol(text, NULL, 10) <= UINT16_MAX;
}

const char *address_parse(const char *text, struct address *address)
{
    static const char wrong_form[] = "not HOST:PORT, [IPV6]:PORT or unix:PATH";
    *address = (struct address){0};
    if (strncmp(text, "unix:", 5) == 0)
        return parse_path(text + 5, address);
    const char *host = text;
    const char *colon = strrchr(text, ':');
    if (!colon)
        return wrong_form;
    size_t size = (size_t)(colon - host);
    if (*host == '[') {
        if (size < 3 || host[size - 1] != ']')
            return wrong_form;
        host++;
        size -= 2;
    } else if (memchr(host, ':', size)) {
        return "an IPv6 address needs brackets, as in [::1]:3000";
    }
    if (size == 0 || size > ADDRESS_HOST_MAX)
        return wrong_form;
    if (!is_port(colon + 1))
        return "the port is not a number from 0 to 65535";
    memcpy(address->host, host, size);
    strcpy(address->port, colon + 1);
    return NULL;
}

void address_format(const struct sockaddr_storage *bound, char out[ADDRESS_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN] = "";
    if (bound->ss_family == AF_UNIX) {
        snprintf(out, ADDRESS_TEXT_MAX, "unix:%s", ((const struct sockaddr_un *)bound)->sun_path);
    } else if (bound->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)bound;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        snprintf(out, ADDRESS_TEXT_MAX, "[%s]:%u", host, ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_in *in = (const struct sockaddr_in *)bound;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(out, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(in->sin_port));
    }
}
