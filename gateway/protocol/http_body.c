// SPDX-License-Identifier: MIT
// Bodies. Chunks are decoded here rather than by the parser, because one of the two that we stand
// on does not insist on CRLF between them. Invariant: the bound is checked against what a length or
// a chunk size announces, before any of it is kept.
#include "gateway/protocol/http_body.h"

#include "common/hex.h"

enum state {
    BY_LENGTH,
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_END, // the CR of the size's line came
    CHUNK_DATA,
    CHUNK_DATA_END, // its CR is due
    CHUNK_DATA_LF,
    TRAILERS,
    DONE,
};

enum { MAX_SIZE_DIGITS = 16, KEPT_CAPACITY = 16384 };

void http_body_init(struct http_body *body, size_t max_body, size_t max_overhead)
{
    *body = (struct http_body){.max_overhead = max_overhead, .state = DONE};
    tl_buffer_init(&body->bytes, max_body);
}

void http_body_fini(struct http_body *body)
{
    tl_buffer_fini(&body->bytes);
}

// Whether there is room for what is now to come.
static bool announce(struct http_body *body)
{
    if (body->left > body->room)
        return false;
    body->room -= (size_t)body->left;
    return true;
}

enum http_result http_body_begin(struct http_body *body, bool is_chunked, uint64_t length)
{
    if (body->bytes.capacity > KEPT_CAPACITY)
        tl_buffer_fini(&body->bytes);
    tl_buffer_clear(&body->bytes);
    body->overhead = 0;
    body->digits = 0;
    body->is_dropped = false;
    body->left = is_chunked ? 0 : length;
    body->room = body->bytes.max;
    body->state = is_chunked ? CHUNK_SIZE : length > 0 ? BY_LENGTH : DONE;
    if (!announce(body))
        return HTTP_E_BODY_LARGE;
    return body->state == DONE ? HTTP_REQUEST : HTTP_MORE;
}

bool http_body_drop(struct http_body *body, size_t max)
{
    tl_buffer_fini(&body->bytes);
    body->is_dropped = true;
    body->room = max;
    // A chunk's size is announced when its digits are over.
    return body->state == CHUNK_SIZE || announce(body);
}

static enum http_result end_size_digits(struct http_body *body, enum state next)
{
    if (body->digits == 0)
        return HTTP_E_MALFORMED;
    body->state = (uint8_t)next;
    return announce(body) ? HTTP_MORE : HTTP_E_BODY_LARGE;
}

static enum http_result read_size_char(struct http_body *body, uint8_t c)
{
    int digit = tl_hex_value((char)c);
    if (digit < 0)
        return c == '\r'  ? end_size_digits(body, CHUNK_SIZE_END)
               : c == ';' ? end_size_digits(body, CHUNK_EXTENSION)
                          : HTTP_E_MALFORMED;
    if (body->digits == MAX_SIZE_DIGITS)
        return HTTP_E_MALFORMED;
    body->digits++;
    body->left = body->left << 4 | (uint64_t)digit;
    return HTTP_MORE;
}

static enum http_result read_extension_char(struct http_body *body, uint8_t c)
{
    if (c == '\r') {
        body->state = CHUNK_SIZE_END;
        return HTTP_MORE;
    }
    if (c != '\t' && (c < ' ' || c == 0x7f))
        return HTTP_E_MALFORMED;
    return ++body->overhead > body->max_overhead ? HTTP_E_HEAD_LARGE : HTTP_MORE;
}

static enum http_result end_size_line(struct http_body *body, uint8_t c)
{
    if (c != '\n')
        return HTTP_E_MALFORMED;
    body->state = body->left > 0 ? CHUNK_DATA : TRAILERS;
    http_lines_init(&body->trailers, false);
    return HTTP_MORE;
}

// The single characters between chunks.
static enum http_result read_char(struct http_body *body, uint8_t c)
{
    switch ((enum state)body->state) {
    case CHUNK_SIZE:
        return read_size_char(body, c);
    case CHUNK_EXTENSION:
        return read_extension_char(body, c);
    case CHUNK_SIZE_END:
        return end_size_line(body, c);
    case CHUNK_DATA_END:
        body->state = CHUNK_DATA_LF;
        return c == '\r' ? HTTP_MORE : HTTP_E_MALFORMED;
    case CHUNK_DATA_LF:
        body->state = CHUNK_SIZE;
        body->digits = 0;
        return c == '\n' ? HTTP_MORE : HTTP_E_MALFORMED;
    default:
        return HTTP_E_MALFORMED;
    }
}

static enum http_result read_data(struct http_body *body, const uint8_t *bytes, size_t size,
                                  size_t *used)
{
    *used = size < body->left ? size : (size_t)body->left;
    if (!body->is_dropped && !tl_buffer_append(&body->bytes, bytes, *used))
        return HTTP_E_NOMEM;
    body->left -= *used;
    if (body->left == 0)
        body->state = body->state == BY_LENGTH ? DONE : CHUNK_DATA_END;
    return HTTP_MORE;
}

static enum http_result read_trailers(struct http_body *body, const uint8_t *bytes, size_t size,
                                      size_t *used)
{
    size_t room = body->max_overhead - body->overhead;
    enum http_lines_result result =
        http_lines_feed(&body->trailers, bytes, size < room ? size : room, used);
    body->overhead += *used;
    if (result == HTTP_LINES_BAD)
        return HTTP_E_MALFORMED;
    if (result == HTTP_LINES_END)
        body->state = DONE;
    else if (*used < size)
        return HTTP_E_HEAD_LARGE;
    return HTTP_MORE;
}

enum http_result http_body_feed(struct http_body *body, const uint8_t *bytes, size_t size,
                                size_t *consumed)
{
    enum http_result result = HTTP_MORE;
    size_t at = 0;
    while (result == HTTP_MORE && at < size && body->state != DONE) {
        size_t used = 1;
        if (body->state == BY_LENGTH || body->state == CHUNK_DATA)
            result = read_data(body, bytes + at, size - at, &used);
        else if (body->state == TRAILERS)
            result = read_trailers(body, bytes + at, size - at, &used);
        else
            result = read_char(body, bytes[at]);
        at += used;
    }
    *consumed = at;
    return result == HTTP_MORE && body->state == DONE ? HTTP_REQUEST : result;
}
