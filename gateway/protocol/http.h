// SPDX-License-Identifier: MIT
// HTTP/1.1 requests (RFC 9110, 9112): a reader that is fed bytes and gives whole requests, and what
// is needed to write responses. Pure (but for the clock behind Date). It stands on http_parser,
// which only http_backend.c knows.
//
// A reader belongs to one connection and one thread; nothing here blocks.
#ifndef TALUS_GATEWAY_PROTOCOL_HTTP_H
#define TALUS_GATEWAY_PROTOCOL_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

enum http_method {
    HTTP_METHOD_GET,
    HTTP_METHOD_HEAD,
    HTTP_METHOD_POST,
    HTTP_METHOD_PUT,
    HTTP_METHOD_DELETE,
    HTTP_METHOD_OPTIONS,
    HTTP_METHOD_OTHER,
};

struct http_limits {
    size_t max_head;      // bytes of request line and headers together, at most 64 KiB (more counts
                          // as that); also of chunk extensions and trailers. Default 16 KiB
    unsigned max_headers; // default 100
    size_t max_body;      // bytes
};

struct http_header {
    const char *name;  // NUL-terminated, as sent
    const char *value; // NUL-terminated, trimmed
};

// A whole request. Borrowed from the reader until the next call with it.
struct http_request {
    enum http_method method;
    const char *path; // NUL-terminated, percent-encoding untouched, without the query; "/" at least
    const char *query; // what follows '?', "" if nothing
    const struct http_header *headers;
    unsigned header_count;
    const uint8_t *body;
    size_t body_size;
    bool is_oversized;     // the body is larger than allowed, and not given
    bool expects_continue; // the client waits for `100 Continue` before it sends the body
    unsigned minor;        // HTTP/1.minor
    bool keep_alive;       // what the client asks of the connection after the response
    bool is_upgrade; // `Connection: upgrade` with an `Upgrade` header (not in HTTP/1.0): if it is
                     // granted, what follows the request, body included, is not HTTP
};

enum http_result {
    HTTP_MORE = 0,           // all bytes were consumed; more are needed
    HTTP_REQUEST = 1,        // a request is whole; `consumed` says where the next one begins
    HTTP_CONTINUE = 2,       // the head asks for `100 Continue` before its body: send it, and feed
                             // what was not consumed
    HTTP_E_MALFORMED = -1,   // answer 400 and close
    HTTP_E_HEAD_LARGE = -2,  // answer 431 and close
    HTTP_E_BODY_LARGE = -3,  // answer 413, and close or have the body dropped; the head can be read
    HTTP_E_NOMEM = -4,       // answer 503 and close
    HTTP_E_VERSION = -5,     // not HTTP/1.x: answer 505 and close
    HTTP_E_EXPECTATION = -6, // an Expect that is not 100-continue: answer 417 and close
};

struct http_reader; // heap object, so that idle connections need not have one

// Copies the limits. NULL: out of memory.
struct http_reader *http_reader_new(const struct http_limits *limits);
// NULL-safe through the pointer, which is set to NULL.
void http_reader_destroy(struct http_reader **reader);
// Makes it as good as new, for another connection; keeps a little memory, and nothing of a request.
void http_reader_reset(struct http_reader *reader);

// Feeds `size` bytes. After HTTP_REQUEST, call again with the rest for the next request; after an
// error the reader gives the same error again. Chunked bodies are joined. Empty lines before a
// request are skipped.
// Malformed, where parsers are often lax: a line that does not end with CRLF, folded lines, space
// before a colon, control characters, CONNECT, a target that is neither a path nor an http(s) URL
// (whose path is then taken) nor the `*` of OPTIONS, HTTP/1.1 without or any with two Hosts, two
// Content-Lengths, Transfer-Encoding beside Content-Length or other than `chunked` (smuggling).
enum http_result http_reader_feed(struct http_reader *reader, const void *bytes, size_t size,
                                  size_t *consumed);

// The request after HTTP_REQUEST, or what is known of it: the head, while the body is coming in and
// after HTTP_E_BODY_LARGE.
const struct http_request *http_reader_request(const struct http_reader *reader);

// Whether the head is whole and the body, or what may be left of it, is still to come.
bool http_reader_is_in_body(const struct http_reader *reader);

// While in the body, or after HTTP_E_BODY_LARGE: what is still to come of the body is not kept, and
// HTTP_REQUEST comes, without it, when it is over. False: more than `max` bytes are announced, so
// that the connection had better be closed; HTTP_E_BODY_LARGE (for good) comes if chunks turn out
// to be more.
bool http_reader_drop_body(struct http_reader *reader, size_t max);

// True if no byte of a next request has been fed: the connection is idle.
bool http_reader_is_idle(const struct http_reader *reader);

// The value of a header (name compared without case), or NULL. With several of the name: the first.
const char *http_request_header(const struct http_request *request, const char *name);

// A copy of the request with all that it refers to, in one allocation of *size bytes, to be freed
// with free. NULL: out of memory.
struct http_request *http_request_copy(const struct http_request *request, size_t *size);

// Whether a comma-separated header has `token` (without case), over all headers of that name.
bool http_request_has_token(const struct http_request *request, const char *name,
                            const char *token);

// Decodes parameter `name` of a query string (percent and '+') into `out`, NUL-terminated ("" if
// there is none to give).
// Returns its length; -1: absent; -2: longer than capacity - 1, or badly encoded, or with a NUL.
// With several of the name: the last, as in the reference.
int http_query_get(const char *query, const char *name, char *out, size_t capacity);

// The standard reason phrase ("Not Found"), or "" for an unknown status.
const char *http_status_text(int status);

// Appends a response head: status line, then Date, Content-Length (`body_size`; left out for 204
// and 304), for how many seconds the connection is kept between requests (0: `Connection: close`),
// then `headers` ("Name: value\r\n"…, may be ""), and the empty line. A 1xx head has the status
// line and `headers` alone, so that of a 101 they name the connection's new protocol. Returns false
// if the buffer's bound is met or memory is out; then nothing was appended.
bool http_encode_head(struct tl_buffer *out, int status, unsigned minor, unsigned keep_alive_s,
                      const char *headers, size_t body_size);

#endif
