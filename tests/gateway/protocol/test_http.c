// SPDX-License-Identifier: MIT
// The HTTP request reader. Each stream is read whole, a byte at a time, and cut in two at every
// place; what came out is written down as text, which must always be the same.
#include "tests/common/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/protocol/http.h"
#include "tests/common/faults.h"

enum { MAX_HEAD = 300, MAX_HEADERS = 8, MAX_BODY = 40 };

static struct http_limits limits = {
    .max_head = MAX_HEAD, .max_headers = MAX_HEADERS, .max_body = MAX_BODY};

#define HOST "Host: h\r\n"

static const char *const METHODS[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "OTHER"};

static void describe_request(const struct http_request *request, struct tl_buffer *out)
{
    assert_true(tl_buffer_append_format(out, "%s %s", METHODS[request->method], request->path));
    if (request->query[0] != '\0')
        assert_true(tl_buffer_append_format(out, "?%s", request->query));
    for (unsigned i = 0; i < request->header_count; i++)
        if (strcmp(request->headers[i].name, "Host") != 0)
            assert_true(tl_buffer_append_format(out, " %s=%s", request->headers[i].name,
                                                request->headers[i].value));
    if (request->body_size > 0)
        assert_true(tl_buffer_append_format(out, " <%.*s>", (int)request->body_size,
                                            (const char *)request->body));
    assert_true(tl_buffer_append_format(out, "%s%s%s;", request->keep_alive ? "" : " close",
                                        request->is_upgrade ? " upgrade" : "",
                                        request->minor == 0 ? " 1.0" : ""));
}

static bool feed(struct http_reader *reader, const char *bytes, size_t size, struct tl_buffer *out)
{
    for (;;) {
        size_t consumed = size + 1;
        enum http_result result = http_reader_feed(reader, bytes, size, &consumed);
        assert_true(consumed <= size);
        bytes += consumed;
        size -= consumed;
        if (result == HTTP_REQUEST) {
            assert_true(http_reader_is_idle(reader));
            describe_request(http_reader_request(reader), out);
        } else if (result == HTTP_CONTINUE) {
            assert_true(tl_buffer_append_text(out, "continue;"));
        } else if (result == HTTP_MORE) {
            assert_int_equal(size, 0);
            return true;
        } else {
            assert_true(tl_buffer_append_format(out, "E%d", -(int)result));
            if (result == HTTP_E_BODY_LARGE)
                assert_true(tl_buffer_append_text(out, http_reader_request(reader)->path));
            assert_int_equal(http_reader_feed(reader, "x", 1, &consumed), result);
            assert_int_equal(consumed, 0);
            return false;
        }
    }
}

// Reads the stream in pieces that end at `cut` and then every `step` bytes.
static void read_in_pieces(const char *stream, size_t size, size_t cut, size_t step,
                           struct tl_buffer *out)
{
    struct http_reader *reader = http_reader_new(&limits);
    assert_non_null(reader);
    assert_true(http_reader_is_idle(reader));
    tl_buffer_clear(out);
    for (size_t at = 0; at < size;) {
        size_t end = at < cut ? cut : at + step < size ? at + step : size;
        // Each piece in memory of its own size, so that the sanitizer sees a byte too many.
        char *piece = malloc(end - at);
        assert_non_null(piece);
        memcpy(piece, stream + at, end - at);
        bool is_good = feed(reader, piece, end - at, out);
        free(piece);
        if (!is_good)
            break;
        at = end;
    }
    assert_true(tl_buffer_append(out, "", 1));
    http_reader_destroy(&reader);
    assert_null(reader);
}

static void assert_reads_bytes(const char *stream, size_t size, const char *expected)
{
    struct tl_buffer out;
    tl_buffer_init(&out, 100000);
    read_in_pieces(stream, size, size, 1, &out);
    assert_string_equal((char *)out.bytes, expected);
    read_in_pieces(stream, size, 0, 1, &out);
    assert_string_equal((char *)out.bytes, expected);
    for (size_t cut = 1; cut < size; cut++) {
        read_in_pieces(stream, size, cut, size, &out);
        assert_string_equal((char *)out.bytes, expected);
    }
    tl_buffer_fini(&out);
}

static void assert_reads(const char *stream, const char *expected)
{
    assert_reads_bytes(stream, strlen(stream), expected);
}

static void assert_malformed(const char *stream)
{
    assert_reads(stream, "E1");
}

// ---- Requests

static void test_http_simple_requests(void **state)
{
    (void)state;
    assert_reads("GET / HTTP/1.1\r\n" HOST "\r\n", "GET /;");
    assert_reads("GET /a/b?c=d&e=%20 HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
                 "GET /a/b?c=d&e=%20 Accept=*/*;");
    assert_reads("GET /a? HTTP/1.1\r\n" HOST "\r\n", "GET /a;");
    assert_reads("GET /a?b?c HTTP/1.1\r\n" HOST "\r\n", "GET /a?b?c;");
    assert_reads("GET / HTTP/1.0\r\n\r\n", "GET / close 1.0;");
    assert_reads("\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n\r\n", "GET /;");
}

static void test_http_every_method(void **state)
{
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        char stream[100];
        char expected[100];
        sprintf(stream, "%s /x HTTP/1.1\r\n" HOST "\r\n", METHODS[i]);
        sprintf(expected, "%s /x;", METHODS[i]);
        assert_reads(stream, expected);
    }
    assert_reads("PATCH /x HTTP/1.1\r\n" HOST "\r\n", "OTHER /x;");
    assert_reads("M-SEARCH /x HTTP/1.1\r\n" HOST "\r\n", "OTHER /x;");
    assert_malformed("CONNECT h:80 HTTP/1.1\r\n" HOST "\r\n");
    assert_malformed("get / HTTP/1.1\r\n" HOST "\r\n");
    assert_malformed("NONSENSE / HTTP/1.1\r\n" HOST "\r\n");
    assert_malformed("G@T / HTTP/1.1\r\n" HOST "\r\n");
}

static void test_http_header_values_are_trimmed(void **state)
{
    (void)state;
    assert_reads("GET / HTTP/1.1\r\n" HOST "A:b\r\nC: \t d e \t \r\nEmpty:\r\nBlank:  \r\n"
                 "Last: \xc3\xa9\r\n\r\n",
                 "GET / A=b C=d e Empty= Blank= Last=\xc3\xa9;");
    assert_reads("GET / HTTP/1.1\r\n" HOST "Empty:\r\n\r\n", "GET / Empty=;");
    assert_reads("GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET /;");
}

static void test_http_keep_alive(void **state)
{
    (void)state;
    assert_reads("GET / HTTP/1.1\r\n" HOST "Connection: Close\r\n\r\n",
                 "GET / Connection=Close close;");
    assert_reads("GET / HTTP/1.1\r\n" HOST "Connection: x, close\r\n\r\n",
                 "GET / Connection=x, close close;");
    assert_reads("GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n",
                 "GET / Connection=closed;");
    assert_reads("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
                 "GET / Connection=Keep-Alive 1.0;");
}

static void test_http_pipelined_requests(void **state)
{
    (void)state;
    assert_reads("GET /1 HTTP/1.1\r\n" HOST "\r\n"
                 "POST /2 HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"
                 "\r\nGET /3 HTTP/1.1\r\n" HOST "\r\n"
                 "POST /4 HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"
                 "GET /5 HTTP/1.1\r\n" HOST "\r\n",
                 "GET /1;POST /2 Content-Length=3 <abc>;GET /3;POST /4 Content-Length=0;GET /5;");
}

static void test_http_targets(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *expected;
    } CASES[] = {
        {"GET http://h/a/b?c=d HTTP/1.1", "GET /a/b?c=d;"},
        {"GET HTTPS://h:8443 HTTP/1.1", "GET /;"},
        {"GET http://h?c HTTP/1.1", "GET /?c;"},
        {"GET http://h/ HTTP/1.1", "GET /;"},
        {"OPTIONS * HTTP/1.1", "OPTIONS *;"},
        {"GET //a//b HTTP/1.1", "GET //a//b;"},
        {"GET * HTTP/1.1", "E1"},
        {"OPTIONS *x HTTP/1.1", "E1"},
        {"GET http:///a HTTP/1.1", "E1"},
        {"GET ftp://h/a HTTP/1.1", "E1"},
        {"GET h:80 HTTP/1.1", "E1"},
        {"GET a/b HTTP/1.1", "E1"},
        {"GET ?a HTTP/1.1", "E1"},
        {"GET /a#b HTTP/1.1", "E1"},
        {"GET /a\x80 HTTP/1.1", "E1"},
        {"GET /a\x7f HTTP/1.1", "E1"},
        {"GET /a\tb HTTP/1.1", "E1"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char stream[200];
        sprintf(stream, "%s\r\n" HOST "\r\n", CASES[i].line);
        assert_reads(stream, CASES[i].expected);
    }
}

static void test_http_versions(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *expected;
    } CASES[] = {
        {"GET / HTTP/2.0", "E5"},
        {"GET / HTTP/0.9", "E5"},
        {"GET / HTTP/1.2", "E5"},
        {"GET / HTTP/9.9", "E5"},
        {"GET / HTTP/1.10", "E1"},
        {"GET / HTTP/11.1", "E1"},
        {"GET / http/1.1", "E1"},
        {"GET / HTTP/1", "E1"},
        {"GET /", "E1"},
        {"GET / HTTP/1.1 ", "E1"},
        {"GET  / HTTP/1.1", "E1"},
        {"GET /  HTTP/1.1", "E1"},
        {" GET / HTTP/1.1", "E1"},
        {"GET / HTTPX1.1", "E1"},
        {"GET / HTTP/1.x", "E1"},
        {"PRI * HTTP/2.0", "E5"},
        {"GET", "E1"},
        {"GET / x HTTP/1.1", "E1"},
        {"GET / HTTP/1.1\tx", "E1"},
        {"/ HTTP/1.1", "E1"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char stream[200];
        sprintf(stream, "%s\r\n" HOST "\r\n", CASES[i].line);
        assert_reads(stream, CASES[i].expected);
    }
}

// ---- Malformed heads

static void test_http_lines_end_with_crlf_alone(void **state)
{
    (void)state;
    assert_malformed("GET / HTTP/1.1\n" HOST "\r\n");
    assert_malformed("GET / HTTP/1.1\r\nHost: h\n\r\n");
    assert_malformed("GET / HTTP/1.1\r\n" HOST "\n");
    assert_malformed("GET / HTTP/1.1\r\n" HOST "\rGET");
    assert_malformed("GET / HTTP/1.1\r" HOST "\r\n");
    assert_malformed("GET / HTTP/1.1\r\nHost: h\rx\r\n\r\n");
    assert_malformed("\nGET / HTTP/1.1\r\n" HOST "\r\n");
    assert_malformed("\rGET / HTTP/1.1\r\n" HOST "\r\n");
}

static void test_http_control_characters_are_refused_everywhere(void **state)
{
    (void)state;
    static const char *const FORMS[] = {
        "GET /a@b HTTP/1.1\r\n" HOST "\r\n",
        "GET / HTTP/1.1\r\n" HOST "Na@me: x\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Name: a@b\r\n\r\n",
    };
    for (size_t form = 0; form < 3; form++) {
        for (int c = 0; c < 0x20; c++) {
            char stream[100];
            size_t size = strlen(FORMS[form]);
            memcpy(stream, FORMS[form], size);
            *(char *)memchr(stream, '@', size) = (char)c;
            if (c != '\t' || form < 2)
                assert_reads_bytes(stream, size, "E1");
        }
    }
    assert_reads("GET / HTTP/1.1\r\n" HOST "Name: a\tb\r\n\r\n", "GET / Name=a\tb;");
    assert_malformed("GET / HTTP/1.1\r\n" HOST "Name: a\x7f\r\n\r\n");
}

static void test_http_field_lines_are_checked(void **state)
{
    (void)state;
    assert_malformed("GET / HTTP/1.1\r\n" HOST "Name : x\r\n\r\n");
    assert_malformed("GET / HTTP/1.1\r\n" HOST "Name\t: x\r\n\r\n");
    assert_malformed("GET / HTTP/1.1\r\n" HOST "Na me: x\r\n\r\n");
    assert_malformed("GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n");
    assert_malformed("GET / HTTP/1.1\r\n" HOST "Name\r\n\r\n");
    assert_malformed("GET / HTTP/1.1\r\n" HOST "Name: x\r\n folded\r\n\r\n");
    assert_malformed("GET / HTTP/1.1\r\n" HOST "Name: x\r\n\tfolded\r\n\r\n");
    assert_malformed("GET / HTTP/1.1\r\n folded\r\n" HOST "\r\n");
    assert_malformed("GET / HTTP/1.1\r\n" HOST "Na\"me: x\r\n\r\n");
    assert_malformed("GET / HTTP/1.1\r\n" HOST "N\xc3\xa9: x\r\n\r\n");
}

static void test_http_host_is_demanded_once(void **state)
{
    (void)state;
    assert_malformed("GET / HTTP/1.1\r\n\r\n");
    assert_malformed("GET / HTTP/1.1\r\n" HOST HOST "\r\n");
    assert_malformed("GET / HTTP/1.0\r\n" HOST HOST "\r\n");
}

static void test_http_head_bound(void **state)
{
    (void)state;
    char stream[MAX_HEAD + 50];
    char expected[MAX_HEAD + 50];
    size_t fixed = strlen("GET / HTTP/1.1\r\n" HOST "X: \r\n\r\n");
    for (int extra = 0; extra < 2; extra++) {
        int size = (int)(MAX_HEAD - fixed) + extra;
        char value[MAX_HEAD] = "";
        memset(value, 'v', (size_t)size);
        sprintf(stream, "GET / HTTP/1.1\r\n" HOST "X: %s\r\n\r\n", value);
        sprintf(expected, "GET / X=%s;", value);
        assert_reads(stream, extra == 0 ? expected : "E2");
    }
    // What comes behind the bound is not looked at.
    memset(stream, 'G', MAX_HEAD + 10);
    stream[MAX_HEAD + 10] = '\0';
    assert_reads(stream, "E2");
    stream[MAX_HEAD] = '\x01';
    assert_reads(stream, "E2");
    stream[MAX_HEAD - 1] = '\x01';
    assert_reads(stream, "E1");
}

static void test_http_header_count_bound(void **state)
{
    (void)state;
    assert_reads("GET / HTTP/1.1\r\n" HOST "A:1\r\nA:2\r\nA:3\r\nA:4\r\nA:5\r\nA:6\r\nA:7\r\n\r\n",
                 "GET / A=1 A=2 A=3 A=4 A=5 A=6 A=7;");
    assert_reads("GET / HTTP/1.1\r\n" HOST
                 "A:1\r\nA:2\r\nA:3\r\nA:4\r\nA:5\r\nA:6\r\nA:7\r\nA:8\r\n\r\n",
                 "E2");
}

// ---- Bodies

#define POST "POST /p HTTP/1.1\r\n" HOST

static void test_http_body_by_length(void **state)
{
    (void)state;
    assert_reads(POST "Content-Length: 5\r\n\r\nhello", "POST /p Content-Length=5 <hello>;");
    assert_reads(POST "Content-Length: 005\r\n\r\nhello", "POST /p Content-Length=005 <hello>;");
    assert_reads("GET /p HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi",
                 "GET /p Content-Length=2 <hi>;");
    assert_reads(POST "Content-Length: 5\r\n\r\nhell", "");
}

static void test_http_body_bound(void **state)
{
    (void)state;
    assert_reads(POST "Content-Length: 40\r\n\r\n0123456789012345678901234567890123456789",
                 "POST /p Content-Length=40 <0123456789012345678901234567890123456789>;");
    assert_reads(POST "Content-Length: 41\r\n\r\n", "E3/p");
    assert_reads(POST "Content-Length: 999999999999999999\r\n\r\n", "E3/p");
    assert_reads(POST "Content-Length: 41\r\nExpect: 100-continue\r\n\r\n", "E3/p");
}

static void test_http_body_lengths_are_checked(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "Content-Length: -1",
        "Content-Length: +1",
        "Content-Length: 1x",
        "Content-Length: 0x1",
        "Content-Length: 1 1",
        "Content-Length: 1,1",
        "Content-Length: 1, 1",
        "Content-Length:",
        "Content-Length: 0000000000000000001",
        "Content-Length: 1000000000000000000",
        "Content-Length: 18446744073709551615",
        "Content-Length: 18446744073709551616",
        "Content-Length: 99999999999999999999999",
        "Content-Length: 1\r\nContent-Length: 1",
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 1",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding:",
    };
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        char stream[200];
        sprintf(stream, POST "%s\r\n\r\n", BAD[i]);
        assert_malformed(stream);
    }
    assert_malformed("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

static void assert_reads_chunks(const char *chunks, const char *body)
{
    char stream[1000];
    char expected[200];
    assert_true(strlen(chunks) < 900);
    sprintf(stream, CHUNKED "%sGET /next HTTP/1.1\r\n" HOST "\r\n", chunks);
    sprintf(expected, "POST /p Transfer-Encoding=chunked%s;GET /next;", body);
    assert_reads(stream, expected);
}

static void test_http_chunked_bodies(void **state)
{
    (void)state;
    assert_reads_chunks("0\r\n\r\n", "");
    assert_reads_chunks("5\r\nhello\r\n0\r\n\r\n", " <hello>");
    assert_reads_chunks("3\r\nhel\r\n00002\r\nlo\r\n000\r\n\r\n", " <hello>");
    assert_reads_chunks("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
                        " <01234567890123456789>");
    assert_reads_chunks("2;name=value;\"q\"\r\n\r\n\r\n0;x\r\n\r\n", " <\r\n>");
    assert_reads_chunks("1\r\nx\r\n0\r\nTrailer: dropped\r\nAnother: one\r\n\r\n", " <x>");
    assert_reads(POST "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
                 "POST /p Transfer-Encoding=Chunked;");
}

static void test_http_malformed_chunks(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "\r\n",         "x\r\n",           " 1\r\nx\r\n", "1 \r\nx\r\n",
        "0x1\r\nx\r\n", "-1\r\n",          "1\nx\r\n",    "1\rx\r\n",
        "1\r\nxy\r\n",  "1\r\nx\n",        "1\r\nx\rz",   "1\r\nx0\r\n\r\n",
        ";a\r\n",       "1;a\x01\r\nx",    "1;a\nx",      "0\r\n folded\r\n\r\n",
        "0\r\nBad\r\n", "0\r\nA: b\n\r\n", "0\r\n\rX",    "00000000000000001\r\nx\r\n",
    };
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        char stream[300];
        sprintf(stream, CHUNKED "%s", BAD[i]);
        assert_malformed(stream);
    }
}

static void test_http_chunked_body_bounds(void **state)
{
    (void)state;
    assert_reads_chunks("1e\r\n012345678901234567890123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
                        " <0123456789012345678901234567890123456789>");
    assert_reads(CHUNKED "1e\r\n012345678901234567890123456789\r\nb\r\n", "E3/p");
    assert_reads(CHUNKED "29;\r\n", "E3/p");
    assert_reads(CHUNKED "ffffffffffffffff\r\n", "E3/p");

    // Extensions and trailers together may be as long as a head.
    char padding[MAX_HEAD] = "";
    char stream[1000];
    for (int extra = 0; extra < 2; extra++) {
        memset(padding, 'x', (size_t)(MAX_HEAD - 50 + extra));
        sprintf(stream, "1;%s\r\nx\r\n0\r\nT: %*s\r\n\r\n", padding, 50 - 7, "t");
        if (extra == 0) {
            assert_reads_chunks(stream, " <x>");
            continue;
        }
        char whole[1500];
        sprintf(whole, CHUNKED "%s", stream);
        assert_reads(whole, "E2");
    }
    char large[600];
    sprintf(large, CHUNKED "1;%0*d\r\n", MAX_HEAD + 1, 1);
    assert_reads(large, "E2");
}

// ---- Expectations and upgrades

static void test_http_expect_continue(void **state)
{
    (void)state;
    assert_reads(POST "Content-Length: 2\r\nExpect: 100-Continue\r\n\r\nhi",
                 "continue;POST /p Content-Length=2 Expect=100-Continue <hi>;");
    assert_reads(POST "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n0\r\n\r\n",
                 "continue;POST /p Transfer-Encoding=chunked Expect=100-continue;");
    assert_reads(POST "Expect: 100-continue\r\n\r\n", "POST /p Expect=100-continue;");
    assert_reads(POST "Expect: something\r\n\r\n", "E6");
    assert_reads(POST "Expect: 100-continue\r\nExpect: something\r\n\r\n", "E6");
    assert_reads("POST /p HTTP/1.0\r\nContent-Length: 2\r\nExpect: x\r\n\r\nhi",
                 "POST /p Content-Length=2 Expect=x <hi> close 1.0;");
}

#define UPGRADE "GET /ws HTTP/1.1\r\n" HOST

static void test_http_upgrade_stops_behind_the_request(void **state)
{
    (void)state;
    static const char STREAM[] =
        UPGRADE "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x80\r\n\x01";
    struct http_reader *reader = http_reader_new(&limits);
    size_t consumed;
    assert_int_equal(http_reader_feed(reader, STREAM, sizeof STREAM - 1, &consumed), HTTP_REQUEST);
    assert_int_equal(consumed, sizeof STREAM - 1 - 5);
    assert_true(http_reader_request(reader)->is_upgrade);
    http_reader_destroy(&reader);
}

static void test_http_upgrade_headers(void **state)
{
    (void)state;
    assert_reads(UPGRADE "Connection: upgrade\r\nUpgrade: x\r\n\r\n",
                 "GET /ws Connection=upgrade Upgrade=x upgrade;");
    assert_reads(UPGRADE "Connection: keep-alive\r\nConnection: UPGRADE\r\nUpgrade: x\r\n\r\n",
                 "GET /ws Connection=keep-alive Connection=UPGRADE Upgrade=x upgrade;");
    assert_reads(UPGRADE "Upgrade: x\r\n\r\n", "GET /ws Upgrade=x;");
    assert_reads(UPGRADE "Connection: upgrade\r\n\r\n", "GET /ws Connection=upgrade;");
    assert_reads("GET /ws HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
                 "GET /ws Connection=upgrade Upgrade=x close 1.0;");
    // A body that is announced belongs to the request, and comes before the new protocol.
    assert_reads(POST "Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi",
                 "POST /p Connection=upgrade Upgrade=h2c Content-Length=2 <hi> upgrade;");
}

// ---- The rest

static void test_http_idle(void **state)
{
    (void)state;
    struct http_reader *reader = http_reader_new(&limits);
    size_t consumed;
    assert_true(http_reader_is_idle(reader));
    assert_int_equal(http_reader_feed(reader, "\r\n", 2, &consumed), HTTP_MORE);
    assert_true(http_reader_is_idle(reader));
    assert_int_equal(http_reader_feed(reader, "G", 1, &consumed), HTTP_MORE);
    assert_false(http_reader_is_idle(reader));
    static const char REST[] = "ET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n";
    assert_int_equal(http_reader_feed(reader, REST, sizeof REST - 1, &consumed), HTTP_MORE);
    assert_false(http_reader_is_idle(reader));
    assert_int_equal(http_reader_feed(reader, "x", 1, &consumed), HTTP_REQUEST);
    assert_true(http_reader_is_idle(reader));
    assert_int_equal(http_reader_feed(reader, "", 0, &consumed), HTTP_MORE);
    http_reader_destroy(&reader);
    http_reader_destroy(&reader);
}

static void test_http_without_memory(void **state)
{
    (void)state;
    for (unsigned after = 0; after < 3; after++) {
        faults_fail_allocation_after(after);
        assert_null(http_reader_new(&limits));
        assert_true(faults_stop());
    }
    static const char STREAM[] = POST "Content-Length: 2\r\n\r\nhi";
    for (unsigned after = 0;; after++) {
        struct http_reader *reader = http_reader_new(&limits);
        size_t consumed;
        assert_non_null(reader);
        faults_fail_allocation_after(after);
        enum http_result result = http_reader_feed(reader, STREAM, sizeof STREAM - 1, &consumed);
        bool has_failed = faults_stop();
        assert_int_equal(result, has_failed ? HTTP_E_NOMEM : HTTP_REQUEST);
        http_reader_destroy(&reader);
        if (!has_failed) {
            assert_int_equal(after, 2); // the head and the body
            break;
        }
    }
}

static void test_http_large_heads_within_their_bound(void **state)
{
    (void)state;
    // A megabyte is asked for, 64 KiB are given.
    const struct http_limits large = {.max_head = 1 << 20, .max_headers = 10, .max_body = 10};
    for (size_t size = 65535; size <= 65537; size++) {
        struct http_reader *reader = http_reader_new(&large);
        char *stream = malloc(70000);
        size_t consumed;
        assert_non_null(stream);
        int at = sprintf(stream, "GET / HTTP/1.1\r\n" HOST "X: ");
        memset(stream + at, 'x', size - (size_t)at - 4);
        memcpy(stream + size - 4, "\r\n\r\n", 4);
        assert_int_equal(http_reader_feed(reader, stream, size, &consumed),
                         size <= 65536 ? HTTP_REQUEST : HTTP_E_HEAD_LARGE);
        free(stream);
        http_reader_destroy(&reader);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_simple_requests),
        cmocka_unit_test(test_http_every_method),
        cmocka_unit_test(test_http_header_values_are_trimmed),
        cmocka_unit_test(test_http_keep_alive),
        cmocka_unit_test(test_http_pipelined_requests),
        cmocka_unit_test(test_http_targets),
        cmocka_unit_test(test_http_versions),
        cmocka_unit_test(test_http_lines_end_with_crlf_alone),
        cmocka_unit_test(test_http_control_characters_are_refused_everywhere),
        cmocka_unit_test(test_http_field_lines_are_checked),
        cmocka_unit_test(test_http_host_is_demanded_once),
        cmocka_unit_test(test_http_head_bound),
        cmocka_unit_test(test_http_header_count_bound),
        cmocka_unit_test(test_http_body_by_length),
        cmocka_unit_test(test_http_body_bound),
        cmocka_unit_test(test_http_body_lengths_are_checked),
        cmocka_unit_test(test_http_chunked_bodies),
        cmocka_unit_test(test_http_malformed_chunks),
        cmocka_unit_test(test_http_chunked_body_bounds),
        cmocka_unit_test(test_http_expect_continue),
        cmocka_unit_test(test_http_upgrade_stops_behind_the_request),
        cmocka_unit_test(test_http_upgrade_headers),
        cmocka_unit_test(test_http_idle),
        cmocka_unit_test(test_http_without_memory),
        cmocka_unit_test(test_http_large_heads_within_their_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
