// SPDX-License-Identifier: MIT
// The check of payloads: the shared cases, the bounds, every truncation and corruption, and
// msgpack-c's unpacker as the oracle of what is well-formed.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <msgpack.h>

#include <talus/error.h>

#include "bus/src/codec/payload.h"
#include "tests/bus/support/vectors.h"

static const struct talus__limits defaults = {TALUS__MAX_BODY, TALUS__MAX_DEPTH, TALUS__MAX_BIN};

typedef void check_fn(const json_t *item, const struct vectors_bytes *bytes);

static void for_each(check_fn *check)
{
    json_t *root = vectors_load("payloads.json");
    json_t *items = json_object_get(root, "payloads");
    size_t i;
    json_t *item;
    assert_true(json_array_size(items) > 0);
    json_array_foreach(items, i, item)
    {
        struct vectors_bytes bytes = vectors_member_hex(item, "msgpack");
        check(item, &bytes);
        free(bytes.ptr);
    }
    json_decref(root);
}

static void check_outcome(const json_t *item, const struct vectors_bytes *bytes)
{
    const char *expected =
        json_object_get(item, "error") ? vectors_text(item, "error", NULL) : "TALUS_OK";
    int error = talus__payload_check(bytes->ptr, bytes->size, &defaults);
    if (strcmp(talus_error_name(error), expected) != 0)
        fail_msg("%s: %s", vectors_text(item, "name", NULL), talus_error_name(error));
}

static void test_payload_vectors(void **state)
{
    (void)state;
    for_each(check_outcome);
}

// The oracle allocates by claimed counts, and knows 32 levels only: it is asked about short cases
// without 32-bit counts.
static bool is_for_oracle(const uint8_t *bytes, size_t size)
{
    size_t opened = 0;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == 0xdd || bytes[i] == 0xdf)
            return false;
        opened += (bytes[i] >= 0x80 && bytes[i] < 0xa0) || bytes[i] == 0xdc || bytes[i] == 0xde;
    }
    return opened < 30;
}

static void compare_with_oracle(const uint8_t *bytes, size_t size)
{
    struct vectors_bytes copy = vectors_copy(bytes, size);
    int error = talus__payload_check(copy.ptr, size, &defaults);
    if (is_for_oracle(bytes, size)) {
        msgpack_unpacked unpacked;
        size_t offset = 0;
        msgpack_unpacked_init(&unpacked);
        msgpack_unpack_return answer =
            msgpack_unpack_next(&unpacked, (const char *)copy.ptr, size, &offset);
        bool is_whole = answer == MSGPACK_UNPACK_SUCCESS && offset == size;
        assert_int_equal(error != TALUS_EMSGPACK, is_whole);
        msgpack_unpacked_destroy(&unpacked);
    }
    free(copy.ptr);
}

static void damage(const json_t *item, const struct vectors_bytes *bytes)
{
    (void)item;
    if (bytes->size > 40)
        return;
    for (size_t length = 0; length <= bytes->size; length++)
        compare_with_oracle(bytes->ptr, length);
    for (size_t place = 0; place < bytes->size; place++) {
        uint8_t whole = bytes->ptr[place];
        for (int byte = 0; byte < 256; byte++) {
            bytes->ptr[place] = (uint8_t)byte;
            compare_with_oracle(bytes->ptr, bytes->size);
        }
        bytes->ptr[place] = whole;
    }
}

static void test_payload_truncated_and_corrupted(void **state)
{
    (void)state;
    for_each(damage);
}

static int check_nested(uint8_t opener, unsigned depth, unsigned max_depth)
{
    struct talus__limits limits = defaults;
    uint8_t bytes[256];
    size_t size = 0;
    limits.max_depth = max_depth;
    for (unsigned i = 0; i < depth; i++) {
        bytes[size++] = opener;
        if (opener == 0x81)
            bytes[size++] = 0x01;
    }
    bytes[size++] = 0xc0;
    return talus__payload_check(bytes, size, &limits);
}

static void test_payload_depth_bound(void **state)
{
    (void)state;
    static const uint8_t openers[] = {0x91, 0x81};
    for (size_t i = 0; i < sizeof(openers); i++) {
        for (unsigned max = 0; max <= TALUS__DEPTH_LIMIT; max++) {
            assert_int_equal(check_nested(openers[i], max, max), 0);
            assert_int_equal(check_nested(openers[i], max + 1, max), TALUS_ETOODEEP);
        }
        // More than the limit cannot be configured.
        assert_int_equal(check_nested(openers[i], TALUS__DEPTH_LIMIT, UINT32_MAX), 0);
        assert_int_equal(check_nested(openers[i], TALUS__DEPTH_LIMIT + 1, UINT32_MAX),
                         TALUS_ETOODEEP);
    }
}

static void test_payload_depth_counts_nesting_not_containers(void **state)
{
    (void)state;
    struct talus__limits limits = {TALUS__MAX_BODY, 2, 0};
    static const uint8_t wide[] = {0x93, 0x91, 0x01, 0x91, 0x01, 0x80};
    assert_int_equal(talus__payload_check(wide, sizeof(wide), &limits), 0);
    static const uint8_t after_deep[] = {0x92, 0x91, 0x90, 0x01};
    assert_int_equal(talus__payload_check(after_deep, sizeof(after_deep), &limits), TALUS_ETOODEEP);
}

static void test_payload_bin_bound(void **state)
{
    (void)state;
    for (unsigned max = 0; max < 14; max++) {
        struct talus__limits limits = {TALUS__MAX_BODY, TALUS__MAX_DEPTH, max};
        uint8_t bytes[64];
        for (unsigned count = 0; count <= 15; count++) {
            size_t size = 0;
            bytes[size++] = (uint8_t)(0x90 | count);
            for (unsigned i = 0; i < count; i++) {
                bytes[size++] = 0xc4;
                bytes[size++] = 0x00;
            }
            assert_int_equal(talus__payload_check(bytes, size, &limits),
                             count > max ? TALUS_ETOOMANYBIN : 0);
        }
    }
}

static void test_payload_hostile_sharing_of_counts_is_refused_early(void **state)
{
    (void)state;
    // Each array claims all bytes that follow: only the first can have them.
    enum { SIZE = 3 * 300000 };
    uint8_t *bytes = malloc(SIZE);
    assert_non_null(bytes);
    for (size_t i = 0; i < SIZE; i += 3)
        memcpy(bytes + i, "\xdc\xff\xff", 3);
    struct talus__limits limits = {SIZE, TALUS__DEPTH_LIMIT, TALUS__MAX_BIN};
    assert_int_equal(talus__payload_check(bytes, SIZE, &limits), TALUS_EMSGPACK);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_payload_vectors),
        cmocka_unit_test(test_payload_truncated_and_corrupted),
        cmocka_unit_test(test_payload_depth_bound),
        cmocka_unit_test(test_payload_depth_counts_nesting_not_containers),
        cmocka_unit_test(test_payload_bin_bound),
        cmocka_unit_test(test_payload_hostile_sharing_of_counts_is_refused_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
