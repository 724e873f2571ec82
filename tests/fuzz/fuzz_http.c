// SPDX-License-Identifier: MIT
// The HTTP reader: the same requests come out whole and in pieces. The first byte of the input says
// how long the pieces are.
#include <string.h>

#include "fuzz_check.h"
#include "gateway/protocol/http.h"

static void note(struct tl_buffer *log, const void *bytes, size_t size)
{
    CHECK(tl_buffer_append(log, &size, sizeof size) && tl_buffer_append(log, bytes, size));
}

static void note_text(struct tl_buffer *log, const char *text)
{
    note(log, text, strlen(text));
}

static void note_request(struct tl_buffer *log, const struct http_request *request)
{
    char value[32];
    note_text(log, request->path);
    note_text(log, request->query);
    for (unsigned i = 0; i < request->header_count; i++) {
        note_text(log, request->headers[i].name);
        note_text(log, request->headers[i].value);
    }
    note(log, request->body, request->body_size);
    note(log, &request->keep_alive, 1);
    note(log, &request->is_upgrade, 1);
    int length = http_query_get(request->query, "sid", value, sizeof value);
    CHECK(length < 0 ? value[0] == '\0' : strlen(value) == (size_t)length);
}

static void read_in_pieces(const uint8_t *data, size_t size, size_t step, struct tl_buffer *log)
{
    const struct http_limits limits = {.max_head = 512, .max_headers = 16, .max_body = 200};
    struct http_reader *reader = http_reader_new(&limits);
    enum http_result result = HTTP_MORE;
    bool is_dropping = false;
    CHECK(reader != NULL);
    for (size_t at = 0; at < size && (result >= 0 || is_dropping);) {
        size_t piece = step < size - at ? step : size - at;
        size_t consumed;
        result = http_reader_feed(reader, data + at, piece, &consumed);
        CHECK(consumed <= piece);
        CHECK(result != HTTP_MORE || consumed == piece);
        at += consumed;
        if (result != HTTP_MORE)
            note(log, &result, sizeof result);
        if (result == HTTP_REQUEST)
            note_request(log, http_reader_request(reader));
        // What is too large is skipped, once.
        is_dropping = result == HTTP_E_BODY_LARGE
                          ? !is_dropping && http_reader_drop_body(reader, 300)
                          : is_dropping && result == HTTP_MORE;
    }
    http_reader_destroy(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct tl_buffer whole;
    struct tl_buffer pieces;
    tl_buffer_init(&whole, SIZE_MAX / 2);
    tl_buffer_init(&pieces, SIZE_MAX / 2);
    read_in_pieces(data + 1, size - 1, size, &whole);
    read_in_pieces(data + 1, size - 1, 1 + data[0] % 32, &pieces);
    CHECK(whole.size == pieces.size);
    CHECK(whole.size == 0 || memcmp(whole.bytes, pieces.bytes, whole.size) == 0);
    tl_buffer_fini(&whole);
    tl_buffer_fini(&pieces);
    return 0;
}
