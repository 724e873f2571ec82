// SPDX-License-Identifier: MIT
// What the bench's clients read: packets, and the frames around them.
#include "tests/common/cmocka_all.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/bench/packet.h"

static packet_format_t format;

static int setup(void **state)
{
    (void)state;
    packet_format_init(&format, "/graph", "k3v9q2mx71ab");
    return 0;
}

// Reads a copy with nothing around it, so that a sanitizer sees every byte too many.
static packet_t read_text(const char *text)
{
    size_t size = strlen(text);
    char *copy = malloc(size + !size);
    assert_non_null(copy);
    memcpy(copy, text, size);
    packet_t packet = packet_read(&format, copy, size);
    free(copy);
    return packet;
}

static void test_packet_kinds(void **state)
{
    static const struct {
        const char *text;
        packet_kind_t kind;
    } cases[] = {
        {"", PACKET_OTHER},
        {"0{\"sid\":\"x\"}", PACKET_OPEN},
        {"1", PACKET_CLOSE},
        {"2", PACKET_PING},
        {"4", PACKET_OTHER},
        {"40", PACKET_OTHER},
        {"40/graph,{\"sid\":\"x\"}", PACKET_CONNECTED},
        {"41/graph,", PACKET_CLOSE},
        {"44/graph,{\"message\":\"no\"}", PACKET_REFUSED},
        {"42/graph,[\"joined\",{}]", PACKET_JOINED},
        {"42/graph,[\"error\",{}]", PACKET_REFUSED},
        {"42/graph,[\"session-connected\",{}]", PACKET_OTHER},
        {"42/other,[\"joined\",{}]", PACKET_OTHER},
        {"6", PACKET_OTHER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(read_text(cases[i].text).kind, cases[i].kind);
}

static void test_packet_event(void **state)
{
    (void)state;
    packet_t packet = read_text("42/graph,[\"bench\",{\"t\":1000000012345,\"pad\":\"xx\"},"
                                "\"k3v9q2mx71ab.4711\"]");
    assert_int_equal(packet.kind, PACKET_EVENT);
    assert_int_equal(packet.time, 1000000012345);
    assert_int_equal(packet.number, 4711);
}

static void test_packet_event_of_somebody_else(void **state)
{
    static const char *const others[] = {
        "42/graph,[\"bench\",{\"t\":1000000012345,\"pad\":\"\"},\"k3v9q2mx71ac.1\"]",
        "42/graph,[\"bench\",{\"t\":1000000012345,\"pad\":\"\"},\"x.1\"]",
        "42/graph,[\"bench\",{\"t\":1000000012345,\"pad\":\"\"},\"k3v9q2mx71ab.\"]",
        "42/graph,[\"bench\",{\"t\":1000000012345,\"pad\":\"\"}]",
        "42/graph,[\"bench\",{\"t\":12,\"pad\":\"\"},\"k3v9q2mx71ab.1\"]",
        "42/graph,[\"bench\",{\"t\":",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(read_text(others[i]).kind, PACKET_OTHER);
}

static void test_packet_main_namespace(void **state)
{
    (void)state;
    packet_format_init(&format, "/", "abc");
    assert_int_equal(read_text("40{\"sid\":\"x\"}").kind, PACKET_CONNECTED);
    assert_int_equal(read_text("42[\"joined\",{}]").kind, PACKET_JOINED);
    assert_int_equal(read_text("42[\"bench\",{\"t\":1000000000000,\"pad\":\"\"},\"abc.1\"]").kind,
                     PACKET_EVENT);
}

static void test_frame_of_each_length(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536, 100000};
    static char bytes[10 + 100000];
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t size = sizes[i], header = size < 126 ? 2 : size < 65536 ? 4 : 10;
        frame_t frame;
        bytes[0] = (char)0x81;
        bytes[1] = (char)(size < 126 ? size : size < 65536 ? 126 : 127);
        for (size_t at = 2; at < header; at++)
            bytes[at] = (char)((uint64_t)size >> (8 * (header - 1 - at)));
        assert_int_equal(frame_read(bytes, header + size, &frame), 1);
        assert_int_equal(frame.opcode, FRAME_TEXT);
        assert_int_equal(frame.size, size);
        assert_int_equal(frame.total, header + size);
        assert_ptr_equal(frame.payload, bytes + header);
        for (size_t less = 0; less < header; less++)
            assert_int_equal(frame_read(bytes, less, &frame), 0);
        if (size > 0)
            assert_int_equal(frame_read(bytes, header + size - 1, &frame), 0);
    }
}

static void test_frame_that_no_server_sends(void **state)
{
    frame_t frame;
    (void)state;
    assert_int_equal(frame_read("\x01\x00", 2, &frame), -1);                      // a fragment
    assert_int_equal(frame_read("\xc1\x00", 2, &frame), -1);                      // compressed
    assert_int_equal(frame_read("\x81\x80\0\0\0\0", 6, &frame), -1);              // masked
    assert_int_equal(frame_read("\x81\x7f\xff\0\0\0\0\0\0\0", 10, &frame), -1);   // huge
    assert_int_equal(frame_read("HTTP/1.1 400 Bad Request\r\n", 26, &frame), -1); // no frame
}

static void test_frame_is_masked(void **state)
{
    static char payload[300], out[300 + FRAME_HEADER_MAX];
    (void)state;
    memset(payload, 'x', sizeof(payload));
    for (size_t size = 0; size <= sizeof(payload); size += 25) {
        size_t total = frame_write(out, FRAME_TEXT, payload, size);
        size_t header = size < 126 ? 2 : 4;
        assert_int_equal(total, header + 4 + size);
        assert_int_equal((unsigned char)out[0], 0x81);
        assert_true((out[1] & 0x80) != 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(out[header + 4 + i] ^ out[header + (i & 3)], 'x');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_packet_kinds, setup),
        cmocka_unit_test_setup(test_packet_event, setup),
        cmocka_unit_test_setup(test_packet_event_of_somebody_else, setup),
        cmocka_unit_test_setup(test_packet_main_namespace, setup),
        cmocka_unit_test(test_frame_of_each_length),
        cmocka_unit_test(test_frame_that_no_server_sends),
        cmocka_unit_test(test_frame_is_masked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
