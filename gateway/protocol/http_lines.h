// SPDX-License-Identifier: MIT
// Finds the end of a request's head, or of the trailers of a chunked body, and refuses lines that
// RFC 9112 lets no client send. Internal to the HTTP reader.
//
// The parser behind it is laxer (bare line feeds, folded lines, spaces before the colon). After
// this scanner nothing of that is left: every line ends with CRLF, a head holds
// nothing but visible ASCII in its request line, field names are tokens directly before the colon,
// and values have no control characters but tabs.
#ifndef TALUS_GATEWAY_PROTOCOL_HTTP_LINES_H
#define TALUS_GATEWAY_PROTOCOL_HTTP_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_lines {
    uint8_t state;
};

enum http_lines_result {
    HTTP_LINES_MORE, // all bytes belong to it; more are needed
    HTTP_LINES_END,  // the empty line is over
    HTTP_LINES_BAD,
};

// `has_request_line`: a head; else field lines alone, as trailers are.
void http_lines_init(struct http_lines *lines, bool has_request_line);

enum http_lines_result http_lines_feed(struct http_lines *lines, const uint8_t *bytes, size_t size,
                                       size_t *consumed);

// Whether `c` may be in a method or a field name (RFC 9110 section 5.6.2).
bool http_is_token_char(uint8_t c);

#endif
