// SPDX-License-Identifier: MIT
// Polling payloads: what was read, written again, reads as the same packets.
#include <string.h>

#include "common/utf8.h"
#include "fuzz_check.h"
#include "gateway/protocol/eio.h"

static void append_packet(struct tl_buffer *out, const struct eio_packet *packet)
{
    struct tl_buffer text;
    tl_buffer_init(&text, SIZE_MAX / 2);
    const uint8_t type = (uint8_t)packet->type;
    CHECK(packet->is_binary || tl_buffer_append(&text, &type, 1));
    CHECK(tl_buffer_append(&text, packet->bytes, packet->size));
    CHECK(eio_payload_append(out, packet->is_binary, text.bytes, text.size));
    tl_buffer_fini(&text);
}

// Walks a payload and writes it again. Returns how the walk ended.
static int rewrite(const uint8_t *data, size_t size, struct tl_buffer *out)
{
    struct tl_buffer scratch;
    struct eio_packet packet;
    size_t position = 0;
    int result;
    tl_buffer_init(&scratch, SIZE_MAX / 2);
    while ((result = eio_payload_next(data, size, &position, &scratch, &packet)) == 1) {
        CHECK(packet.is_binary || tl_utf8_is_valid(packet.bytes, packet.size));
        append_packet(out, &packet);
    }
    tl_buffer_fini(&scratch);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tl_buffer once;
    struct tl_buffer twice;
    tl_buffer_init(&once, SIZE_MAX / 2);
    tl_buffer_init(&twice, SIZE_MAX / 2);
    rewrite(data, size, &once);
    if (once.size > 0) {
        CHECK(rewrite(once.bytes, once.size, &twice) == 0);
        CHECK(once.size == twice.size && memcmp(once.bytes, twice.bytes, once.size) == 0);
    }
    tl_buffer_fini(&once);
    tl_buffer_fini(&twice);
    return 0;
}
