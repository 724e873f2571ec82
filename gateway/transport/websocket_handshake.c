// SPDX-License-Identifier: MIT
// The opening handshake. No extension is ever agreed to; of the subprotocols the first is, as
// clients that offer some give up without an answer.
#include <string.h>
#include <strings.h>

#include "gateway/protocol/ws.h"
#include "gateway/transport/websocket.h"

static bool is_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static size_t token_size(const char *text)
{
    size_t size = 0;
    while (is_token_char(text[size]))
        size++;
    return size;
}

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

// A comma-separated list of tokens, none of them empty.
static bool is_token_list(const char *text)
{
    for (;;) {
        text = skip_blanks(text);
        size_t size = token_size(text);
        if (size == 0)
            return false;
        text = skip_blanks(text + size);
        if (*text == '\0')
            return true;
        if (*text++ != ',')
            return false;
    }
}

static bool refuse(struct websocket_refusal *refusal, int status, const char *headers,
                   const char *message)
{
    *refusal = (struct websocket_refusal){
        .status = status,
        .headers = headers,
        .message = message,
    };
    return false;
}

bool websocket_check(const struct http_request *request, struct websocket_refusal *refusal)
{
    const char *upgrade = http_request_header(request, "Upgrade");
    const char *key = http_request_header(request, "Sec-WebSocket-Key");
    const char *version = http_request_header(request, "Sec-WebSocket-Version");
    const char *protocols = http_request_header(request, "Sec-WebSocket-Protocol");

    if (request->method != HTTP_METHOD_GET)
        return refuse(refusal, 405, "Allow: GET\r\n", "Invalid HTTP method");
    if (!upgrade || strcasecmp(upgrade, "websocket") != 0)
        return refuse(refusal, 400, "", "Invalid Upgrade header");
    if (!key || !ws_is_key(key))
        return refuse(refusal, 400, "", "Missing or invalid Sec-WebSocket-Key header");
    // Revision 8 of the draft differs from 13 only in what the client calls its Origin.
    if (!version || (strcmp(version, "13") != 0 && strcmp(version, "8") != 0))
        return refuse(refusal, 400, "Sec-WebSocket-Version: 13, 8\r\n",
                      "Missing or invalid Sec-WebSocket-Version header");
    if (protocols && !is_token_list(protocols))
        return refuse(refusal, 400, "", "Invalid Sec-WebSocket-Protocol header");
    return true;
}

static bool append_protocol(const struct http_request *request, struct tl_buffer *out)
{
    const char *protocols = http_request_header(request, "Sec-WebSocket-Protocol");
    if (!protocols)
        return true;
    const char *first = skip_blanks(protocols);
    return tl_buffer_append_text(out, "Sec-WebSocket-Protocol: ") &&
           tl_buffer_append(out, first, token_size(first)) && tl_buffer_append_text(out, "\r\n");
}

bool websocket_append_head(const struct cors *cors, const struct http_request *request,
                           struct tl_buffer *out)
{
    char accept[WS_ACCEPT_SIZE];
    return ws_accept(http_request_header(request, "Sec-WebSocket-Key"), accept) &&
           tl_buffer_append_text(out, "HTTP/1.1 101 Switching Protocols\r\n"
                                      "Upgrade: websocket\r\n"
                                      "Connection: Upgrade\r\n"
                                      "Sec-WebSocket-Accept: ") &&
           tl_buffer_append_text(out, accept) && tl_buffer_append_text(out, "\r\n") &&
           append_protocol(request, out) && cors_append_headers(cors, request, out) &&
           tl_buffer_append_text(out, "\r\n");
}
