// SPDX-License-Identifier: MIT
// Origins are kept lower-case and without a default port, which is how browsers write them.
#include "gateway/transport/cors.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define METHODS "Access-Control-Allow-Methods: GET,HEAD,PUT,PATCH,POST,DELETE\r\n"

static bool is_host_char(char c)
{
    return isalnum((unsigned char)c) || strchr("-._~[]:", c);
}

// SCHEME "://" HOST [":" PORT], with nothing behind it.
static bool is_origin(const char *text)
{
    size_t scheme = 0;
    while (isalnum((unsigned char)text[scheme]) ||
           (text[scheme] != '\0' && strchr("+-.", text[scheme])))
        scheme++;
    if (!isalpha((unsigned char)text[0]) || strncmp(text + scheme, "://", 3) != 0)
        return false;
    const char *host = text + scheme + 3;
    if (host[0] == '\0' || host[0] == ':')
        return false;
    for (const char *at = host; *at; at++)
        if (!is_host_char(*at))
            return false;
    return true;
}

// The size of what stands before the port, if that is the default of the origin's scheme; else the
// size of all. `authority`: HOST[:PORT], of the origin or of another with its scheme.
static size_t size_without_default_port(const char *origin, const char *authority)
{
    const char *port = strncasecmp(origin, "http://", 7) == 0    ? ":80"
                       : strncasecmp(origin, "https://", 8) == 0 ? ":443"
                                                                 : NULL;
    size_t size = strlen(authority);
    size_t port_size = port ? strlen(port) : 0;
    // The last colon inside an IPv6 address does not begin a port: the port follows the bracket.
    if (!port || size <= port_size || strcmp(authority + size - port_size, port) != 0)
        return size;
    return size - port_size;
}

static char *normalize(const char *origin)
{
    char *text = strdup(origin);
    if (!text)
        return NULL;
    for (char *at = text; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    text[size_without_default_port(text, text)] = '\0';
    return text;
}

bool cors_init(struct cors *cors, const char *const *origins, size_t count, char *error,
               size_t error_size)
{
    *cors = (struct cors){0};
    if (count == 0)
        return true;
    cors->origins = calloc(count, sizeof *cors->origins);
    if (!cors->origins) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(origins[i], "*") == 0) {
            cors->is_any = true;
            continue;
        }
        if (!is_origin(origins[i]) && strcmp(origins[i], "null") != 0) {
            snprintf(error, error_size, "'%s' is no origin (SCHEME://HOST[:PORT], null, or *)",
                     origins[i]);
            goto fail;
        }
        char *origin = normalize(origins[i]);
        if (!origin) {
            snprintf(error, error_size, "out of memory");
            goto fail;
        }
        cors->origins[cors->count++] = origin;
    }
    return true;
fail:
    cors_fini(cors);
    return false;
}

void cors_fini(struct cors *cors)
{
    for (size_t i = 0; i < cors->count; i++)
        free(cors->origins[i]);
    free(cors->origins);
    *cors = (struct cors){0};
}

bool cors_is_configured(const struct cors *cors)
{
    return cors->is_any || cors->count > 0;
}

static bool is_listed(const struct cors *cors, const char *origin)
{
    size_t size = size_without_default_port(origin, origin);
    for (size_t i = 0; i < cors->count; i++)
        if (strlen(cors->origins[i]) == size && strncasecmp(cors->origins[i], origin, size) == 0)
            return true;
    return false;
}

static bool append_allowed_origin(const struct cors *cors, const struct http_request *request,
                                  struct tl_buffer *out)
{
    const char *origin = http_request_header(request, "Origin");
    if (origin && is_listed(cors, origin))
        return tl_buffer_append_text(out, "Access-Control-Allow-Origin: ") &&
               tl_buffer_append_text(out, origin) &&
               tl_buffer_append_text(out, "\r\nAccess-Control-Allow-Credentials: true\r\n");
    return !cors->is_any || tl_buffer_append_text(out, "Access-Control-Allow-Origin: *\r\n");
}

bool cors_append_headers(const struct cors *cors, const struct http_request *request,
                         struct tl_buffer *out)
{
    return append_allowed_origin(cors, request, out) &&
           (cors->count == 0 || tl_buffer_append_text(out, "Vary: Origin\r\n"));
}

bool cors_is_preflight(const struct cors *cors, const struct http_request *request)
{
    return request->method == HTTP_METHOD_OPTIONS && !request->is_upgrade &&
           cors_is_configured(cors);
}

bool cors_append_preflight(const struct cors *cors, const struct http_request *request,
                           struct tl_buffer *out)
{
    const char *wanted = http_request_header(request, "Access-Control-Request-Headers");
    const char *vary = cors->count > 0 ? "Vary: Origin, Access-Control-Request-Headers\r\n"
                                       : "Vary: Access-Control-Request-Headers\r\n";
    return append_allowed_origin(cors, request, out) && tl_buffer_append_text(out, METHODS) &&
           tl_buffer_append_text(out, vary) &&
           (!wanted || (tl_buffer_append_text(out, "Access-Control-Allow-Headers: ") &&
                        tl_buffer_append_text(out, wanted) && tl_buffer_append_text(out, "\r\n")));
}

// `Host` has no scheme. Behind a proxy that speaks TLS it is not the connection's either: the
// origin's decides which port is the default.
static bool is_same_host(const struct http_request *request, const char *origin)
{
    const char *host = http_request_header(request, "Host");
    const char *origin_host = strstr(origin, "://");
    if (!host || !origin_host)
        return false;
    origin_host += 3;
    size_t size = size_without_default_port(origin, origin_host);
    return size > 0 && size == size_without_default_port(origin, host) &&
           strncasecmp(host, origin_host, size) == 0;
}

bool cors_allows(const struct cors *cors, const struct http_request *request)
{
    const char *origin = http_request_header(request, "Origin");
    return !origin || cors->is_any || is_listed(cors, origin) || is_same_host(request, origin);
}
