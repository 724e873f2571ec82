// SPDX-License-Identifier: MIT
// The request reader: gathers a head until its empty line, has it read as a whole, then gathers the
// body. Invariants: nothing is kept beyond the limits; the results do not depend on where the input
// was split.
#include <stdlib.h>

#include "gateway/protocol/http_body.h"
#include "gateway/protocol/http_head.h"

enum state {
    BLANK,    // between requests; empty lines are skipped
    BLANK_LF, // the CR of an empty line came
    HEAD,
    BODY,
    DONE,
    FAILED,
};

// http_parser stops at 80 KiB, whatever we allow.
enum { LARGEST_HEAD = 65536 };

enum { KEPT_HEAD = 2048 }; // bytes for a head that a reader for another connection keeps

struct http_reader {
    struct http_limits limits;
    enum state state;
    enum http_result error; // when FAILED
    struct http_lines lines;
    struct tl_buffer head_bytes;
    struct http_head head;
    struct http_body body;
};

struct http_reader *http_reader_new(const struct http_limits *limits)
{
    struct http_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return NULL;
    reader->limits = *limits;
    if (reader->limits.max_head > LARGEST_HEAD)
        reader->limits.max_head = LARGEST_HEAD;
    tl_buffer_init(&reader->head_bytes, reader->limits.max_head);
    http_body_init(&reader->body, limits->max_body, reader->limits.max_head);
    if (!http_head_init(&reader->head, limits->max_headers))
        http_reader_destroy(&reader);
    return reader;
}

void http_reader_destroy(struct http_reader **reader)
{
    if (!*reader)
        return;
    tl_buffer_fini(&(*reader)->head_bytes);
    http_body_fini(&(*reader)->body);
    http_head_fini(&(*reader)->head);
    free(*reader);
    *reader = NULL;
}

void http_reader_reset(struct http_reader *reader)
{
    if (reader->head_bytes.capacity > KEPT_HEAD)
        tl_buffer_fini(&reader->head_bytes);
    tl_buffer_clear(&reader->head_bytes);
    http_body_fini(&reader->body);
    http_body_init(&reader->body, reader->limits.max_body, reader->limits.max_head);
    reader->head.request = (struct http_request){0};
    reader->state = BLANK;
}

// Skips what RFC 9112 section 2.2 asks to ignore: empty lines before a request.
static enum http_result skip_blank(struct http_reader *reader, const uint8_t *bytes, size_t size,
                                   size_t *used)
{
    for (*used = 0; *used < size; (*used)++) {
        uint8_t c = bytes[*used];
        if (reader->state == BLANK && c != '\r')
            break;
        if (reader->state == BLANK_LF && c != '\n')
            return HTTP_E_MALFORMED;
        reader->state = reader->state == BLANK ? BLANK_LF : BLANK;
    }
    if (*used < size) {
        http_lines_init(&reader->lines, true);
        tl_buffer_clear(&reader->head_bytes);
        reader->state = HEAD;
    }
    return HTTP_MORE;
}

static enum http_result end_body(struct http_reader *reader)
{
    reader->head.request.body = reader->body.bytes.bytes;
    reader->head.request.body_size = reader->body.bytes.size;
    reader->state = DONE;
    return HTTP_REQUEST;
}

static enum http_result end_head(struct http_reader *reader)
{
    struct http_head *head = &reader->head;
    enum http_result result =
        http_head_read(head, (char *)reader->head_bytes.bytes, reader->head_bytes.size);
    if (result != HTTP_REQUEST)
        return result;
    result = http_body_begin(&reader->body, head->is_chunked, head->content_length);
    if (result == HTTP_REQUEST)
        return end_body(reader);
    reader->state = BODY;
    return result == HTTP_MORE && head->request.expects_continue ? HTTP_CONTINUE : result;
}

static enum http_result read_head(struct http_reader *reader, const uint8_t *bytes, size_t size,
                                  size_t *used)
{
    size_t room = reader->limits.max_head - reader->head_bytes.size;
    enum http_lines_result result =
        http_lines_feed(&reader->lines, bytes, size < room ? size : room, used);
    if (result == HTTP_LINES_BAD)
        return HTTP_E_MALFORMED;
    if (!tl_buffer_append(&reader->head_bytes, bytes, *used))
        return HTTP_E_NOMEM;
    if (result == HTTP_LINES_END)
        return end_head(reader);
    return *used < size ? HTTP_E_HEAD_LARGE : HTTP_MORE;
}

static enum http_result read_body(struct http_reader *reader, const uint8_t *bytes, size_t size,
                                  size_t *used)
{
    enum http_result result = http_body_feed(&reader->body, bytes, size, used);
    return result == HTTP_REQUEST ? end_body(reader) : result;
}

enum http_result http_reader_feed(struct http_reader *reader, const void *bytes, size_t size,
                                  size_t *consumed)
{
    const uint8_t *from = bytes;
    enum http_result result = HTTP_MORE;
    size_t at = 0;
    *consumed = 0;
    if (reader->state == FAILED)
        return reader->error;
    if (reader->state == DONE)
        reader->state = BLANK;
    while (result == HTTP_MORE && at < size) {
        size_t used;
        if (reader->state == HEAD)
            result = read_head(reader, from + at, size - at, &used);
        else if (reader->state == BODY)
            result = read_body(reader, from + at, size - at, &used);
        else
            result = skip_blank(reader, from + at, size - at, &used);
        at += used;
    }
    *consumed = at;
    if (result < 0) {
        reader->state = FAILED;
        reader->error = result;
        reader->head.request.is_oversized = result == HTTP_E_BODY_LARGE;
    }
    return result;
}

bool http_reader_is_in_body(const struct http_reader *reader)
{
    return reader->state == BODY;
}

bool http_reader_drop_body(struct http_reader *reader, size_t max)
{
    if (!http_body_drop(&reader->body, max))
        return false;
    reader->state = BODY;
    return true;
}

const struct http_request *http_reader_request(const struct http_reader *reader)
{
    return &reader->head.request;
}

bool http_reader_is_idle(const struct http_reader *reader)
{
    return reader->state == BLANK || reader->state == DONE;
}
