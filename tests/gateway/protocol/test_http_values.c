// SPDX-License-Identifier: MIT
// What is looked up in requests, and response heads.
#include "tests/common/cmocka_all.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gateway/protocol/http.h"
#include "tests/common/faults.h"

static void test_http_header_lookup(void **state)
{
    (void)state;
    static const struct http_header HEADERS[] = {
        {"Origin", "http://a"}, {"X-Empty", ""}, {"origin", "http://b"}};
    const struct http_request request = {.headers = HEADERS, .header_count = 3};
    assert_string_equal(http_request_header(&request, "ORIGIN"), "http://a");
    assert_string_equal(http_request_header(&request, "x-empty"), "");
    assert_null(http_request_header(&request, "Orig"));
    assert_null(http_request_header(&request, "Origin-"));
}

static void test_http_token_lookup(void **state)
{
    (void)state;
    static const struct http_header HEADERS[] = {
        {"Connection", " keep-alive ,\tUpgrade,, x y "}, {"connection", "last"}, {"Via", "other"}};
    const struct http_request request = {.headers = HEADERS, .header_count = 3};
    assert_true(http_request_has_token(&request, "Connection", "keep-alive"));
    assert_true(http_request_has_token(&request, "Connection", "upgrade"));
    assert_true(http_request_has_token(&request, "Connection", "LAST"));
    assert_true(http_request_has_token(&request, "Connection", "x y"));
    assert_false(http_request_has_token(&request, "Connection", "x"));
    assert_false(http_request_has_token(&request, "Connection", "keep"));
    assert_false(http_request_has_token(&request, "Connection", "keep-alive-"));
    assert_false(http_request_has_token(&request, "Connection", "other"));
    assert_false(http_request_has_token(&request, "Connection", ""));
    assert_false(http_request_has_token(&request, "Accept", "last"));
}

static void test_http_query_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        const char *name;
        int length;
        const char *value;
    } CASES[] = {
        {"EIO=4&transport=polling", "EIO", 1, "4"},
        {"EIO=4&transport=polling", "transport", 7, "polling"},
        {"EIO=4&transport=polling", "port", -1, ""},
        {"", "EIO", -1, ""},
        {"&&EIO=4&", "EIO", 1, "4"},
        {"EIO", "EIO", 0, ""},
        {"EIO=", "EIO", 0, ""},
        {"=4", "EIO", -1, ""},
        {"a=b=c", "a", 3, "b=c"},
        {"a=1&a=2", "a", 1, "2"},
        {"a=1&A=2", "a", 1, "1"},
        {"a=%41+%2b%c3%A9", "a", 5, "A +\xc3\xa9"},
        {"%61b=1", "ab", 1, "1"},
        {"a+b=1", "a b", 1, "1"},
        {"a%=1", "a%", -1, ""},
        {"a=%", "a", -2, ""},
        {"a=%4", "a", -2, ""},
        {"a=%4g", "a", -2, ""},
        {"a=%&b=1", "b", 1, "1"},
        {"a=%00", "a", -2, ""},
        {"a=1%002", "a", -2, ""},
        {"a=123456789", "a", 9, "123456789"},
        {"a=1234567890", "a", -2, ""},
        {"a=1&a=%", "a", -2, ""},
        {"a=%&a=1", "a", 1, "1"},
        {"ab=1", "a", -1, ""},
        {"a=1", "ab", -1, ""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char value[10];
        assert_int_equal(http_query_get(CASES[i].query, CASES[i].name, value, sizeof value),
                         CASES[i].length);
        assert_string_equal(value, CASES[i].value);
    }
    assert_int_equal(http_query_get("a=1", "a", NULL, 0), -2);
}

static void test_http_status_texts(void **state)
{
    (void)state;
    static const int SENT[] = {100, 101, 200, 204, 304, 400, 403, 404, 405,
                               408, 413, 417, 426, 431, 500, 503, 505};
    for (size_t i = 0; i < sizeof SENT / sizeof *SENT; i++)
        assert_string_not_equal(http_status_text(SENT[i]), "");
    assert_string_equal(http_status_text(404), "Not Found");
    assert_string_equal(http_status_text(299), "");
}

// Encodes a head and takes its Date line out, if that is one of now.
static void encode(char out[500], int status, unsigned minor, unsigned keep_alive_s,
                   const char *headers, size_t body_size)
{
    struct tl_buffer buffer;
    tl_buffer_init(&buffer, 400);
    time_t before = time(NULL);
    assert_true(http_encode_head(&buffer, status, minor, keep_alive_s, headers, body_size));
    time_t after = time(NULL);
    memcpy(out, buffer.bytes, buffer.size);
    out[buffer.size] = '\0';
    tl_buffer_fini(&buffer);

    char *date = strstr(out, "Date: ");
    if (!date)
        return;
    bool is_of_now = false;
    for (time_t at = before; at <= after; at++) {
        char expected[50];
        struct tm tm;
        gmtime_r(&at, &tm);
        strftime(expected, sizeof expected, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
        is_of_now |= strncmp(date, expected, strlen(expected)) == 0;
    }
    assert_true(is_of_now);
    char *rest = strstr(date, "\r\n") + 2;
    memmove(date + 2, rest, strlen(rest) + 1);
    memcpy(date, "D;", 2);
}

static void test_http_encode_heads(void **state)
{
    (void)state;
    char head[500];
    encode(head, 200, 1, 5, "Content-Type: text/plain\r\n", 12);
    assert_string_equal(head, "HTTP/1.1 200 OK\r\nD;Content-Length: 12\r\n"
                              "Keep-Alive: timeout=5\r\nContent-Type: text/plain\r\n\r\n");
    encode(head, 404, 1, 0, "", 0);
    assert_string_equal(head, "HTTP/1.1 404 Not Found\r\nD;Content-Length: 0\r\n"
                              "Connection: close\r\n\r\n");
    encode(head, 200, 0, 60, "", 3);
    assert_string_equal(head, "HTTP/1.1 200 OK\r\nD;Content-Length: 3\r\n"
                              "Connection: keep-alive\r\nKeep-Alive: timeout=60\r\n\r\n");
    encode(head, 200, 0, 0, "", 3);
    assert_string_equal(head, "HTTP/1.1 200 OK\r\nD;Content-Length: 3\r\n"
                              "Connection: close\r\n\r\n");
    encode(head, 204, 1, 5, "", 0);
    assert_string_equal(head, "HTTP/1.1 204 No Content\r\nD;Keep-Alive: timeout=5\r\n\r\n");
    encode(head, 304, 1, 5, "", 0);
    assert_string_equal(head, "HTTP/1.1 304 Not Modified\r\nD;Keep-Alive: timeout=5\r\n\r\n");
    encode(head, 100, 1, 5, "", 0);
    assert_string_equal(head, "HTTP/1.1 100 Continue\r\n\r\n");
    encode(head, 101, 1, 5, "Upgrade: websocket\r\nConnection: Upgrade\r\n", 0);
    assert_string_equal(head, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\n\r\n");
}

static void test_http_encode_head_fails_whole(void **state)
{
    (void)state;
    struct tl_buffer out;
    tl_buffer_init(&out, 1000);
    assert_true(http_encode_head(&out, 200, 1, 0, "A: b\r\n", 5));
    size_t whole = out.size;
    tl_buffer_fini(&out);
    for (size_t max = 0; max < whole; max++) {
        tl_buffer_init(&out, max);
        assert_false(http_encode_head(&out, 200, 1, 0, "A: b\r\n", 5));
        assert_int_equal(out.size, 0);
        tl_buffer_fini(&out);
    }
    tl_buffer_init(&out, whole);
    assert_true(http_encode_head(&out, 200, 1, 0, "A: b\r\n", 5));
    tl_buffer_fini(&out);

    tl_buffer_init(&out, 1000);
    faults_fail_allocation_after(0);
    assert_false(http_encode_head(&out, 200, 1, 0, "A: b\r\n", 5));
    assert_true(faults_stop());
    assert_int_equal(out.size, 0);
    tl_buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_header_lookup),
        cmocka_unit_test(test_http_token_lookup),
        cmocka_unit_test(test_http_query_parameters),
        cmocka_unit_test(test_http_status_texts),
        cmocka_unit_test(test_http_encode_heads),
        cmocka_unit_test(test_http_encode_head_fails_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
