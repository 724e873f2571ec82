// SPDX-License-Identifier: MIT
// Looking things up in a request: headers, their tokens, query parameters; and copies of it.
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/hex.h"
#include "gateway/protocol/http.h"

enum { ABSENT = -1, UNUSABLE = -2 };

const char *http_request_header(const struct http_request *request, const char *name)
{
    for (unsigned i = 0; i < request->header_count; i++)
        if (strcasecmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    return NULL;
}

static bool has_token(const char *list, const char *token)
{
    size_t token_size = strlen(token);
    while (*list) {
        list += strspn(list, " \t,");
        size_t size = strcspn(list, ",");
        size_t trimmed = size;
        while (trimmed > 0 && (list[trimmed - 1] == ' ' || list[trimmed - 1] == '\t'))
            trimmed--;
        if (trimmed == token_size && strncasecmp(list, token, token_size) == 0)
            return true;
        list += size;
    }
    return false;
}

bool http_request_has_token(const struct http_request *request, const char *name, const char *token)
{
    for (unsigned i = 0; i < request->header_count; i++)
        if (strcasecmp(request->headers[i].name, name) == 0 &&
            has_token(request->headers[i].value, token))
            return true;
    return false;
}

// Takes an escape (%XX), from *at on; -1 if it is none.
static int decode_escape(const char **at)
{
    int byte = tl_hex_byte(*at + 1);
    if (byte >= 0)
        *at += 3;
    return byte;
}

// Takes one character of a form-encoded text, from *at on; -1 if it is badly encoded.
static inline int decode_char(const char **at)
{
    if (**at == '%')
        return decode_escape(at);
    unsigned char c = (unsigned char)*(*at)++;
    return c == '+' ? ' ' : c;
}

static bool is_name(const char *text, const char *end, const char *name)
{
    while (text < end && *name) {
        int c = decode_char(&text);
        if (c != (unsigned char)*name++)
            return false;
    }
    return text == end && *name == '\0';
}

static int decode_value(const char *text, const char *end, char *out, size_t capacity)
{
    size_t size = 0;
    while (text < end) {
        int c = decode_char(&text);
        if (c <= 0 || size + 1 >= capacity)
            return UNUSABLE;
        out[size++] = (char)c;
    }
    out[size] = '\0';
    return (int)size;
}

int http_query_get(const char *query, const char *name, char *out, size_t capacity)
{
    int result = ABSENT;
    if (capacity > 0)
        out[0] = '\0';
    else
        return UNUSABLE;
    for (const char *pair = query; *pair;) {
        const char *end = pair + strcspn(pair, "&");
        const char *equals = memchr(pair, '=', (size_t)(end - pair));
        if (is_name(pair, equals ? equals : end, name))
            result = decode_value(equals ? equals + 1 : end, end, out, capacity);
        pair = *end ? end + 1 : end;
    }
    if (result < 0)
        out[0] = '\0';
    return result;
}

// Puts a text with its NUL where *at is, and moves on.
static const char *put_text(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    const char *copy = memcpy(*at, text, size);
    *at += size;
    return copy;
}

static size_t texts_size(const struct http_request *request)
{
    size_t size = strlen(request->path) + strlen(request->query) + 2;
    for (unsigned i = 0; i < request->header_count; i++)
        size += strlen(request->headers[i].name) + strlen(request->headers[i].value) + 2;
    return size;
}

struct http_request *http_request_copy(const struct http_request *request, size_t *size)
{
    const size_t headers_size = request->header_count * sizeof(struct http_header);
    struct http_request *copy;
    *size = sizeof *copy + headers_size + texts_size(request) + request->body_size;
    copy = malloc(*size);
    if (!copy)
        return NULL;
    struct http_header *headers = (struct http_header *)(void *)(copy + 1);
    char *at = (char *)headers + headers_size;
    *copy = *request;
    copy->headers = headers;
    copy->path = put_text(&at, request->path);
    copy->query = put_text(&at, request->query);
    for (unsigned i = 0; i < request->header_count; i++) {
        headers[i].name = put_text(&at, request->headers[i].name);
        headers[i].value = put_text(&at, request->headers[i].value);
    }
    copy->body = (const uint8_t *)at;
    if (request->body_size > 0)
        memcpy(at, request->body, request->body_size);
    return copy;
}
