// SPDX-License-Identifier: MIT
// Bodies of events and heads: the shared cases, every truncation, every single-byte corruption.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <talus/error.h>
#include <talus/topic.h>

#include "bus/src/codec/body.h"
#include "bus/src/codec/malformed.h"
#include "bus/src/codec/payload.h"
#include "bus/src/codec/wire.h"
#include "tests/bus/support/vectors.h"

static const struct talus__limits defaults = {TALUS__MAX_BODY, TALUS__MAX_DEPTH, TALUS__MAX_BIN};

static void expect_text(const json_t *item, const char *key, const char *text, size_t text_size)
{
    size_t size;
    const char *expected = vectors_text(item, key, &size);
    assert_int_equal(text_size, size);
    if (size > 0)
        assert_memory_equal(text, expected, size);
}

static void expect_outcome(const json_t *item, int error)
{
    const char *expected =
        json_object_get(item, "error") ? vectors_text(item, "error", NULL) : "TALUS_OK";
    const char *name = error == TALUS__EBODY ? "TALUS__EBODY" : talus_error_name(error);
    if (strcmp(name, expected) != 0)
        fail_msg("%s: %s", vectors_text(item, "name", NULL), name);
}

static void check_event(const json_t *item, const struct vectors_bytes *bytes)
{
    struct talus__body body;
    int error = talus__body_decode(bytes->ptr, bytes->size, &defaults, &body);
    expect_outcome(item, error);
    if (error)
        return;
    expect_text(item, "origin", body.origin, body.origin_size);
    expect_text(item, "skip", body.except, body.except_size);
    assert_int_equal(body.seq, vectors_number(item, "seq"));
    assert_int_equal(body.prev, vectors_number(item, "prev"));
    assert_int_equal(body.ts, vectors_number(item, "ts"));
    struct vectors_bytes data = vectors_member_hex(item, "data");
    assert_int_equal(body.data_size, data.size);
    assert_memory_equal(body.data, data.ptr, data.size);
    free(data.ptr);
}

static void check_head(const json_t *item, const struct vectors_bytes *bytes)
{
    struct talus__head head;
    int error = talus__head_decode(bytes->ptr, bytes->size, &head);
    expect_outcome(item, error);
    if (error)
        return;
    expect_text(item, "origin", head.origin, head.origin_size);
    expect_text(item, "replay", head.replay, head.replay_size);
    assert_int_equal(head.seq, vectors_number(item, "seq"));
}

typedef void check_fn(const json_t *item, const struct vectors_bytes *bytes);

static void for_each(const char *list, check_fn *check)
{
    json_t *root = vectors_load("bodies.json");
    json_t *items = json_object_get(root, list);
    size_t i;
    json_t *item;
    assert_true(json_array_size(items) > 0);
    json_array_foreach(items, i, item)
    {
        struct vectors_bytes bytes = vectors_member_hex(item, "body");
        check(item, &bytes);
        free(bytes.ptr);
    }
    json_decref(root);
}

static void test_body_event_vectors(void **state)
{
    (void)state;
    for_each("events", check_event);
}

static void test_body_head_vectors(void **state)
{
    (void)state;
    for_each("heads", check_head);
}

// What holds of every decoded body, whatever the bytes were.
static int decode_and_check(const void *bytes, size_t size)
{
    struct vectors_bytes copy = vectors_copy(bytes, size);
    struct talus__body body;
    int error = talus__body_decode(copy.ptr, size, &defaults, &body);
    if (error != TALUS__EBODY && error != TALUS_EMSGPACK) {
        assert_true(tl_is_origin(body.origin, body.origin_size));
        assert_true(body.seq > 0 && body.prev < body.seq);
        assert_true(body.except_size <= TALUS_EXCEPT_MAX);
    }
    if (!error) {
        const uint8_t *data = body.data;
        assert_true(data > copy.ptr && data + body.data_size <= copy.ptr + size);
        assert_int_equal(talus__payload_check(data, body.data_size, &defaults), 0);
    }
    struct talus__head head;
    if (talus__head_decode(copy.ptr, size, &head) == 0) {
        assert_true(tl_is_origin(head.origin, head.origin_size));
        assert_true(head.replay_size <= TALUS__REPLAY_MAX);
    }
    free(copy.ptr);
    return error;
}

static void damage(const json_t *item, const struct vectors_bytes *bytes)
{
    if (bytes->size > 100)
        return; // the long cases differ in length alone
    bool is_valid = !json_object_get(item, "error");
    for (size_t length = 0; length < bytes->size; length++)
        if (decode_and_check(bytes->ptr, length) == 0 && is_valid)
            fail_msg("%s: accepted at %zu bytes", vectors_text(item, "name", NULL), length);
    for (size_t place = 0; place < bytes->size; place++) {
        uint8_t whole = bytes->ptr[place];
        for (int byte = 0; byte < 256; byte++) {
            bytes->ptr[place] = (uint8_t)byte;
            decode_and_check(bytes->ptr, bytes->size);
        }
        bytes->ptr[place] = whole;
    }
}

static void test_body_truncated_and_corrupted(void **state)
{
    (void)state;
    for_each("events", damage);
    for_each("heads", damage);
}

static size_t encode(uint8_t *out, const char *origin, const char *except, size_t *seq_offset,
                     size_t *prev_offset)
{
    size_t except_size = except ? strlen(except) : 0;
    return talus__body_encode_header(out, origin, UINT64_MAX, except, except_size, seq_offset,
                                     prev_offset);
}

static void check_round_trip(const char *origin, const char *except)
{
    uint8_t out[TALUS__BODY_HEADER_MAX + 1];
    size_t seq_offset;
    size_t prev_offset;
    size_t size = encode(out, origin, except, &seq_offset, &prev_offset);
    assert_true(size <= TALUS__BODY_HEADER_MAX);
    talus__body_patch(out + seq_offset, TALUS__SEQ_MAX);
    talus__body_patch(out + prev_offset, UINT64_C(0x0123456789abcdef));
    out[size] = 0xc0;
    struct talus__body body;
    struct vectors_bytes copy = vectors_copy(out, size + 1);
    assert_int_equal(talus__body_decode(copy.ptr, copy.size, &defaults, &body), 0);
    assert_int_equal(body.origin_size, strlen(origin));
    assert_memory_equal(body.origin, origin, body.origin_size);
    assert_true(body.seq == TALUS__SEQ_MAX);
    assert_true(body.prev == UINT64_C(0x0123456789abcdef));
    assert_true(body.ts == UINT64_MAX);
    assert_int_equal(body.except_size, except ? strlen(except) : 0);
    if (except)
        assert_memory_equal(body.except, except, body.except_size);
    assert_int_equal(body.data_size, 1);
    free(copy.ptr);
}

static void test_body_header_round_trip(void **state)
{
    (void)state;
    char except[TALUS_EXCEPT_MAX + 1];
    check_round_trip("k3v9q2mx", NULL);
    check_round_trip("abcdefgh01234567", NULL);
    for (size_t size = 1; size <= TALUS_EXCEPT_MAX; size++) {
        memset(except, 's', size);
        except[size] = '\0';
        check_round_trip("abcdefgh01234567", except);
    }
}

static void test_body_header_keys_in_order(void **state)
{
    (void)state;
    uint8_t out[TALUS__BODY_HEADER_MAX];
    size_t seq_offset;
    size_t prev_offset;
    size_t size =
        talus__body_encode_header(out, "k3v9q2mx", 258, "x", 1, &seq_offset, &prev_offset);
    static const char expected[] = "\x86\xa6"
                                   "origin"
                                   "\xa8"
                                   "k3v9q2mx"
                                   "\xa3"
                                   "seq"
                                   "\xcf\0\0\0\0\0\0\0\0"
                                   "\xa4"
                                   "prev"
                                   "\xcf\0\0\0\0\0\0\0\0"
                                   "\xa2"
                                   "ts"
                                   "\xcf\0\0\0\0\0\0\1\2"
                                   "\xa4"
                                   "skip"
                                   "\xa1"
                                   "x"
                                   "\xa4"
                                   "data";
    assert_int_equal(size, sizeof(expected) - 1);
    assert_memory_equal(out, expected, size);
}

static void test_body_size_bound(void **state)
{
    (void)state;
    uint8_t bytes[256];
    size_t seq_offset;
    size_t prev_offset;
    size_t size = encode(bytes, "k3v9q2mx", NULL, &seq_offset, &prev_offset);
    talus__body_patch(bytes + seq_offset, 7);
    talus__body_patch(bytes + prev_offset, 3);
    bytes[size++] = 0xc0;
    struct talus__limits limits = defaults;
    struct talus__body body;
    limits.max_body = size;
    assert_int_equal(talus__body_decode(bytes, size, &limits, &body), 0);
    limits.max_body = size - 1;
    assert_int_equal(talus__body_decode(bytes, size, &limits, &body), TALUS_ETOOLARGE);
    assert_int_equal(body.seq, 7);
    assert_int_equal(body.prev, 3);
    assert_memory_equal(body.origin, "k3v9q2mx", 8);
    bytes[size - 1] = 0xc1; // not looked at
    assert_int_equal(talus__body_decode(bytes, size, &limits, &body), TALUS_ETOOLARGE);
    talus__body_patch(bytes + seq_offset, 0);
    assert_int_equal(talus__body_decode(bytes, size, &limits, &body), TALUS__EBODY);
}

// What comes after an event has a number, too.
static void test_body_refuses_the_highest_seq(void **state)
{
    (void)state;
    uint8_t bytes[256];
    size_t seq_offset;
    size_t prev_offset;
    size_t size = encode(bytes, "k3v9q2mx", NULL, &seq_offset, &prev_offset);
    bytes[size++] = 0xc0;
    struct talus__limits limits = defaults;
    struct talus__body body;
    talus__body_patch(bytes + seq_offset, UINT64_MAX);
    assert_int_equal(talus__body_decode(bytes, size, &limits, &body), TALUS__EBODY);
    limits.max_body = size - 1;
    assert_int_equal(talus__body_decode(bytes, size, &limits, &body), TALUS__EBODY);
    talus__body_patch(bytes + seq_offset, TALUS__SEQ_MAX);
    assert_int_equal(talus__body_decode(bytes, size, &limits, &body), TALUS_ETOOLARGE);
    struct talus__head head = {"k3v9q2mx", 8, UINT64_MAX, "", 0};
    size = talus__head_encode(bytes, sizeof bytes, &head);
    assert_true(size > 0);
    assert_int_equal(talus__head_decode(bytes, size, &head), TALUS__EBODY);
}

static void test_body_fields_are_valid_after_a_refusal(void **state)
{
    (void)state;
    uint8_t bytes[256];
    size_t seq_offset;
    size_t prev_offset;
    size_t size = encode(bytes, "k3v9q2mx", "client", &seq_offset, &prev_offset);
    talus__body_patch(bytes + seq_offset, 7);
    memset(bytes + size, 0x91, TALUS__MAX_DEPTH + 1);
    size += TALUS__MAX_DEPTH + 1;
    bytes[size++] = 0x01;
    struct talus__body body;
    assert_int_equal(talus__body_decode(bytes, size, &defaults, &body), TALUS_ETOODEEP);
    assert_int_equal(body.seq, 7);
    assert_int_equal(body.prev, 0);
    assert_memory_equal(body.except, "client", body.except_size);
    assert_true(body.ts == UINT64_MAX);
}

static void test_body_head_round_trip_and_capacity(void **state)
{
    (void)state;
    char replay[TALUS__REPLAY_MAX];
    memset(replay, 'r', sizeof(replay));
    struct talus__head head = {"k3v9q2mx", 8, TALUS__SEQ_MAX, replay, sizeof(replay)};
    uint8_t out[1024];
    size_t size = talus__head_encode(out, sizeof(out), &head);
    assert_true(size > 0);
    struct talus__head decoded;
    assert_int_equal(talus__head_decode(out, size, &decoded), 0);
    assert_int_equal(decoded.origin_size, 8);
    assert_true(decoded.seq == TALUS__SEQ_MAX);
    assert_int_equal(decoded.replay_size, sizeof(replay));
    assert_memory_equal(decoded.replay, replay, sizeof(replay));
    for (size_t capacity = 0; capacity < size; capacity++) {
        uint8_t *exact = malloc(capacity);
        assert_int_equal(talus__head_encode(exact, capacity, &head), 0);
        free(exact);
    }
    uint8_t *exact = malloc(size);
    assert_int_equal(talus__head_encode(exact, size, &head), size);
    free(exact);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_body_event_vectors),
        cmocka_unit_test(test_body_head_vectors),
        cmocka_unit_test(test_body_truncated_and_corrupted),
        cmocka_unit_test(test_body_header_round_trip),
        cmocka_unit_test(test_body_header_keys_in_order),
        cmocka_unit_test(test_body_size_bound),
        cmocka_unit_test(test_body_refuses_the_highest_seq),
        cmocka_unit_test(test_body_fields_are_valid_after_a_refusal),
        cmocka_unit_test(test_body_head_round_trip_and_capacity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
