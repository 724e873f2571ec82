// SPDX-License-Identifier: MIT
// WebSocket frames, both ways. Each stream of client frames is decoded whole, a byte at a time, and
// cut in two at every place; what came out is written down as text, which must always be the same.
#include "tests/common/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/protocol/ws.h"
#include "tests/common/faults.h"

enum { MAX_MESSAGE = 1000 };

// ---- Client frames

static struct tl_buffer stream;

static void put_head(uint8_t first, bool is_masked, uint64_t size, unsigned length_bytes)
{
    uint8_t head[10] = {first, (uint8_t)(is_masked ? 0x80 : 0)};
    head[1] |= (uint8_t)(length_bytes == 0 ? size : length_bytes == 2 ? 126 : 127);
    for (unsigned i = 0; i < length_bytes; i++)
        head[2 + i] = (uint8_t)(size >> 8 * (length_bytes - 1 - i));
    assert_true(tl_buffer_append(&stream, head, 2 + length_bytes));
}

static void put_masked(const void *payload, size_t size)
{
    static const uint8_t MASK[4] = {0x37, 0xfa, 0x21, 0x3d};
    assert_true(tl_buffer_append(&stream, MASK, sizeof MASK));
    for (size_t i = 0; i < size; i++) {
        const uint8_t byte = ((const uint8_t *)payload)[i] ^ MASK[i % 4];
        assert_true(tl_buffer_append(&stream, &byte, 1));
    }
}

static void put_bytes(uint8_t first, const void *payload, size_t size)
{
    put_head(first, true, size, size <= 125 ? 0 : size <= UINT16_MAX ? 2 : 8);
    put_masked(payload, size);
}

static void put(uint8_t first, const char *payload)
{
    put_bytes(first, payload, strlen(payload));
}

enum {
    FIN = 0x80,
    TEXT = 0x1,
    BINARY = 0x2,
    CONTINUATION = 0x0,
    CLOSE = 0x8,
    PING = 0x9,
    PONG = 0xa
};

// ---- Decoding

static void describe_message(const struct ws_message *message, struct tl_buffer *out)
{
    static const char NAMES[16] = {
        [WS_TEXT] = 'T', [WS_BINARY] = 'B', [WS_CLOSE] = 'C', [WS_PING] = 'P', [WS_PONG] = 'O'};
    assert_true(tl_buffer_append_format(out, "%c", NAMES[message->opcode]));
    if (message->opcode == WS_CLOSE)
        assert_true(tl_buffer_append_format(out, "%u", message->close_code));
    assert_true(tl_buffer_append_format(out, "%zu:", message->size));
    assert_true(tl_buffer_append(out, message->bytes, message->size));
    assert_true(tl_buffer_append_text(out, " "));
}

// Feeds one piece until it is used up. False: the decoder failed.
static bool feed(struct ws_decoder *decoder, uint8_t *bytes, size_t size, struct tl_buffer *out)
{
    for (;;) {
        size_t consumed = size + 1;
        struct ws_message message;
        enum ws_result result = ws_decoder_feed(decoder, bytes, size, &consumed, &message);
        assert_true(consumed <= size);
        if (result == WS_MORE) {
            assert_int_equal(consumed, size);
            return true;
        }
        if (result == WS_ERROR) {
            assert_true(tl_buffer_append_format(out, "E%u", decoder->error));
            assert_int_equal(ws_decoder_feed(decoder, bytes, size, &consumed, &message), WS_ERROR);
            return false;
        }
        describe_message(&message, out);
        bytes += consumed;
        size -= consumed;
    }
}

// Decodes the stream in pieces that end at `cut` and then every `step` bytes.
static void decode(size_t cut, size_t step, struct tl_buffer *out)
{
    struct ws_decoder decoder;
    ws_decoder_init(&decoder, MAX_MESSAGE);
    tl_buffer_clear(out);
    for (size_t at = 0; at < stream.size;) {
        size_t end = at < cut ? cut : at + step < stream.size ? at + step : stream.size;
        // Each piece in memory of its own size, so that the sanitizer sees a byte too many.
        uint8_t *piece = malloc(end - at);
        assert_non_null(piece);
        memcpy(piece, stream.bytes + at, end - at);
        bool is_good = feed(&decoder, piece, end - at, out);
        free(piece);
        if (!is_good)
            break;
        at = end;
    }
    assert_true(tl_buffer_append(out, "", 1));
    ws_decoder_fini(&decoder);
}

static void assert_decodes(const char *expected)
{
    struct tl_buffer out;
    tl_buffer_init(&out, 100000);
    decode(stream.size, 1, &out);
    assert_string_equal((char *)out.bytes, expected);
    decode(0, 1, &out);
    assert_string_equal((char *)out.bytes, expected);
    for (size_t cut = 1; cut < stream.size; cut++) {
        decode(cut, stream.size, &out);
        assert_string_equal((char *)out.bytes, expected);
    }
    tl_buffer_fini(&out);
    tl_buffer_clear(&stream);
}

// ---- Whole messages

static void test_ws_messages_of_one_frame(void **state)
{
    (void)state;
    put(FIN | TEXT, "hello");
    put(FIN | BINARY, "\xff\xfe");
    put(FIN | TEXT, "");
    put(FIN | BINARY, "");
    put(FIN | PING, "are you there");
    put(FIN | PONG, "");
    put(FIN | TEXT, "na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80");
    assert_decodes("T5:hello B2:\xff\xfe T0: B0: P13:are you there O0: "
                   "T15:na\xc3\xafve \xe2\x82\xac \xf0\x9f\x98\x80 ");
}

static void test_ws_whole_message_is_not_copied(void **state)
{
    (void)state;
    struct ws_decoder decoder;
    struct ws_message message;
    size_t consumed;
    put(FIN | TEXT, "in place");
    ws_decoder_init(&decoder, MAX_MESSAGE);
    assert_int_equal(ws_decoder_feed(&decoder, stream.bytes, stream.size, &consumed, &message),
                     WS_MESSAGE);
    assert_int_equal(consumed, stream.size);
    assert_ptr_equal(message.bytes, stream.bytes + 6);
    assert_null(decoder.message.bytes);
    ws_decoder_fini(&decoder);
    tl_buffer_clear(&stream);
}

static void test_ws_memory_is_freed_after_a_message(void **state)
{
    (void)state;
    struct ws_decoder decoder;
    struct ws_message message;
    size_t consumed;
    put(FIN | TEXT, "in two pieces");
    ws_decoder_init(&decoder, MAX_MESSAGE);
    assert_int_equal(ws_decoder_feed(&decoder, stream.bytes, 9, &consumed, &message), WS_MORE);
    assert_non_null(decoder.message.bytes);
    assert_int_equal(
        ws_decoder_feed(&decoder, stream.bytes + 9, stream.size - 9, &consumed, &message),
        WS_MESSAGE);
    assert_int_equal(ws_decoder_feed(&decoder, NULL, 0, &consumed, &message), WS_MORE);
    assert_null(decoder.message.bytes);
    ws_decoder_fini(&decoder);
    tl_buffer_clear(&stream);
}

static void test_ws_idle_is_between_messages(void **state)
{
    (void)state;
    struct ws_decoder decoder;
    struct ws_message message;
    size_t consumed;
    put(TEXT, "a");
    put(FIN | CONTINUATION, "b");
    ws_decoder_init(&decoder, MAX_MESSAGE);
    assert_true(ws_decoder_is_idle(&decoder));
    for (size_t at = 0; at < stream.size; at++) {
        bool is_last = at + 1 == stream.size;
        assert_int_equal(ws_decoder_feed(&decoder, stream.bytes + at, 1, &consumed, &message),
                         is_last ? WS_MESSAGE : WS_MORE);
        assert_int_equal(ws_decoder_is_idle(&decoder), is_last);
    }
    ws_decoder_fini(&decoder);
    tl_buffer_clear(&stream);

    put(FIN | CLOSE, "");
    ws_decoder_init(&decoder, MAX_MESSAGE);
    assert_int_equal(ws_decoder_feed(&decoder, stream.bytes, stream.size, &consumed, &message),
                     WS_MESSAGE);
    assert_false(ws_decoder_is_idle(&decoder)); // it has to remember that
    ws_decoder_fini(&decoder);
    tl_buffer_clear(&stream);
}

static void test_ws_every_length_and_mask_offset(void **state)
{
    (void)state;
    uint8_t payload[MAX_MESSAGE];
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(i * 31 + 5);
    for (size_t size = 0; size <= sizeof payload; size += size < 300 ? 1 : 50) {
        for (size_t cut = 0; cut < 12; cut++) {
            struct ws_decoder decoder;
            struct ws_message message;
            size_t consumed;
            put_bytes(FIN | BINARY, payload, size);
            ws_decoder_init(&decoder, MAX_MESSAGE);
            size_t first = cut < stream.size ? cut : stream.size - 1;
            assert_int_equal(ws_decoder_feed(&decoder, stream.bytes, first, &consumed, &message),
                             WS_MORE);
            assert_int_equal(ws_decoder_feed(&decoder, stream.bytes + first, stream.size - first,
                                             &consumed, &message),
                             WS_MESSAGE);
            assert_int_equal(message.size, size);
            assert_memory_equal(message.bytes, payload, size);
            ws_decoder_fini(&decoder);
            tl_buffer_clear(&stream);
        }
    }
}

// ---- Fragments

static void test_ws_fragments_with_control_frames_between(void **state)
{
    (void)state;
    put(TEXT, "one ");
    put(FIN | PING, "p");
    put(CONTINUATION, "");
    put(CONTINUATION, "two ");
    put(FIN | PONG, "q");
    put(FIN | CONTINUATION, "three");
    put(BINARY, "");
    put(FIN | CONTINUATION, "");
    put(BINARY, "");
    put(FIN | CONTINUATION, "x");
    put(TEXT, "y");
    put(FIN | CONTINUATION, "");
    put(FIN | TEXT, "last");
    assert_decodes("P1:p O1:q T13:one two three B0: B1:x T1:y T4:last ");
}

static void test_ws_characters_may_be_cut_by_fragments(void **state)
{
    (void)state;
    put(TEXT, "\xf0\x9f");
    put(CONTINUATION, "\x98");
    put(FIN | CONTINUATION, "\x80");
    assert_decodes("T4:\xf0\x9f\x98\x80 ");
}

static void test_ws_order_of_fragments_is_checked(void **state)
{
    (void)state;
    put(FIN | CONTINUATION, "x");
    assert_decodes("E1002");
    put(CONTINUATION, "x");
    assert_decodes("E1002");
    put(TEXT, "x");
    put(FIN | TEXT, "y");
    assert_decodes("E1002");
    put(BINARY, "x");
    put(BINARY, "y");
    assert_decodes("E1002");
    put(FIN | TEXT, "x");
    put(FIN | CONTINUATION, "y");
    assert_decodes("T1:x E1002");
}

// ---- Malformed frames

static void test_ws_unmasked_frames_are_refused(void **state)
{
    (void)state;
    put_head(FIN | TEXT, false, 1, 0);
    assert_true(tl_buffer_append_text(&stream, "x"));
    assert_decodes("E1002");
}

static void test_ws_reserved_bits_and_opcodes_are_refused(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        static const char *const EXPECTED[16] = {
            [WS_TEXT] = "T1:x ", [WS_BINARY] = "B1:x ", [WS_PING] = "P1:x ", [WS_PONG] = "O1:x "};
        const char *expected = (first & 0xf0) == FIN ? EXPECTED[first & 0xf] : NULL;
        if (first == TEXT || first == BINARY)
            expected = ""; // an unfinished message
        put((uint8_t)first, "x");
        assert_decodes(expected ? expected : "E1002");
    }
}

static void test_ws_control_frames_are_whole_and_small(void **state)
{
    (void)state;
    static const uint8_t CONTROLS[] = {CLOSE, PING, PONG};
    for (size_t i = 0; i < sizeof CONTROLS; i++) {
        put(CONTROLS[i], "");
        assert_decodes("E1002");
        put_head(FIN | CONTROLS[i], true, 126, 2);
        assert_decodes("E1002");
    }
    char full[126] = "";
    memset(full, 'x', 125);
    char expected[200];
    sprintf(expected, "P125:%s ", full);
    put(FIN | PING, full);
    assert_decodes(expected);
}

static void test_ws_lengths_are_written_in_the_shortest_form(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        unsigned length_bytes;
        const char *expected;
    } CASES[] = {
        {0, 2, "E1002"},
        {125, 2, "E1002"},
        {126, 2, ""},
        {126, 8, "E1002"},
        {65535, 8, "E1002"},
        {65536, 8, "E1009"},
        {INT64_MAX, 8, "E1009"},
        {UINT64_C(1) << 63, 8, "E1002"},
        {UINT64_MAX, 8, "E1002"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        put_head(FIN | BINARY, true, CASES[i].size, CASES[i].length_bytes);
        put_masked("", 0);
        assert_decodes(CASES[i].expected);
    }
}

// ---- The bound

static void test_ws_message_bound(void **state)
{
    (void)state;
    char text[MAX_MESSAGE + 2] = "";
    memset(text, 'a', MAX_MESSAGE);
    char expected[MAX_MESSAGE + 20];
    sprintf(expected, "T%d:%s ", MAX_MESSAGE, text);
    put(FIN | TEXT, text);
    assert_decodes(expected);

    put(TEXT, "");
    put_bytes(CONTINUATION, text, MAX_MESSAGE - 1);
    put(FIN | CONTINUATION, "a");
    assert_decodes(expected);

    text[MAX_MESSAGE] = 'a';
    put(FIN | TEXT, text);
    assert_decodes("E1009");
    put_bytes(TEXT, text, MAX_MESSAGE);
    put(FIN | CONTINUATION, "a");
    assert_decodes("E1009");
    // It is enough that the header says so.
    put_head(FIN | TEXT, true, MAX_MESSAGE + 1, 2);
    put_masked("", 0);
    assert_decodes("E1009");
}

// ---- Text

static void test_ws_text_is_checked(void **state)
{
    (void)state;
    static const char *const BAD[] = {"\xff", "ok \xc3", "\xed\xa0\x80", "\xc0\xaf", "a\x80"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        put(FIN | TEXT, BAD[i]);
        assert_decodes("E1007");
    }
    put(TEXT, "\xe2\x82");
    put(FIN | CONTINUATION, "x");
    assert_decodes("E1007");
    put(TEXT, "\xe2\x82");
    put(FIN | CONTINUATION, "");
    assert_decodes("E1007");
    put(FIN | BINARY, "\xff");
    assert_decodes("B1:\xff ");
}

// ---- Close

static void test_ws_close_frames(void **state)
{
    (void)state;
    put(FIN | CLOSE, "");
    put(FIN | TEXT, "after it, nothing counts");
    assert_decodes("C10050: ");
    put(FIN | CLOSE, "\x03\xe8");
    assert_decodes("C10000: ");
    put(FIN | CLOSE, "\x0f\xa0good bye");
    assert_decodes("C40008:good bye ");
    put(TEXT, "unfinished");
    put(FIN | CLOSE, "\x03\xe9");
    assert_decodes("C10010: ");
    put(FIN | CLOSE, "\x03");
    assert_decodes("E1002");
    put(FIN | CLOSE, "\x03\xe8\xff");
    assert_decodes("E1007");
}

static void test_ws_close_codes(void **state)
{
    (void)state;
    for (unsigned code = 256; code < 65536; code++) {
        bool is_valid = (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) ||
                        (code >= 3000 && code < 5000);
        const uint8_t payload[] = {(uint8_t)(code >> 8), (uint8_t)code};
        struct ws_decoder decoder;
        struct ws_message message;
        size_t consumed;
        put_bytes(FIN | CLOSE, payload, 2);
        ws_decoder_init(&decoder, MAX_MESSAGE);
        enum ws_result result =
            ws_decoder_feed(&decoder, stream.bytes, stream.size, &consumed, &message);
        assert_int_equal(result, is_valid ? WS_MESSAGE : WS_ERROR);
        assert_int_equal(is_valid ? message.close_code : decoder.error, is_valid ? code : 1002);
        ws_decoder_fini(&decoder);
        tl_buffer_clear(&stream);
    }
}

static void test_ws_without_memory_is_an_error(void **state)
{
    (void)state;
    struct ws_decoder decoder;
    struct ws_message message;
    size_t consumed;
    put(TEXT, "first half");
    ws_decoder_init(&decoder, MAX_MESSAGE);
    faults_fail_allocation_after(0);
    assert_int_equal(ws_decoder_feed(&decoder, stream.bytes, stream.size, &consumed, &message),
                     WS_ERROR);
    assert_true(faults_stop());
    assert_int_equal(decoder.error, WS_CLOSE_INTERNAL);
    ws_decoder_fini(&decoder);
    tl_buffer_clear(&stream);
}

// ---- Server frames

static void test_ws_server_frames_split(void **state)
{
    (void)state;
    static const size_t SIZES[] = {0, 1, 125, 126, 65535, 65536, 70000};
    static const size_t HEADERS[] = {2, 2, 2, 4, 4, 10, 10};
    uint8_t *payload = calloc(1, 70000);
    assert_non_null(payload);
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        struct tl_buffer out;
        enum ws_opcode opcode;
        const uint8_t *found;
        size_t found_size;
        uint8_t header[WS_HEADER_MAX];
        tl_buffer_init(&out, SIZES[i] + HEADERS[i]);
        assert_int_equal(ws_encode_header(header, WS_BINARY, SIZES[i]), HEADERS[i]);
        assert_true(ws_append_frame(&out, WS_BINARY, payload, SIZES[i]));
        assert_int_equal(out.size, SIZES[i] + HEADERS[i]);
        assert_memory_equal(out.bytes, header, HEADERS[i]);
        assert_int_equal(ws_split_server_frame(out.bytes, out.size, &opcode, &found, &found_size),
                         out.size);
        assert_int_equal(opcode, WS_BINARY);
        assert_int_equal(found_size, SIZES[i]);
        assert_ptr_equal(found, out.bytes + HEADERS[i]);
        for (size_t cut = 0; cut < out.size && cut < 20; cut++)
            assert_int_equal(ws_split_server_frame(out.bytes, cut, &opcode, &found, &found_size),
                             0);
        assert_false(ws_append_frame(&out, WS_BINARY, payload, 0));
        tl_buffer_fini(&out);
    }
    free(payload);
}

static void test_ws_encode_close(void **state)
{
    (void)state;
    uint8_t frame[WS_CLOSE_FRAME_MAX];
    assert_int_equal(ws_encode_close(frame, WS_CLOSE_NO_STATUS, "ignored"), 2);
    assert_memory_equal(frame, "\x88\x00", 2);
    assert_int_equal(ws_encode_close(frame, WS_CLOSE_PROTOCOL, NULL), 4);
    assert_memory_equal(frame, "\x88\x02\x03\xea", 4);
    assert_int_equal(ws_encode_close(frame, WS_CLOSE_GOING_AWAY, "bye"), 7);
    assert_memory_equal(frame,
                        "\x88\x05\x03\xe9"
                        "bye",
                        7);

    char reason[130];
    memset(reason, 'r', sizeof reason);
    reason[123] = '\0';
    assert_int_equal(ws_encode_close(frame, WS_CLOSE_NORMAL, reason), 127);
    reason[123] = 'r';
    reason[129] = '\0';
    assert_int_equal(ws_encode_close(frame, WS_CLOSE_NORMAL, reason), 127);
    // The cut does not go through a character.
    memcpy(reason + 121, "\xe2\x82\xac", 3);
    assert_int_equal(ws_encode_close(frame, WS_CLOSE_NORMAL, reason), 125);
}

// ---- The opening handshake

static void test_ws_accept_of_the_rfc(void **state)
{
    (void)state;
    char accept[WS_ACCEPT_SIZE];
    assert_true(ws_accept("dGhlIHNhbXBsZSBub25jZQ==", accept));
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void test_ws_keys(void **state)
{
    (void)state;
    assert_true(ws_is_key("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_true(ws_is_key("+/+/+/+/+/+/+/+/+/+/+A=="));
    static const char *const BAD[] = {
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25j-Q==",
        "dGhlIHNhbXBsZSBub25jZQ=A",
        "dGhlIHNhbXBs SBub25jZQ==",
        "dGhlIHNhbXBsZSBub25jZQQQ",
    };
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        assert_false(ws_is_key(BAD[i]));
}

static int setup(void **state)
{
    (void)state;
    tl_buffer_init(&stream, 1000000);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tl_buffer_fini(&stream);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ws_messages_of_one_frame),
        cmocka_unit_test(test_ws_whole_message_is_not_copied),
        cmocka_unit_test(test_ws_memory_is_freed_after_a_message),
        cmocka_unit_test(test_ws_idle_is_between_messages),
        cmocka_unit_test(test_ws_every_length_and_mask_offset),
        cmocka_unit_test(test_ws_fragments_with_control_frames_between),
        cmocka_unit_test(test_ws_characters_may_be_cut_by_fragments),
        cmocka_unit_test(test_ws_order_of_fragments_is_checked),
        cmocka_unit_test(test_ws_unmasked_frames_are_refused),
        cmocka_unit_test(test_ws_reserved_bits_and_opcodes_are_refused),
        cmocka_unit_test(test_ws_control_frames_are_whole_and_small),
        cmocka_unit_test(test_ws_lengths_are_written_in_the_shortest_form),
        cmocka_unit_test(test_ws_message_bound),
        cmocka_unit_test(test_ws_text_is_checked),
        cmocka_unit_test(test_ws_close_frames),
        cmocka_unit_test(test_ws_close_codes),
        cmocka_unit_test(test_ws_without_memory_is_an_error),
        cmocka_unit_test(test_ws_server_frames_split),
        cmocka_unit_test(test_ws_encode_close),
        cmocka_unit_test(test_ws_accept_of_the_rfc),
        cmocka_unit_test(test_ws_keys),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
