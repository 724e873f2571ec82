// SPDX-License-Identifier: MIT
#include "clients/cli/bench/packet.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void packet_format_init(packet_format_t *format, const char *name, const char *origin)
{
    assert(strlen(name) <= PACKET_NAMESPACE_MAX && strlen(origin) < sizeof(format->origin));
    format->address[0] = '\0';
    if (strcmp(name, "/") != 0)
        snprintf(format->address, sizeof(format->address), "%s,", name);
    snprintf(format->event, sizeof(format->event),
             "42%s[\"" PACKET_TYPE "\",{\"t\":", format->address);
    snprintf(format->origin, sizeof(format->origin), "%s", origin);
    format->address_size = strlen(format->address);
    format->event_size = strlen(format->event);
    format->origin_size = strlen(format->origin);
}

static bool has_prefix(const char *text, size_t size, const char *prefix, size_t prefix_size)
{
    return size >= prefix_size && memcmp(text, prefix, prefix_size) == 0;
}

// Reads backwards from the end: ORIGIN.NUMBER"]
static bool read_id(const packet_format_t *format, const char *text, size_t size, uint64_t *number)
{
    uint64_t scale = 1, value = 0;
    if (size < 2 || text[size - 1] != ']' || text[size - 2] != '"')
        return false;
    size_t at = size - 2;
    for (; at > 0 && (unsigned)(text[at - 1] - '0') < 10; at--, scale *= 10)
        value += scale * (unsigned)(text[at - 1] - '0');
    *number = value;
    return scale > 1 && at > format->origin_size && text[at - 1] == '.' &&
           memcmp(text + at - 1 - format->origin_size, format->origin, format->origin_size) == 0;
}

static packet_t read_event(const packet_format_t *format, const char *text, size_t size)
{
    packet_t packet = {.kind = PACKET_OTHER};
    uint64_t time = 0;
    for (size_t i = format->event_size; i < size && (unsigned)(text[i] - '0') < 10; i++)
        time = time * 10 + (unsigned)(text[i] - '0');
    if (time >= PACKET_TIME_BASE && read_id(format, text, size, &packet.number)) {
        packet.kind = PACKET_EVENT;
        packet.time = time;
    }
    return packet;
}

static packet_kind_t kind_of_message(const packet_format_t *format, const char *text, size_t size)
{
    static const char joined[] = "[\"joined\"", refused[] = "[\"error\"";
    if (size < 1 || !has_prefix(text + 1, size - 1, format->address, format->address_size))
        return PACKET_OTHER;
    const char *rest = text + 1 + format->address_size;
    size_t left = size - 1 - format->address_size;
    switch (text[0]) {
    case '0':
        return PACKET_CONNECTED;
    case '1':
        return PACKET_CLOSE;
    case '4':
        return PACKET_REFUSED;
    case '2':
        if (has_prefix(rest, left, joined, sizeof(joined) - 1))
            return PACKET_JOINED;
        return has_prefix(rest, left, refused, sizeof(refused) - 1) ? PACKET_REFUSED : PACKET_OTHER;
    default:
        return PACKET_OTHER;
    }
}

packet_t packet_read(const packet_format_t *format, const char *text, size_t size)
{
    if (has_prefix(text, size, format->event, format->event_size))
        return read_event(format, text, size);
    switch (size > 0 ? text[0] : '\0') {
    case '0':
        return (packet_t){.kind = PACKET_OPEN};
    case '1':
        return (packet_t){.kind = PACKET_CLOSE};
    case '2':
        return (packet_t){.kind = PACKET_PING};
    case '4':
        return (packet_t){.kind = kind_of_message(format, text + 1, size - 1)};
    default:
        return (packet_t){.kind = PACKET_OTHER};
    }
}

int frame_read(const char *bytes, size_t size, frame_t *frame)
{
    const unsigned char *head = (const unsigned char *)bytes;
    if (size < 2)
        return 0;
    uint64_t payload = head[1];
    size_t header = payload < 126 ? 2 : payload == 126 ? 4 : 10;
    // The bench's events are never fragmented, compressed or masked.
    if ((head[0] & 0xf0) != 0x80 || payload > 127)
        return -1;
    if (size < header)
        return 0;
    if (header > 2) {
        payload = 0;
        for (size_t i = 2; i < header; i++)
            payload = payload << 8 | head[i];
    }
    if (payload > (uint64_t)1 << 31)
        return -1;
    frame->opcode = head[0] & 0x0f;
    frame->payload = bytes + header;
    frame->size = (size_t)payload;
    frame->total = header + (size_t)payload;
    return size >= frame->total;
}

size_t frame_write(char *out, unsigned opcode, const char *payload, size_t size)
{
    static const unsigned char mask[4] = {0x5a, 0x01, 0xc3, 0x77};
    size_t header = 2;
    assert(size <= 65535);
    out[0] = (char)(0x80 | opcode);
    out[1] = (char)(0x80 | (size < 126 ? size : 126));
    if (size >= 126) {
        out[header++] = (char)(size >> 8);
        out[header++] = (char)size;
    }
    memcpy(out + header, mask, sizeof(mask));
    header += sizeof(mask);
    for (size_t i = 0; i < size; i++)
        out[header + i] = (char)((unsigned char)payload[i] ^ mask[i & 3]);
    return header + size;
}
