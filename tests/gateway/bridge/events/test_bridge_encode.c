// SPDX-License-Identifier: MIT
// The encoder: which bytes an event of the bus, or presence, becomes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/bridge/events/encode.h"
#include "gateway/protocol/ws.h"
#include "tests/common/cmocka_all.h"
#include "tests/common/faults.h"

#define ID "k3v9q2mx.4711"

static int setup(void **state)
{
    *state = encoder_new("/graph");
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    struct encoder *encoder = *state;
    encoder_destroy(&encoder);
    assert_null(encoder);
    encoder_destroy(&encoder);
    return 0;
}

static talus_event_t event_of(const void *data, size_t size)
{
    return (talus_event_t){.session = "s1",
                           .type = "node-created",
                           .id = ID,
                           .origin = "k3v9q2mx",
                           .except = "",
                           .seq = 4711,
                           .data = data,
                           .data_size = size};
}

// Takes the first frame off, which must be that.
static void expect_frame(const struct bridge_encoded *encoded, size_t *at, enum ws_opcode opcode,
                         const void *bytes, size_t size)
{
    enum ws_opcode got;
    const uint8_t *payload;
    size_t payload_size;
    size_t frame = ws_split_server_frame(encoded->bytes + *at, encoded->size - *at, &got, &payload,
                                         &payload_size);
    assert_true(frame > 0);
    assert_int_equal(got, opcode);
    assert_int_equal(payload_size, size);
    if (size > 0)
        assert_memory_equal(payload, bytes, size);
    *at += frame;
}

static void expect_text(const struct bridge_encoded *encoded, const char *text)
{
    size_t at = 0;
    assert_non_null(encoded);
    expect_frame(encoded, &at, WS_TEXT, text, strlen(text));
    assert_int_equal(at, encoded->size);
}

// ---- Events

static void test_event_becomes_one_frame(void **state)
{
    static const uint8_t data[] = "\x82\xa1"
                                  "a\x01\xa1"
                                  "b\x92\xc0\xcb\x3f\xe0\0\0\0\0\0\0";
    talus_event_t event = event_of(data, sizeof data - 1);
    struct bridge_encoded *encoded = encoder_event(*state, &event);
    expect_text(encoded, "42/graph,[\"node-created\",{\"a\":1,\"b\":[null,0.5]},\"" ID "\"]");
    assert_string_equal(encoded->session, "s1");
    assert_string_equal(encoded->except, "");
    // The header of a server's frame: not masked, 16 bits of length from 126 bytes on.
    assert_int_equal(encoded->bytes[0], 0x81);
    assert_int_equal(encoded->bytes[1], encoded->size - 2);
    bridge_encoded_unref(encoded);
}

static void test_who_an_event_is_for(void **state)
{
    char session[TALUS_SESSION_MAX + 1];
    char except[TALUS_EXCEPT_MAX + 1];
    memset(session, 's', TALUS_SESSION_MAX);
    memset(except, 'k', TALUS_EXCEPT_MAX);
    session[TALUS_SESSION_MAX] = '\0';
    except[TALUS_EXCEPT_MAX] = '\0';
    talus_event_t event = event_of("\xc0", 1);
    event.session = session;
    event.except = except;
    struct bridge_encoded *encoded = encoder_event(*state, &event);
    expect_text(encoded, "42/graph,[\"node-created\",null,\"" ID "\"]");
    assert_string_equal(encoded->session, session);
    assert_string_equal(encoded->except, except);
    bridge_encoded_unref(encoded);
    event.session = "";
    encoded = encoder_event(*state, &event);
    assert_string_equal(encoded->session, "");
    bridge_encoded_unref(encoded);
}

static void test_main_namespace_has_no_name(void **state)
{
    (void)state;
    struct encoder *encoder = encoder_new("/");
    const talus_event_t event = event_of("\xa1x", 2);
    struct bridge_encoded *encoded = encoder_event(encoder, &event);
    expect_text(encoded, "42[\"node-created\",\"x\",\"" ID "\"]");
    bridge_encoded_unref(encoded);
    encoder_destroy(&encoder);
}

static void test_bytes_become_attachments(void **state)
{
    static const uint8_t data[] = "\x82\xa1"
                                  "x\xc4\x03\x01\x00\x02\xa1"
                                  "y\x91\xc4\x00";
    static const char text[] =
        "452-/graph,[\"node-created\",{\"x\":{\"_placeholder\":true,\"num\":0},"
        "\"y\":[{\"_placeholder\":true,\"num\":1}]},\"" ID "\"]";
    talus_event_t event = event_of(data, sizeof data - 1);
    size_t at = 0;
    struct bridge_encoded *encoded = encoder_event(*state, &event);
    assert_non_null(encoded);
    expect_frame(encoded, &at, WS_TEXT, text, sizeof text - 1);
    expect_frame(encoded, &at, WS_BINARY, "\x01\x00\x02", 3);
    expect_frame(encoded, &at, WS_BINARY, "", 0);
    assert_int_equal(at, encoded->size);
    bridge_encoded_unref(encoded);
    // Nothing of them is left for the next event.
    event = event_of("\xc3", 1);
    encoded = encoder_event(*state, &event);
    expect_text(encoded, "42/graph,[\"node-created\",true,\"" ID "\"]");
    bridge_encoded_unref(encoded);
}

static void test_more_attachments_than_clients_take(void **state)
{
    uint8_t data[1 + 11 * 3];
    data[0] = 0x90 | 11;
    for (int i = 0; i < 11; i++)
        memcpy(data + 1 + i * 3, "\xc4\x01z", 3);
    talus_event_t event = event_of(data, sizeof data);
    assert_null(encoder_event(*state, &event));
    data[0] = 0x90 | 10;
    event = event_of(data, sizeof data - 3);
    size_t at = 0, frames = 0, frame;
    enum ws_opcode opcode;
    const uint8_t *payload;
    size_t size;
    struct bridge_encoded *encoded = encoder_event(*state, &event);
    assert_non_null(encoded);
    while ((frame = ws_split_server_frame(encoded->bytes + at, encoded->size - at, &opcode,
                                          &payload, &size)) > 0) {
        at += frame;
        frames++;
    }
    assert_int_equal(frames, 11);
    assert_int_equal(at, encoded->size);
    bridge_encoded_unref(encoded);
}

static void test_what_is_no_payload(void **state)
{
    static uint8_t deep[100];
    memset(deep, 0x91, sizeof deep - 1); // arrays in arrays
    deep[sizeof deep - 1] = 0xc0;
    const talus_event_t events[] = {event_of("", 0), event_of("\xc0\xc0", 2),
                                    event_of("\x92\xc0", 2), event_of("\xc1", 1),
                                    event_of(deep, sizeof deep)};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        assert_null(encoder_event(*state, &events[i]));
    const talus_event_t good = event_of("\x01", 1);
    struct bridge_encoded *encoded = encoder_event(*state, &good);
    expect_text(encoded, "42/graph,[\"node-created\",1,\"" ID "\"]");
    bridge_encoded_unref(encoded);
}

// ---- Sizes

// An event whose payload is a text of `size` characters 'x', or of control characters.
static uint8_t *text_payload(size_t size, int character, size_t *payload_size)
{
    uint8_t *data = malloc(size + 5);
    assert_non_null(data);
    data[0] = 0xdb; // str 32
    for (int i = 0; i < 4; i++)
        data[1 + i] = (uint8_t)(size >> (24 - 8 * i));
    memset(data + 5, character, size);
    *payload_size = size + 5;
    return data;
}

static void expect_encoded_text(struct encoder *encoder, size_t size)
{
    static const char head[] = "42/graph,[\"node-created\",\"";
    static const char tail[] = "\",\"" ID "\"]";
    size_t data_size, at = 0;
    uint8_t *data = text_payload(size, 'x', &data_size);
    char *text = malloc(sizeof head + size + sizeof tail);
    assert_non_null(text);
    memcpy(text, head, sizeof head - 1);
    memset(text + sizeof head - 1, 'x', size);
    memcpy(text + sizeof head - 1 + size, tail, sizeof tail);
    const talus_event_t event = event_of(data, data_size);
    struct bridge_encoded *encoded = encoder_event(encoder, &event);
    assert_non_null(encoded);
    expect_frame(encoded, &at, WS_TEXT, text, strlen(text));
    assert_int_equal(at, encoded->size);
    bridge_encoded_unref(encoded);
    free(text);
    free(data);
}

static void test_sizes_around_every_bound(void **state)
{
    // Where the frame's header grows, where the first buffer is full, where memory is given back.
    static const size_t bounds[] = {126, 8192, 16384, 65536, 256 << 10};
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++)
        for (size_t size = bounds[i] - 60; size <= bounds[i] + 4; size++)
            expect_encoded_text(*state, size);
}

static void test_large_and_small_in_turn(void **state)
{
    for (int i = 0; i < 3; i++) {
        expect_encoded_text(*state, 1000000);
        expect_encoded_text(*state, 0);
        expect_encoded_text(*state, 300000);
    }
}

static void test_larger_than_allowed(void **state)
{
    size_t data_size;
    // Each control character takes six of JSON: 72 MB in all.
    uint8_t *data = text_payload((size_t)12 << 20, '\x01', &data_size);
    const talus_event_t event = event_of(data, data_size);
    assert_null(encoder_event(*state, &event));
    free(data);
    expect_encoded_text(*state, 10);
}

// ---- Presence, references, memory

static void test_presence_has_no_id(void **state)
{
    struct bridge_encoded *encoded =
        encoder_presence(*state, "session-connected", "s1", "AbCdEfGhIjKlMnOpQrSt");
    expect_text(encoded, "42/graph,[\"session-connected\",{\"session_id\":\"s1\","
                         "\"client_id\":\"AbCdEfGhIjKlMnOpQrSt\"}]");
    assert_string_equal(encoded->session, "s1");
    assert_string_equal(encoded->except, "");
    bridge_encoded_unref(encoded);
}

static void test_references(void **state)
{
    const talus_event_t event = event_of("\x01", 1);
    struct bridge_encoded *encoded = encoder_event(*state, &event);
    struct bridge_encoded *other = encoder_event(*state, &event);
    assert_ptr_not_equal(encoded, other);
    bridge_encoded_ref(encoded);
    bridge_encoded_unref(encoded);
    expect_text(encoded, "42/graph,[\"node-created\",1,\"" ID "\"]"); // one is left
    bridge_encoded_unref(encoded);
    bridge_encoded_unref(other);
}

// Whether it could be encoded while the allocation after `allocation` others failed.
static bool try_encoding(struct encoder *encoder, const talus_event_t *event, unsigned allocation)
{
    faults_fail_allocation_after(allocation);
    struct bridge_encoded *encoded = event
                                         ? encoder_event(encoder, event)
                                         : encoder_presence(encoder, "session-connected", "s", "c");
    assert_int_equal(faults_stop(), !encoded);
    bool is_encoded = encoded != NULL;
    if (encoded)
        bridge_encoded_unref(encoded);
    return is_encoded;
}

static void test_memory_runs_out(void **state)
{
    size_t data_size;
    uint8_t *data = text_payload(300000, 'x', &data_size);
    const talus_event_t large = event_of(data, data_size);
    const talus_event_t *events[] = {&large, NULL};
    for (int i = 0; i < 2; i++) {
        unsigned allocation = 0;
        while (!try_encoding(*state, events[i], allocation))
            allocation++;
        assert_true(allocation > 0);
        expect_encoded_text(*state, 100);
    }
    free(data);
    struct encoder *encoder = NULL;
    for (unsigned allocation = 0; !encoder; allocation++) {
        faults_fail_allocation_after(allocation);
        encoder = encoder_new("/graph");
        assert_int_equal(faults_stop(), !encoder);
    }
    encoder_destroy(&encoder);
}

#define encode_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        encode_test(test_event_becomes_one_frame),
        encode_test(test_who_an_event_is_for),
        encode_test(test_main_namespace_has_no_name),
        encode_test(test_bytes_become_attachments),
        encode_test(test_more_attachments_than_clients_take),
        encode_test(test_what_is_no_payload),
        encode_test(test_sizes_around_every_bound),
        encode_test(test_large_and_small_in_turn),
        encode_test(test_larger_than_allowed),
        encode_test(test_presence_has_no_id),
        encode_test(test_references),
        encode_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
