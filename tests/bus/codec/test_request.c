// SPDX-License-Identifier: MIT
// What is asked at a replay socket, the end of an answer, and the choice of where to ask.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/codec/event_limits.h"
#include "bus/src/codec/malformed.h"
#include "bus/src/codec/request.h"
#include "bus/src/zmq/sub/replay_endpoint.h"

#define LONGEST_SESSION                                                                            \
    "0123456789012345678901234567890123456789012345678901234567890123"                             \
    "0123456789012345678901234567890123456789012345678901234567890123"

// Decoding must not read beyond what it is given: each prefix stands in a block of its size.
static int decode_exactly(const uint8_t *bytes, size_t size, struct talus__request *request)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    assert_non_null(copy);
    memcpy(copy, bytes, size);
    int error = talus__request_decode(copy, size, request);
    free(copy);
    return error;
}

static void test_request_for_a_replay(void **state)
{
    (void)state;
    static const char *const sessions[] = {"", "*", "s", LONGEST_SESSION};
    uint8_t bytes[TALUS__REPLAY_REQUEST];
    struct talus__request request;

    for (size_t i = 0; i < sizeof sessions / sizeof sessions[0]; i++) {
        size_t size = talus__request_encode_replay(bytes, sessions[i], UINT64_MAX, 7);
        assert_true(size > 0);
        assert_int_equal(talus__request_decode(bytes, size, &request), 0);
        assert_int_equal(request.kind, TALUS__REQUEST_REPLAY);
        assert_int_equal(request.session_size, strlen(sessions[i]));
        assert_memory_equal(request.session, sessions[i], request.session_size);
        assert_true(request.after == UINT64_MAX);
        assert_int_equal(request.max, 7);
        for (size_t cut = 0; cut < size; cut++)
            assert_int_equal(decode_exactly(bytes, cut, &request), TALUS__EBODY);
    }
}

static void test_request_for_heads(void **state)
{
    (void)state;
    static const char *names[TALUS__HEADS_MAX + 1];
    static uint8_t bytes[TALUS__REQUEST_MAX + 200];
    struct talus__request request;
    const char *name;
    size_t size, count = 0;

    for (size_t i = 0; i <= TALUS__HEADS_MAX; i++)
        names[i] = LONGEST_SESSION;
    size = talus__request_encode_heads(bytes, sizeof bytes, names, TALUS__HEADS_MAX);
    assert_in_range(size, 1, TALUS__REQUEST_MAX); // the largest request of all
    assert_int_equal(talus__request_decode(bytes, size, &request), 0);
    assert_int_equal(request.kind, TALUS__REQUEST_HEAD);
    size_t name_size;
    while (talus__request_next_name(&request, &name, &name_size)) {
        assert_int_equal(name_size, strlen(LONGEST_SESSION));
        assert_memory_equal(name, LONGEST_SESSION, name_size);
        count++;
    }
    assert_int_equal(count, TALUS__HEADS_MAX);
    size = talus__request_encode_heads(bytes, sizeof bytes, names, TALUS__HEADS_MAX + 1);
    assert_true(size > 0);
    assert_int_equal(talus__request_decode(bytes, size, &request), TALUS__EBODY); // too many
    assert_int_equal(talus__request_encode_heads(bytes, 20, names, 1), 0);
}

static void test_request_keys_in_any_order_and_unknown_ones(void **state)
{
    (void)state;
    static const uint8_t bytes[] = "\x84\xa3new\x92\x01\x81\xa1x\xc0\xa5"
                                   "after\xcd\x01\x00"
                                   "\xa7session\xa1s\xa2op\xa6replay";
    struct talus__request request;

    assert_int_equal(talus__request_decode(bytes, sizeof bytes - 1, &request), 0);
    assert_int_equal(request.after, 256);
    assert_int_equal(request.max, 0);
}

static void test_request_end(void **state)
{
    (void)state;
    uint8_t bytes[TALUS__END_MAX];
    struct talus__end end = {.origin = "abcdefghijklmnop",
                             .origin_size = 16,
                             .first = TALUS__SEQ_MAX,
                             .head = TALUS__SEQ_MAX - 1,
                             .is_complete = true};
    size_t size = talus__end_encode(bytes, &end);

    assert_true(size > 0);
    struct talus__end decoded;
    assert_int_equal(talus__end_decode(bytes, size, &decoded), 0);
    assert_int_equal(decoded.origin_size, 16);
    assert_true(decoded.first == TALUS__SEQ_MAX && decoded.head == TALUS__SEQ_MAX - 1);
    assert_true(decoded.is_complete);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(talus__end_decode(bytes, cut, &decoded), TALUS__EBODY);
}

static void test_request_end_refuses_the_highest_seq(void **state)
{
    (void)state;
    uint8_t bytes[TALUS__END_MAX];
    struct talus__end first = {.origin = "abcdefgh", .origin_size = 8, .first = UINT64_MAX};
    struct talus__end head = {.origin = "abcdefgh", .origin_size = 8, .head = UINT64_MAX};
    struct talus__end decoded;

    size_t size = talus__end_encode(bytes, &first);
    assert_int_equal(talus__end_decode(bytes, size, &decoded), TALUS__EBODY);
    size = talus__end_encode(bytes, &head);
    assert_int_equal(talus__end_decode(bytes, size, &decoded), TALUS__EBODY);
}

// ---- Where to ask

static void expect_choice(const char *named, const char *transport, const char *host,
                          const char *expected)
{
    char chosen[128];
    bool has_one =
        talus__replay_choose(named, strlen(named), transport, host, chosen, sizeof chosen);

    assert_int_equal(has_one, expected != NULL);
    if (expected)
        assert_string_equal(chosen, expected);
}

static void test_request_goes_the_way_that_the_head_came(void **state)
{
    (void)state;
    static const char all[] = "ipc:///run/a.replay,tcp://*:5571,inproc://x.replay";

    expect_choice(all, "ipc", NULL, "ipc:///run/a.replay");
    expect_choice(all, "tcp", "10.0.0.7", "tcp://10.0.0.7:5571");
    expect_choice(all, "tcp", "fe80::1", "tcp://[fe80::1]:5571");
    expect_choice(all, "inproc", NULL, "inproc://x.replay");
    expect_choice("tcp://10.0.0.1:7", "ipc", NULL, "tcp://10.0.0.1:7"); // the only one there is
    expect_choice("tcp://0.0.0.0:7", "tcp", "10.0.0.7", "tcp://10.0.0.7:7");
    expect_choice("tcp://[::]:7", "tcp", "::1", "tcp://[::1]:7");
    expect_choice("tcp://*:5571", "ipc", NULL, NULL); // nobody knows the host
}

static void test_request_goes_nowhere_odd(void **state)
{
    (void)state;
    static const char *const odd[] = {"",        ",",          "tcp://",      "tcp://*",
                                      "tcp://x", "pgm://x:1",  "@tcp://a:1",  ">tcp://a:1",
                                      "what",    "ipc:///d/*", "tcp://a:0,,", "tcp://a:99999"};

    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        expect_choice(odd[i], "tcp", "10.0.0.7", NULL);
    expect_choice("nonsense,tcp://a:1", "ipc", NULL, "tcp://a:1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_for_a_replay),
        cmocka_unit_test(test_request_for_heads),
        cmocka_unit_test(test_request_keys_in_any_order_and_unknown_ones),
        cmocka_unit_test(test_request_end),
        cmocka_unit_test(test_request_end_refuses_the_highest_seq),
        cmocka_unit_test(test_request_goes_the_way_that_the_head_came),
        cmocka_unit_test(test_request_goes_nowhere_odd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
