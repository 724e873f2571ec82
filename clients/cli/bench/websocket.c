// SPDX-License-Identifier: MIT
// The WebSocket transport of the bench's clients: one handshake, then frames.
#include <stdio.h>
#include <string.h>

#include "clients/cli/bench/fleet.h"

static bool start(fleet_t *fleet, client_t *client)
{
    char request[512];
    const target_t *target = fleet->target;
    int size = snprintf(request, sizeof(request),
                        "GET %s?EIO=4&transport=websocket HTTP/1.1\r\nHost: %s\r\n"
                        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                        "Sec-WebSocket-Version: 13\r\n\r\n",
                        target->path, target->host);
    return fleet_write(fleet, client, request, (size_t)size);
}

static bool send_frame(fleet_t *fleet, client_t *client, unsigned opcode, const char *payload,
                       size_t size)
{
    char frame[CLIENT_OUTBOX_MAX + FRAME_HEADER_MAX];
    return fleet_write(fleet, client, frame, frame_write(frame, opcode, payload, size));
}

static bool send_packet(fleet_t *fleet, client_t *client, const char *packet, size_t size)
{
    return send_frame(fleet, client, FRAME_TEXT, packet, size);
}

// The answer to the handshake. Returns its size; 0: it is not whole; -1: failed.
static ptrdiff_t consume_handshake(fleet_t *fleet, client_t *client, const char *bytes, size_t size)
{
    static const char accepted[] = "HTTP/1.1 101 ";
    const char *end = memmem(bytes, size, "\r\n\r\n", 4);
    if (!end)
        return 0;
    if (strncmp(bytes, accepted, sizeof(accepted) - 1) != 0) {
        const char *line_end = memchr(bytes, '\r', size);
        fleet_fail(fleet, client, "no WebSocket: %.*s", (int)(line_end - bytes), bytes);
        return -1;
    }
    return end + 4 - bytes;
}

static void on_frame(fleet_t *fleet, client_t *client, const frame_t *frame)
{
    if (frame->opcode == FRAME_TEXT)
        fleet_on_packet(fleet, client, frame->payload, frame->size);
    else if (frame->opcode == FRAME_CLOSE)
        fleet_fail(fleet, client, "the server closed the WebSocket: %.*s",
                   frame->size > 2 ? (int)frame->size - 2 : 0, frame->payload + 2);
    else if (frame->opcode == FRAME_PING && frame->size < 126)
        send_frame(fleet, client, FRAME_PONG, frame->payload, frame->size);
    else
        fleet->counts.others++;
}

static ptrdiff_t consume(fleet_t *fleet, client_t *client, const char *bytes, size_t size)
{
    size_t at = 0;
    frame_t frame;
    // Nothing but the handshake's answer starts with a letter: the first byte of a frame is 0x80
    // and above.
    if (client->state == CLIENT_OPENING && size > 0 && bytes[0] == 'H') {
        ptrdiff_t head = consume_handshake(fleet, client, bytes, size);
        if (head <= 0)
            return head;
        at = (size_t)head;
    }
    while (client->state != CLIENT_GONE) {
        int found = frame_read(bytes + at, size - at, &frame);
        if (found < 0) {
            fleet_fail(fleet, client, "the server sends no WebSocket frames");
            return -1;
        }
        if (found == 0)
            break;
        on_frame(fleet, client, &frame);
        at += frame.total;
    }
    return (ptrdiff_t)at;
}

static void fini(client_t *client)
{
    (void)client;
}

const transport_t websocket_transport = {
    .name = "websocket",
    .start = start,
    .consume = consume,
    .send = send_packet,
    .fini = fini,
};
