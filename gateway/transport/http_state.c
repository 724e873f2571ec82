// SPDX-License-Identifier: MIT
// The states of an HTTP connection, and how it goes to its end from any of them.
#include <assert.h>

#include "gateway/base/log.h"
#include "gateway/transport/http_internal.h"

#define DROP_MAX (8 * 1024 * 1024) // bytes of a body that is not wanted; more: rather close

void http__set_state(struct http_connection *http, enum http_state state)
{
#define TO(to) (1u << HTTP_STATE_##to)
    static const unsigned allowed[] = {
        [HTTP_STATE_READING] = TO(HELD) | TO(UPGRADING) | TO(LAST) | TO(CLOSING),
        [HTTP_STATE_HELD] = TO(UPGRADING) | TO(LAST) | TO(CLOSING),
        [HTTP_STATE_UPGRADING] = TO(LAST) | TO(CLOSING) | TO(UPGRADED),
        [HTTP_STATE_LAST] = TO(ENDING) | TO(CLOSING),
        [HTTP_STATE_ENDING] = TO(CLOSING),
        [HTTP_STATE_CLOSING] = TO(CLOSING),
        [HTTP_STATE_UPGRADED] = 0,
    };
#undef TO
    assert(allowed[http->state] & 1u << state);
    (void)allowed;
#ifndef NDEBUG
    static const char *const names[] = {"reading", "held",    "upgrading", "last",
                                        "ending",  "closing", "upgraded"};
    gw_log(GW_LOG_DEBUG, "http", "%p %s -> %s", (void *)http, names[http->state], names[state]);
#endif
    http->state = (uint8_t)state;
}

void http__begin_closing(struct http_connection *http)
{
    gw_deadline_stop(&http->input);
    gw_deadline_stop(&http->output);
    http__set_state(http, HTTP_STATE_CLOSING);
}

void http__close_hard(struct http_connection *http)
{
    http__begin_closing(http);
    conn_abort(http->conn);
}

bool http__drop_body(struct http_connection *http)
{
    // Whether a client that waited for `100 Continue` sends its body now is its own choice.
    if (http_reader_request(http->reader)->expects_continue ||
        !http_reader_drop_body(http->reader, DROP_MAX))
        return false;
    http->is_dropping = true;
    return true;
}
