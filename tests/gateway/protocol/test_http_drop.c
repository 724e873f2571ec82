// SPDX-License-Identifier: MIT
// Bodies that are dropped: the reader finds their end without keeping them, whatever the framing,
// and however the stream is cut; what follows is read as ever.
#include <stdlib.h>
#include <string.h>

#include "gateway/protocol/http.h"
#include "tests/common/cmocka_all.h"

#define HOST     "Host: h\r\n"
#define NEXT     "GET /next HTTP/1.1\r\n" HOST "\r\n"
#define BY(size) "POST /a HTTP/1.1\r\n" HOST "Content-Length: " size "\r\n\r\n"
#define CHUNKED  "POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"

enum { MAX_BODY = 8, MAX_DROPPED = 20 };

static const struct http_limits limits = {.max_head = 300, .max_headers = 8, .max_body = MAX_BODY};

// When a reader is told to drop: as soon as the head is there, or when the body proves too large.
enum moment { EARLY, LATE };

static bool is_early(const struct http_reader *reader, enum moment moment, bool is_dropping)
{
    return moment == EARLY && !is_dropping && http_reader_is_in_body(reader);
}

static void note(struct tl_buffer *log, const struct http_reader *reader, enum http_result result)
{
    const struct http_request *request = http_reader_request(reader);
    assert_true(tl_buffer_append_format(log, "%d:%s:%zu%s;", (int)result, request->path,
                                        request->body_size, request->is_oversized ? "!" : ""));
}

// Writes down every result but HTTP_MORE.
static void read_stream(const char *stream, size_t step, enum moment moment, struct tl_buffer *log)
{
    struct http_reader *reader = http_reader_new(&limits);
    size_t size = strlen(stream);
    bool is_dropping = false;
    assert_non_null(reader);
    for (size_t at = 0; at < size;) {
        size_t consumed = 0;
        size_t piece = step < size - at ? step : size - at;
        enum http_result result = http_reader_feed(reader, stream + at, piece, &consumed);
        at += consumed;
        if (result != HTTP_MORE)
            note(log, reader, result);
        if (result == HTTP_REQUEST)
            is_dropping = false;
        else if (result == HTTP_E_BODY_LARGE || is_early(reader, moment, is_dropping))
            is_dropping = !is_dropping && http_reader_drop_body(reader, MAX_DROPPED);
        if (result < 0 && !is_dropping)
            break;
    }
    http_reader_destroy(&reader);
}

static void expect(const char *stream, enum moment moment, const char *expected)
{
    // Early, the head has to come alone, or the body is there as soon as the head is.
    size_t longest = moment == EARLY ? 1 : strlen(stream);
    for (size_t step = 1; step <= longest; step++) {
        struct tl_buffer log;
        tl_buffer_init(&log, 1000);
        read_stream(stream, step, moment, &log);
        assert_true(tl_buffer_append(&log, "", 1));
        assert_string_equal((const char *)log.bytes, expected);
        tl_buffer_fini(&log);
    }
}

static void test_drop_a_body_that_is_too_large(void **state)
{
    (void)state;
    expect(BY("9") "123456789" NEXT, LATE, "-3:/a:0!;1:/a:0!;1:/next:0;");
    expect(BY("20") "12345678901234567890" NEXT, LATE, "-3:/a:0!;1:/a:0!;1:/next:0;");
    expect(CHUNKED "9\r\n123456789\r\n0\r\n\r\n" NEXT, LATE, "-3:/a:0!;1:/a:0!;1:/next:0;");
    expect(CHUNKED "8\r\n12345678\r\n1;a=b\r\n9\r\n5\r\nabcde\r\n0\r\nX: y\r\n\r\n" NEXT, LATE,
           "-3:/a:0!;1:/a:0!;1:/next:0;");
}

static void test_drop_does_not_touch_what_fits(void **state)
{
    (void)state;
    expect(BY("8") "12345678" NEXT, LATE, "1:/a:8;1:/next:0;");
    expect(CHUNKED "8\r\n12345678\r\n0\r\n\r\n" NEXT, LATE, "1:/a:8;1:/next:0;");
}

static void test_drop_is_bounded(void **state)
{
    (void)state;
    expect(BY("21") "123456789012345678901" NEXT, LATE, "-3:/a:0!;");
    expect(CHUNKED "15\r\n", LATE, "-3:/a:0!;");
    expect(CHUNKED "a\r\n1234567890\r\na\r\n1234567890\r\n0\r\n\r\n" NEXT, LATE,
           "-3:/a:0!;1:/a:0!;1:/next:0;");
    expect(CHUNKED "a\r\n1234567890\r\nb\r\n12345678901\r\n0\r\n\r\n" NEXT, LATE,
           "-3:/a:0!;-3:/a:0!;");
    expect(CHUNKED "ffffffffffffffff\r\n", LATE, "-3:/a:0!;");
    expect(BY("999999999999999999"), LATE, "-3:/a:0!;");
}

static void test_drop_by_the_head(void **state)
{
    (void)state;
    expect(BY("5") "12345" NEXT, EARLY, "1:/a:0;1:/next:0;");
    expect(CHUNKED "8\r\n12345678\r\nc\r\n123456789012\r\n0\r\n\r\n" NEXT, EARLY,
           "1:/a:0;1:/next:0;");
    expect(CHUNKED "8\r\n12345678\r\nd\r\n1234567890123\r\n0\r\n\r\n" NEXT, EARLY, "-3:/a:0!;");
    expect(NEXT BY("5") "12345" BY("3") "123" NEXT, EARLY, "1:/next:0;1:/a:0;1:/a:0;1:/next:0;");
}

static void test_drop_still_sees_what_is_malformed(void **state)
{
    (void)state;
    expect(CHUNKED "9\r\n123456789!", LATE, "-3:/a:0!;-1:/a:0;");
    expect(CHUNKED "3\r\n123!", EARLY, "-1:/a:0;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drop_a_body_that_is_too_large),
        cmocka_unit_test(test_drop_does_not_touch_what_fits),
        cmocka_unit_test(test_drop_is_bounded),
        cmocka_unit_test(test_drop_by_the_head),
        cmocka_unit_test(test_drop_still_sees_what_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
