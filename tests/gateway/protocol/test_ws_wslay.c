// SPDX-License-Identifier: MIT
// Our WebSocket codec against wslay as the oracle: wslay's client side encodes random frames, which
// we decode from pieces cut at random; our server frames are decoded by wslay. The random numbers
// are a fixed sequence, so a failure can be had again.
#include "tests/common/cmocka_all.h"

#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#include "gateway/protocol/ws.h"

enum { ROUNDS = 300, MESSAGES = 20, MAX_PAYLOAD = 80000 };

static uint64_t seed;

static uint32_t random_below(uint32_t limit)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 33) % limit;
}

// Mostly small, sometimes at the edges of the length encodings.
static size_t random_size(void)
{
    static const size_t EDGES[] = {0, 1, 125, 126, 127, 65535, 65536};
    switch (random_below(8)) {
    case 0:
        return EDGES[random_below(sizeof EDGES / sizeof *EDGES)];
    case 1:
        return random_below(3000);
    default:
        return random_below(60);
    }
}

static void fill(uint8_t *bytes, size_t size, bool is_text)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(is_text ? 'a' + random_below(26) : random_below(256));
}

// ---- wslay on both ends of two buffers

struct wire {
    struct tl_buffer sent; // what wslay wrote
    const uint8_t *inbox;  // what wslay reads
    size_t inbox_size;
    struct tl_buffer expected; // messages in plain form: opcode, size, bytes
    struct tl_buffer got;
};

static void record(struct tl_buffer *out, uint8_t opcode, const uint8_t *bytes, size_t size)
{
    assert_true(tl_buffer_append_format(out, "%u %zu ", opcode, size));
    assert_true(tl_buffer_append(out, bytes, size));
}

static ssize_t on_send(const uint8_t *data, size_t size, int flags, void *arg)
{
    (void)flags;
    struct wire *wire = arg;
    assert_true(tl_buffer_append(&wire->sent, data, size));
    return (ssize_t)size;
}

static int on_mask(uint8_t *mask, size_t size, void *arg)
{
    (void)arg;
    fill(mask, size, false);
    return 0;
}

static ssize_t on_frame_recv(uint8_t *to, size_t size, int flags, void *arg)
{
    (void)flags;
    struct wire *wire = arg;
    size_t part = size < wire->inbox_size ? size : wire->inbox_size;
    if (part == 0)
        return -1;
    memcpy(to, wire->inbox, part);
    wire->inbox += part;
    wire->inbox_size -= part;
    return (ssize_t)part;
}

static void send_frame(wslay_frame_context_ptr frames, uint8_t opcode, bool is_final,
                       const uint8_t *bytes, size_t size)
{
    struct wslay_frame_iocb frame = {
        .fin = is_final,
        .opcode = opcode,
        .payload_length = size,
        .mask = 1,
        .data = bytes,
        .data_length = size,
    };
    assert_int_equal(wslay_frame_send(frames, &frame), size);
}

static void send_control(struct wire *wire, wslay_frame_context_ptr frames)
{
    uint8_t payload[125];
    size_t size = random_below(126);
    uint8_t opcode = random_below(2) ? WS_PING : WS_PONG;
    fill(payload, size, false);
    send_frame(frames, opcode, true, payload, size);
    record(&wire->expected, opcode, payload, size);
}

static void send_message(struct wire *wire, wslay_frame_context_ptr frames, uint8_t *payload)
{
    bool is_text = random_below(2);
    uint8_t opcode = is_text ? WS_TEXT : WS_BINARY;
    size_t size = random_size();
    unsigned fragments = random_below(3) ? 1 : 1 + random_below(5);
    fill(payload, size, is_text);
    for (size_t at = 0; fragments > 0; fragments--) {
        size_t part = fragments == 1 ? size - at : random_below((uint32_t)(size - at + 1));
        send_frame(frames, at == 0 && opcode ? opcode : WS_CONTINUATION, fragments == 1,
                   payload + at, part);
        opcode = WS_CONTINUATION;
        at += part;
        if (fragments > 1 && random_below(3) == 0)
            send_control(wire, frames);
    }
    record(&wire->expected, is_text ? WS_TEXT : WS_BINARY, payload, size);
}

static void decode_in_pieces(struct wire *wire)
{
    struct ws_decoder decoder;
    ws_decoder_init(&decoder, MAX_PAYLOAD);
    uint32_t longest = random_below(4) ? 1 + random_below(2000) : 1 + random_below(8);
    for (size_t at = 0; at < wire->sent.size;) {
        size_t size = 1 + random_below(longest);
        if (size > wire->sent.size - at)
            size = wire->sent.size - at;
        struct ws_message message;
        size_t consumed;
        enum ws_result result;
        while ((result = ws_decoder_feed(&decoder, wire->sent.bytes + at, size, &consumed,
                                         &message)) == WS_MESSAGE) {
            record(&wire->got, message.opcode, message.bytes, message.size);
            at += consumed;
            size -= consumed;
        }
        assert_int_equal(result, WS_MORE);
        at += consumed;
    }
    ws_decoder_fini(&decoder);
}

static void wire_init(struct wire *wire)
{
    memset(wire, 0, sizeof *wire);
    tl_buffer_init(&wire->sent, 100000000);
    tl_buffer_init(&wire->expected, 100000000);
    tl_buffer_init(&wire->got, 100000000);
}

static void wire_fini(struct wire *wire)
{
    tl_buffer_fini(&wire->sent);
    tl_buffer_fini(&wire->expected);
    tl_buffer_fini(&wire->got);
}

static void assert_all_came(const struct wire *wire)
{
    assert_int_equal(wire->got.size, wire->expected.size);
    assert_memory_equal(wire->got.bytes, wire->expected.bytes, wire->got.size);
}

static void test_ws_decodes_what_wslay_encodes(void **state)
{
    (void)state;
    static const struct wslay_frame_callbacks CALLBACKS = {
        .send_callback = on_send, .recv_callback = on_frame_recv, .genmask_callback = on_mask};
    uint8_t *payload = malloc(MAX_PAYLOAD);
    assert_non_null(payload);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct wire wire;
        wslay_frame_context_ptr frames;
        seed = round;
        wire_init(&wire);
        assert_int_equal(wslay_frame_context_init(&frames, &CALLBACKS, &wire), 0);
        for (unsigned i = 0; i < MESSAGES; i++) {
            if (random_below(4) == 0)
                send_control(&wire, frames);
            send_message(&wire, frames, payload);
        }
        decode_in_pieces(&wire);
        assert_all_came(&wire);
        wslay_frame_context_free(frames);
        wire_fini(&wire);
    }
    free(payload);
}

// ---- Server frames into wslay's client

static ssize_t on_event_recv(wslay_event_context_ptr events, uint8_t *to, size_t size, int flags,
                             void *arg)
{
    ssize_t got = on_frame_recv(to, size, flags, arg);
    if (got < 0)
        wslay_event_set_error(events, WSLAY_ERR_WOULDBLOCK);
    return got;
}

static void on_message(wslay_event_context_ptr events,
                       const struct wslay_event_on_msg_recv_arg *message, void *arg)
{
    (void)events;
    struct wire *wire = arg;
    size_t code_size = message->opcode == WS_CLOSE && message->msg_length >= 2 ? 2 : 0;
    if (message->opcode == WS_CLOSE)
        assert_true(tl_buffer_append_format(&wire->got, "%u ", message->status_code));
    record(&wire->got, message->opcode, message->msg + code_size, message->msg_length - code_size);
}

static void test_wslay_decodes_what_ws_encodes(void **state)
{
    (void)state;
    static const struct wslay_event_callbacks CALLBACKS = {.recv_callback = on_event_recv,
                                                           .on_msg_recv_callback = on_message};
    uint8_t *payload = malloc(MAX_PAYLOAD);
    assert_non_null(payload);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct wire wire;
        wslay_event_context_ptr events;
        seed = round;
        wire_init(&wire);
        assert_int_equal(wslay_event_context_client_init(&events, &CALLBACKS, &wire), 0);
        for (unsigned i = 0; i < MESSAGES; i++) {
            static const enum ws_opcode OPCODES[] = {WS_TEXT, WS_BINARY, WS_PING, WS_PONG};
            enum ws_opcode opcode = OPCODES[random_below(4)];
            size_t size = opcode >= WS_CLOSE ? random_below(126) : random_size();
            fill(payload, size, opcode == WS_TEXT);
            assert_true(ws_append_frame(&wire.sent, opcode, payload, size));
            record(&wire.expected, opcode, payload, size);
        }
        uint8_t close_frame[WS_CLOSE_FRAME_MAX];
        size_t close_size = ws_encode_close(close_frame, WS_CLOSE_GOING_AWAY, "bye");
        assert_true(tl_buffer_append(&wire.sent, close_frame, close_size));
        assert_true(tl_buffer_append_text(&wire.expected, "1001 "));
        record(&wire.expected, WS_CLOSE, (const uint8_t *)"bye", 3);

        wire.inbox = wire.sent.bytes;
        wire.inbox_size = wire.sent.size;
        assert_int_equal(wslay_event_recv(events), 0);
        assert_int_equal(wire.inbox_size, 0);
        assert_all_came(&wire);
        wslay_event_context_free(events);
        wire_fini(&wire);
    }
    free(payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ws_decodes_what_wslay_encodes),
        cmocka_unit_test(test_wslay_decodes_what_ws_encodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
