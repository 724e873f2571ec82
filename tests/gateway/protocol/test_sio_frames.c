// SPDX-License-Identifier: MIT
// Whole packets as WebSocket frames: split again, and decoded again.
#include "tests/common/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/protocol/sio_frames.h"
#include "gateway/protocol/ws.h"
#include "tests/common/faults.h"

static const struct sio_attachment ATTACHMENTS[] = {
    {(const uint8_t *)"first", 5}, {NULL, 0}, {(const uint8_t *)"\x00\xff", 2}};

// Takes the next frame of `out` and checks it; returns where the one behind it begins.
static size_t assert_frame(const struct tl_buffer *out, size_t at, enum ws_opcode opcode,
                           const void *payload, size_t size)
{
    enum ws_opcode found_opcode;
    const uint8_t *found;
    size_t found_size;
    size_t frame =
        ws_split_server_frame(out->bytes + at, out->size - at, &found_opcode, &found, &found_size);
    uint8_t header[WS_HEADER_MAX];
    assert_int_equal(frame, ws_encode_header(header, opcode, size) + size);
    assert_int_equal(found_opcode, opcode);
    assert_int_equal(found_size, size);
    if (size > 0)
        assert_memory_equal(found, payload, size);
    return at + frame;
}

static size_t assert_text_frame(const struct tl_buffer *out, size_t at, const char *text)
{
    return assert_frame(out, at, WS_TEXT, text, strlen(text));
}

static void test_frames_of_packets_without_attachments(void **state)
{
    (void)state;
    struct tl_buffer out;
    tl_buffer_init(&out, 1000);
    json_t *data = json_pack("[s, i]", "event", 1);
    assert_true(sio_frames_encode(&out, SIO_EVENT, "/", SIO_NO_ID, data, NULL, 0));
    assert_true(sio_frames_encode(&out, SIO_EVENT, "/graph", 12, data, NULL, 0));
    assert_true(sio_frames_encode(&out, SIO_DISCONNECT, "/graph", SIO_NO_ID, NULL, NULL, 0));
    assert_true(sio_frames_encode(&out, SIO_BINARY_ACK, "/", 3, data, NULL, 0));
    size_t at = assert_text_frame(&out, 0, "42[\"event\",1]");
    at = assert_text_frame(&out, at, "42/graph,12[\"event\",1]");
    at = assert_text_frame(&out, at, "41/graph,");
    at = assert_text_frame(&out, at, "433[\"event\",1]");
    assert_int_equal(at, out.size);
    json_decref(data);
    tl_buffer_fini(&out);
}

static void test_frames_of_attachments(void **state)
{
    (void)state;
    struct tl_buffer out;
    tl_buffer_init(&out, 1000);
    json_t *data = json_pack("[s]", "event");
    assert_true(sio_frames_encode(&out, SIO_EVENT, "/graph", SIO_NO_ID, data, ATTACHMENTS, 3));
    assert_true(sio_frames_encode(&out, SIO_BINARY_ACK, "/", 7, data, ATTACHMENTS, 1));
    size_t at = assert_text_frame(&out, 0, "453-/graph,[\"event\"]");
    at = assert_frame(&out, at, WS_BINARY, "first", 5);
    at = assert_frame(&out, at, WS_BINARY, NULL, 0);
    at = assert_frame(&out, at, WS_BINARY, "\x00\xff", 2);
    at = assert_text_frame(&out, at, "461-7[\"event\"]");
    at = assert_frame(&out, at, WS_BINARY, "first", 5);
    assert_int_equal(at, out.size);
    json_decref(data);
    tl_buffer_fini(&out);
}

static void test_frames_of_text_parts(void **state)
{
    (void)state;
    static const struct sio_text PARTS[] = {{"[\"type\",", 8}, {NULL, 0}, {"{}", 2}, {"]", 1}};
    struct tl_buffer out;
    tl_buffer_init(&out, 1000);
    assert_true(
        sio_frames_encode_text(&out, SIO_EVENT, "/graph", SIO_NO_ID, PARTS, 4, ATTACHMENTS, 1));
    assert_true(sio_frames_encode_text(&out, SIO_EVENT, "/", SIO_NO_ID, NULL, 0, NULL, 0));
    size_t at = assert_text_frame(&out, 0, "451-/graph,[\"type\",{}]");
    at = assert_frame(&out, at, WS_BINARY, "first", 5);
    at = assert_text_frame(&out, at, "42");
    assert_int_equal(at, out.size);
    tl_buffer_fini(&out);
}

static void test_frames_at_every_header_size(void **state)
{
    (void)state;
    static const size_t PAYLOADS[] = {2, 3, 124, 125, 126, 127, 65534, 65535, 65536, 65537, 200000};
    for (size_t i = 0; i < sizeof PAYLOADS / sizeof *PAYLOADS; i++) {
        struct tl_buffer out;
        char *payload = malloc(PAYLOADS[i]);
        assert_non_null(payload);
        for (size_t at = 0; at < PAYLOADS[i]; at++)
            payload[at] = (char)('a' + at % 26);
        memcpy(payload, "42", 2);
        const struct sio_text part = {payload + 2, PAYLOADS[i] - 2};
        tl_buffer_init(&out, 300000);
        assert_true(tl_buffer_append_text(&out, "before"));
        assert_true(sio_frames_encode_text(&out, SIO_EVENT, "/", SIO_NO_ID, &part, 1, NULL, 0));
        assert_memory_equal(out.bytes, "before", 6);
        assert_int_equal(assert_frame(&out, 6, WS_TEXT, payload, PAYLOADS[i]), out.size);
        tl_buffer_fini(&out);
        free(payload);
    }
}

static void test_frames_decode_to_the_same_packet(void **state)
{
    (void)state;
    struct tl_buffer out;
    tl_buffer_init(&out, 1000);
    json_t *data = json_pack("[s, {s:b, s:i}, {s:b, s:i}, f]", "event", "_placeholder", 1, "num", 2,
                             "_placeholder", 1, "num", 0, 2.5);
    assert_true(sio_frames_encode(&out, SIO_EVENT, "/graph", 41, data, ATTACHMENTS, 3));

    struct sio_decoder *decoder = sio_decoder_new(1000);
    const struct sio_packet *packet = NULL;
    for (size_t at = 0; at < out.size;) {
        enum ws_opcode opcode;
        const uint8_t *payload;
        size_t size;
        at += ws_split_server_frame(out.bytes + at, out.size - at, &opcode, &payload, &size);
        bool is_binary = opcode == WS_BINARY;
        enum sio_result result =
            sio_decoder_feed(decoder, is_binary, is_binary ? payload : payload + 1,
                             is_binary ? size : size - 1, &packet);
        assert_int_equal(result, at < out.size ? SIO_MORE : SIO_PACKET);
    }
    assert_int_equal(packet->type, SIO_EVENT);
    assert_string_equal(packet->nsp, "/graph");
    assert_int_equal(packet->id, 41);
    assert_true(json_equal(packet->data, data));
    assert_int_equal(packet->attachment_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(packet->attachments[i].size, ATTACHMENTS[i].size);
        if (ATTACHMENTS[i].size > 0)
            assert_memory_equal(packet->attachments[i].bytes, ATTACHMENTS[i].bytes,
                                ATTACHMENTS[i].size);
    }
    sio_decoder_destroy(&decoder);
    json_decref(data);
    tl_buffer_fini(&out);
}

static void test_frames_fail_whole(void **state)
{
    (void)state;
    json_t *data = json_pack("[s]", "event");
    struct tl_buffer out;
    tl_buffer_init(&out, 1000);
    assert_true(sio_frames_encode(&out, SIO_EVENT, "/graph", 1, data, ATTACHMENTS, 3));
    size_t whole = out.size;
    tl_buffer_fini(&out);
    for (size_t max = 4; max < 4 + whole; max++) {
        tl_buffer_init(&out, max);
        assert_true(tl_buffer_append_text(&out, "kept"));
        assert_false(sio_frames_encode(&out, SIO_EVENT, "/graph", 1, data, ATTACHMENTS, 3));
        assert_int_equal(out.size, 4);
        assert_memory_equal(out.bytes, "kept", 4);
        tl_buffer_fini(&out);
    }

    json_t *bad = json_pack("[o]", json_string_nocheck("\xff"));
    tl_buffer_init(&out, 1000);
    assert_false(sio_frames_encode(&out, SIO_EVENT, "/graph", 1, bad, NULL, 0));
    assert_int_equal(out.size, 0);
    tl_buffer_fini(&out);
    json_decref(bad);

    bool has_failed = true;
    for (unsigned after = 0; has_failed; after++) {
        tl_buffer_init(&out, 1000);
        faults_fail_allocation_after(after);
        bool is_done = sio_frames_encode(&out, SIO_EVENT, "/graph", 1, data, ATTACHMENTS, 3);
        has_failed = faults_stop();
        assert_int_equal(is_done, !has_failed);
        assert_int_equal(out.size, is_done ? whole : 0);
        tl_buffer_fini(&out);
    }
    json_decref(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_of_packets_without_attachments),
        cmocka_unit_test(test_frames_of_attachments),
        cmocka_unit_test(test_frames_of_text_parts),
        cmocka_unit_test(test_frames_at_every_header_size),
        cmocka_unit_test(test_frames_decode_to_the_same_packet),
        cmocka_unit_test(test_frames_fail_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
