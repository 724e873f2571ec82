// SPDX-License-Identifier: MIT
// Engine.IO packets and polling payloads. The expectations for base64 and for malformed packets are
// what the reference's parser does.
#include "tests/common/cmocka_all.h"

#include <stdio.h>
#include <string.h>

#include "gateway/protocol/eio.h"
#include "gateway/protocol/ws.h"
#include "tests/common/faults.h"

#define RS "\x1e"

struct fixture {
    struct tl_buffer scratch;
    struct tl_buffer out;
};

static struct fixture fixture;

static int setup(void **state)
{
    tl_buffer_init(&fixture.scratch, 1000);
    tl_buffer_init(&fixture.out, 1000);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tl_buffer_fini(&fixture.scratch);
    tl_buffer_fini(&fixture.out);
    return 0;
}

static int decode(const char *text, struct eio_packet *packet)
{
    return eio_decode_text((const uint8_t *)text, strlen(text), &fixture.scratch, packet);
}

static void assert_packet(const struct eio_packet *packet, enum eio_type type, bool is_binary,
                          const char *bytes)
{
    assert_int_equal(packet->type, type);
    assert_int_equal(packet->is_binary, is_binary);
    assert_int_equal(packet->size, strlen(bytes));
    if (packet->size > 0)
        assert_memory_equal(packet->bytes, bytes, packet->size);
}

static void test_eio_decode_every_type(void **state)
{
    (void)state;
    struct eio_packet packet;
    for (char type = '0'; type <= '6'; type++) {
        const char bare[] = {type, '\0'};
        const char full[] = {type, 'x', 'y', '\0'};
        assert_int_equal(decode(bare, &packet), 0);
        assert_packet(&packet, (enum eio_type)type, false, "");
        assert_int_equal(decode(full, &packet), 0);
        assert_packet(&packet, (enum eio_type)type, false, "xy");
    }
}

static void test_eio_decode_refuses_unknown_types_and_nothing(void **state)
{
    (void)state;
    struct eio_packet packet;
    assert_int_equal(decode("", &packet), -1);
    for (unsigned c = 1; c < 256; c++) {
        const char text[] = {(char)c, 'x', '\0'};
        bool is_known = (c >= '0' && c <= '6') || c == 'b';
        assert_int_equal(decode(text, &packet), is_known ? 0 : -1);
    }
}

static void test_eio_base64_is_read_as_node_reads_it(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *bytes;
    } CASES[] = {
        {"b", ""},
        {"bQQ==", "A"},
        {"bQQ", "A"},
        {"bQQ==QQ==", "A"},
        {"bQ", ""},
        {"bQUI", "AB"},
        {"bQU I=", "AB"},
        {"bQU\nI=", "AB"},
        {"b=QQ", ""},
        {"bQ!Q", "A"},
        {"bQUJDR", "ABC"},
        {"b====", ""},
        {"bQUJDRA", "ABCD"},
        {"bQUJD", "ABC"},
        {"b-_-_", "\xfb\xff\xbf"},
        {"b+/-_", "\xfb\xff\xbf"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct eio_packet packet;
        assert_int_equal(decode(CASES[i].text, &packet), 0);
        assert_packet(&packet, EIO_MESSAGE, true, CASES[i].bytes);
    }
}

static void test_eio_binary_too_large_for_scratch(void **state)
{
    (void)state;
    struct eio_packet packet;
    struct tl_buffer small;
    tl_buffer_init(&small, 2);
    assert_int_equal(eio_decode_text((const uint8_t *)"bQUI=", 5, &small, &packet), -1);
    tl_buffer_fini(&small);
}

// Walks a payload; writes what comes as "TYPE:bytes;" or "b:bytes;", then "end" or "error".
static void describe_payload(const char *payload, size_t size, char *out)
{
    size_t position = 0;
    struct eio_packet packet;
    int more;
    while ((more = eio_payload_next((const uint8_t *)payload, size, &position, &fixture.scratch,
                                    &packet)) == 1)
        out += sprintf(out, "%c:%.*s;", packet.is_binary ? 'b' : (char)packet.type,
                       (int)packet.size, (const char *)packet.bytes);
    strcpy(out, more == 0 ? "end" : "error");
    assert_int_equal(more, eio_payload_next((const uint8_t *)payload, size, &position,
                                            &fixture.scratch, &packet));
}

static void test_eio_payload_walk(void **state)
{
    (void)state;
    static const struct {
        const char *payload;
        const char *expected;
    } CASES[] = {
        {"", "error"},
        {"4hello", "4:hello;end"},
        {"4a" RS "4b" RS "3", "4:a;4:b;3:;end"},
        {"4" RS "bQUI=" RS "2probe", "4:;b:AB;2:probe;end"},
        {RS, "error"},
        {RS "4a", "error"},
        {"4a" RS, "4:a;error"},
        {"4a" RS RS "4b", "4:a;error"},
        {"4a" RS "xb" RS "4c", "4:a;error"},
        {"4\xff" RS "4\xc3\xa9", "4:\xef\xbf\xbd;4:\xc3\xa9;end"},
        {"4\xc3" RS "4ok", "4:\xef\xbf\xbd;4:ok;end"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char described[200];
        describe_payload(CASES[i].payload, strlen(CASES[i].payload), described);
        assert_string_equal(described, CASES[i].expected);
    }
}

static void test_eio_payload_round_trip(void **state)
{
    (void)state;
    struct tl_buffer *out = &fixture.out;
    assert_true(eio_payload_append(out, false, (const uint8_t *)"4one", 4));
    assert_true(eio_payload_append(out, true, (const uint8_t *)"\x00\x1e\xff", 3));
    assert_true(eio_payload_append(out, false, (const uint8_t *)"2", 1));
    assert_true(eio_payload_append(out, true, NULL, 0));
    const char expected[] = "4one" RS "bAB7/" RS "2" RS "b";
    assert_int_equal(out->size, sizeof expected - 1);
    assert_memory_equal(out->bytes, expected, out->size);

    size_t position = 0;
    struct eio_packet packet;
    assert_int_equal(eio_payload_next(out->bytes, out->size, &position, &fixture.scratch, &packet),
                     1);
    assert_int_equal(eio_payload_next(out->bytes, out->size, &position, &fixture.scratch, &packet),
                     1);
    assert_true(packet.is_binary);
    assert_int_equal(packet.size, 3);
    assert_memory_equal(packet.bytes, "\x00\x1e\xff", 3);
}

static void test_eio_base64_of_every_length(void **state)
{
    (void)state;
    uint8_t bytes[70];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37 + 200);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        struct eio_packet packet;
        tl_buffer_clear(&fixture.out);
        assert_true(eio_payload_append(&fixture.out, true, bytes, size));
        assert_int_equal(fixture.out.size, 1 + (size + 2) / 3 * 4);
        assert_int_equal(
            eio_decode_text(fixture.out.bytes, fixture.out.size, &fixture.scratch, &packet), 0);
        assert_int_equal(packet.size, size);
        assert_memory_equal(packet.bytes, bytes, size);
    }
}

static void test_eio_payload_append_fails_whole(void **state)
{
    (void)state;
    for (size_t max = 3; max < 12; max++) {
        struct tl_buffer out;
        tl_buffer_init(&out, max);
        assert_true(eio_payload_append(&out, false, (const uint8_t *)"4ab", 3));
        // Separator, 'b', and four characters.
        bool fits = max >= 3 + 1 + 1 + 4;
        assert_int_equal(eio_payload_append(&out, true, (const uint8_t *)"xyz", 3), fits);
        assert_int_equal(out.size, fits ? 9 : 3);
        tl_buffer_fini(&out);
    }
}

static void test_eio_frame_text(void **state)
{
    (void)state;
    struct tl_buffer *out = &fixture.out;
    assert_true(eio_frame_text(out, EIO_PING, NULL, 0));
    assert_true(eio_frame_text(out, EIO_PONG, "probe", 5));
    char long_text[300];
    memset(long_text, 'x', sizeof long_text);
    assert_true(eio_frame_text(out, EIO_MESSAGE, long_text, sizeof long_text));

    enum ws_opcode opcode;
    const uint8_t *payload;
    size_t size;
    size_t at = ws_split_server_frame(out->bytes, out->size, &opcode, &payload, &size);
    assert_int_equal(opcode, WS_TEXT);
    assert_int_equal(size, 1);
    assert_memory_equal(payload, "2", 1);
    at += ws_split_server_frame(out->bytes + at, out->size - at, &opcode, &payload, &size);
    assert_int_equal(size, 6);
    assert_memory_equal(payload, "3probe", 6);
    at += ws_split_server_frame(out->bytes + at, out->size - at, &opcode, &payload, &size);
    assert_int_equal(size, 301);
    assert_int_equal(payload[0], '4');
    assert_memory_equal(payload + 1, long_text, 300);
    assert_int_equal(at, out->size);
}

static void test_eio_frame_text_fails_whole(void **state)
{
    (void)state;
    struct tl_buffer out;
    tl_buffer_init(&out, 5);
    assert_false(eio_frame_text(&out, EIO_MESSAGE, "abc", 3));
    assert_int_equal(out.size, 0);
    assert_true(eio_frame_text(&out, EIO_MESSAGE, "ab", 2));
    tl_buffer_fini(&out);

    tl_buffer_init(&out, 100);
    faults_fail_allocation_after(0);
    assert_false(eio_frame_text(&out, EIO_MESSAGE, "ab", 2));
    assert_true(faults_stop());
    assert_int_equal(out.size, 0);
    tl_buffer_fini(&out);
}

static void test_eio_open_packet(void **state)
{
    (void)state;
    static const char EXPECTED[] =
        "0{\"sid\":\"abc\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,"
        "\"pingTimeout\":20000,\"maxPayload\":1000000}"
        "0{\"sid\":\"abc\",\"upgrades\":[],\"pingInterval\":300,"
        "\"pingTimeout\":200,\"maxPayload\":5}";
    assert_true(eio_encode_open(&fixture.out, "abc", true, 25000, 20000, 1000000));
    assert_true(eio_encode_open(&fixture.out, "abc", false, 300, 200, 5));
    assert_int_equal(fixture.out.size, sizeof EXPECTED - 1);
    assert_memory_equal(fixture.out.bytes, EXPECTED, fixture.out.size);

    struct tl_buffer small;
    tl_buffer_init(&small, 50);
    assert_false(eio_encode_open(&small, "abc", true, 25000, 20000, 1000000));
    assert_int_equal(small.size, 0);
    tl_buffer_fini(&small);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_eio_decode_every_type),
        TEST(test_eio_decode_refuses_unknown_types_and_nothing),
        TEST(test_eio_base64_is_read_as_node_reads_it),
        TEST(test_eio_binary_too_large_for_scratch),
        TEST(test_eio_payload_walk),
        TEST(test_eio_payload_round_trip),
        TEST(test_eio_base64_of_every_length),
        TEST(test_eio_payload_append_fails_whole),
        TEST(test_eio_frame_text),
        TEST(test_eio_frame_text_fails_whole),
        TEST(test_eio_open_packet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
