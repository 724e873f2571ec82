// SPDX-License-Identifier: MIT
#include "clients/cli/bench/target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clients/cli/report.h"

enum { CLIENTS_PER_ADDRESS = 20000, DEFAULT_PORT = 80 };

static bool is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *ip = (const struct sockaddr_in *)address;
        return (ntohl(ip->sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
    }
    const struct sockaddr_in6 *ip = (const struct sockaddr_in6 *)address;
    return IN6_IS_ADDR_LOOPBACK(&ip->sin6_addr);
}

// Splits HOST:PORT or [IPV6]:PORT. False: it is neither.
static bool split(const char *text, size_t size, char host[64], char port[6])
{
    const char *end = text + size, *host_end, *rest;
    if (size > 0 && text[0] == '[') {
        text++;
        host_end = memchr(text, ']', size - 1);
        rest = host_end ? host_end + 1 : NULL;
    } else {
        host_end = memchr(text, ':', size);
        host_end = rest = host_end ? host_end : end;
    }
    if (!host_end || host_end == text || host_end - text >= 64)
        return false;
    snprintf(host, 64, "%.*s", (int)(host_end - text), text);
    snprintf(port, 6, "%d", DEFAULT_PORT);
    if (rest == end)
        return true;
    size_t digits = (size_t)(end - rest - 1);
    if (*rest != ':' || digits == 0 || digits > 5 || strspn(rest + 1, "0123456789") != digits)
        return false;
    snprintf(port, 6, "%.*s", (int)digits, rest + 1);
    return true;
}

static bool resolve(target_t *target, const char *host, const char *port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(host, port, &hints, &found);
    if (error) {
        report("cannot find \"%s\": %s", host, gai_strerror(error));
        return false;
    }
    memcpy(&target->address, found->ai_addr, found->ai_addrlen);
    target->address_size = found->ai_addrlen;
    freeaddrinfo(found);
    if (is_loopback(&target->address))
        return true;
    report("\"%s\" is another machine: the bench puts load on servers of this one only", host);
    return false;
}

bool target_parse(target_t *target, const char *url)
{
    static const char scheme[] = "http://";
    char host[64], port[6];
    bool has_scheme = strncmp(url, scheme, sizeof(scheme) - 1) == 0;
    const char *authority = url + (has_scheme ? sizeof(scheme) - 1 : 0);
    size_t size = strcspn(authority, "/?#");
    const char *path = authority + size;
    size_t path_size = strlen(path);
    *target = (target_t){.path = "/socket.io/"};
    if (!has_scheme || !split(authority, size, host, port) || strpbrk(path, "?# ") ||
        path_size + 2 > sizeof(target->path) || size >= sizeof(target->host)) {
        report("--url takes http://HOST:PORT or http://HOST:PORT/PATH/, not \"%s\"", url);
        return false;
    }
    if (path_size > 1)
        snprintf(target->path, sizeof(target->path), "%s%s", path,
                 path[path_size - 1] == '/' ? "" : "/");
    snprintf(target->host, sizeof(target->host), "%.*s", (int)size, authority);
    sscanf(port, "%u", &target->port);
    return resolve(target, host, port);
}

static int bind_source(int descriptor, size_t index)
{
    const int on = 1;
    struct sockaddr_in source = {.sin_family = AF_INET};
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(index / CLIENTS_PER_ADDRESS));
    setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    return bind(descriptor, (struct sockaddr *)&source, sizeof(source));
}

int target_connect(const target_t *target, size_t index)
{
    const int on = 1;
    int descriptor =
        socket(target->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return -1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    bool is_far = target->address.ss_family == AF_INET && index >= CLIENTS_PER_ADDRESS;
    if ((is_far && bind_source(descriptor, index) != 0) ||
        (connect(descriptor, (const struct sockaddr *)&target->address, target->address_size) !=
             0 &&
         errno != EINPROGRESS)) {
        int cause = errno;
        close(descriptor);
        errno = cause;
        return -1;
    }
    return descriptor;
}
