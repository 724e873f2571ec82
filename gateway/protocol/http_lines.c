// SPDX-License-Identifier: MIT
// One state a place in the grammar; a byte is looked at once.
#include "gateway/protocol/http_lines.h"

#include <string.h>

enum state {
    REQUEST_LINE,
    LINE_END,   // the CR of a line came
    LINE_START, // of a field line, or the empty line
    FIELD_NAME,
    FIELD_VALUE,
    LAST_END, // the CR of the empty line came
    DONE,
    BAD,
};

void http_lines_init(struct http_lines *lines, bool has_request_line)
{
    lines->state = has_request_line ? REQUEST_LINE : LINE_START;
}

bool http_is_token_char(uint8_t c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_value_char(uint8_t c)
{
    return c == '\t' || (c >= ' ' && c != 0x7f);
}

static enum state next_state(enum state state, uint8_t c)
{
    switch (state) {
    case REQUEST_LINE:
        if (c == '\r')
            return LINE_END;
        return c >= ' ' && c < 0x7f ? REQUEST_LINE : BAD;
    case LINE_END:
        return c == '\n' ? LINE_START : BAD;
    case LINE_START:
        if (c == '\r')
            return LAST_END;
        return http_is_token_char(c) ? FIELD_NAME : BAD; // a space here would fold the line
    case FIELD_NAME:
        if (c == ':')
            return FIELD_VALUE;
        return http_is_token_char(c) ? FIELD_NAME : BAD;
    case FIELD_VALUE:
        if (c == '\r')
            return LINE_END;
        return is_value_char(c) ? FIELD_VALUE : BAD;
    case LAST_END:
        return c == '\n' ? DONE : BAD;
    case DONE:
    case BAD:
        break;
    }
    return BAD;
}

enum http_lines_result http_lines_feed(struct http_lines *lines, const uint8_t *bytes, size_t size,
                                       size_t *consumed)
{
    enum state state = lines->state;
    size_t at = 0;
    while (at < size && state != DONE && state != BAD)
        state = next_state(state, bytes[at++]);
    lines->state = (uint8_t)state;
    *consumed = at;
    return state == DONE ? HTTP_LINES_END : state == BAD ? HTTP_LINES_BAD : HTTP_LINES_MORE;
}
