// SPDX-License-Identifier: MIT
// Socket.IO packets: the input is a run of messages between separators, binary if they start with
// 'b'. What was decoded, written as frames, decodes to what writes the same frames.
#include <string.h>

#include "fuzz_check.h"
#include "gateway/protocol/sio_frames.h"
#include "gateway/protocol/ws.h"

enum { SEPARATOR = 0x1e, MAX_BYTES = 100000 };

static void encode(const struct sio_packet *packet, struct tl_buffer *out)
{
    CHECK(sio_frames_encode(out, packet->type, packet->nsp, packet->id, packet->data,
                            packet->attachments, packet->attachment_count));
}

static void check_round_trip(const struct sio_packet *packet)
{
    struct tl_buffer once;
    struct tl_buffer twice;
    struct sio_decoder *decoder = sio_decoder_new(10 * MAX_BYTES);
    const struct sio_packet *again = NULL;
    CHECK(decoder != NULL);
    tl_buffer_init(&once, SIZE_MAX / 2);
    tl_buffer_init(&twice, SIZE_MAX / 2);
    encode(packet, &once);
    for (size_t at = 0; at < once.size;) {
        enum ws_opcode opcode;
        const uint8_t *payload;
        size_t size;
        size_t frame =
            ws_split_server_frame(once.bytes + at, once.size - at, &opcode, &payload, &size);
        CHECK(frame > 0);
        at += frame;
        size_t mark = opcode == WS_TEXT ? 1 : 0;
        enum sio_result result =
            sio_decoder_feed(decoder, opcode == WS_BINARY, payload + mark, size - mark, &again);
        CHECK(result == (at < once.size ? SIO_MORE : SIO_PACKET));
    }
    encode(again, &twice);
    CHECK(once.size == twice.size && memcmp(once.bytes, twice.bytes, once.size) == 0);
    sio_decoder_destroy(&decoder);
    tl_buffer_fini(&once);
    tl_buffer_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sio_decoder *decoder = sio_decoder_new(MAX_BYTES);
    enum sio_result result = SIO_MORE;
    CHECK(decoder != NULL);
    for (size_t at = 0; at < size && result != SIO_ERROR;) {
        const uint8_t *separator = memchr(data + at, SEPARATOR, size - at);
        size_t message = separator ? (size_t)(separator - data) - at : size - at;
        bool is_binary = message > 0 && data[at] == 'b';
        const struct sio_packet *packet;
        result = sio_decoder_feed(decoder, is_binary, data + at + is_binary, message - is_binary,
                                  &packet);
        CHECK((packet != NULL) == (result == SIO_PACKET));
        if (packet)
            check_round_trip(packet);
        at += message + 1;
    }
    sio_decoder_destroy(&decoder);
    return 0;
}
