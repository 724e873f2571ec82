// SPDX-License-Identifier: MIT
// msgpack to JSON: the shared cases, the capacity, damaged input, and what hostile input costs.
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <talus/error.h>
#include <talus/json.h>

#include "tests/bus/support/vectors.h"
#include "tests/common/utf8_repairs.h"

enum { OUTPUT_MAX = 4096, BINS_MAX = 64 };

struct bins {
    struct {
        const void *ptr;
        size_t size;
    } items[BINS_MAX];
    size_t count;
};

static void on_bin(const void *bytes, size_t size, void *arg)
{
    struct bins *bins = arg;
    assert_true(bins->count < BINS_MAX);
    bins->items[bins->count].ptr = bytes;
    bins->items[bins->count++].size = size;
}

static void expect_json(const json_t *item, const char *key, const struct vectors_bytes *bytes,
                        talus_json_bin_fn *fn, struct bins *bins)
{
    char *buffer = malloc(OUTPUT_MAX);
    size_t expected_size;
    size_t written;
    const char *expected = vectors_text(item, key, &expected_size);
    const char *name = vectors_text(item, "name", NULL);
    talus_error_t error =
        talus_json_encode(bytes->ptr, bytes->size, fn, bins, buffer, OUTPUT_MAX, &written);
    if (error)
        fail_msg("%s: %s", name, talus_error_name(error));
    if (written != expected_size || memcmp(buffer, expected, written) != 0)
        fail_msg("%s: %.*s instead of %s", name, (int)written, buffer, expected);
    free(buffer);
}

static void expect_bins(const json_t *item, const struct bins *bins)
{
    const json_t *expected = json_object_get(item, "bin");
    assert_int_equal(bins->count, json_array_size(expected));
    for (size_t i = 0; i < bins->count; i++) {
        struct vectors_bytes bin = vectors_hex(json_string_value(json_array_get(expected, i)));
        assert_int_equal(bins->items[i].size, bin.size);
        assert_memory_equal(bins->items[i].ptr, bin.ptr, bin.size);
        free(bin.ptr);
    }
}

typedef void check_fn(const json_t *item, const struct vectors_bytes *bytes);

static void for_each(check_fn *check)
{
    json_t *root = vectors_load("payloads.json");
    json_t *items = json_object_get(root, "payloads");
    size_t i;
    json_t *item;
    size_t checked = 0;
    json_array_foreach(items, i, item)
    {
        if (!json_object_get(item, "json"))
            continue;
        struct vectors_bytes bytes = vectors_member_hex(item, "msgpack");
        check(item, &bytes);
        free(bytes.ptr);
        checked++;
    }
    assert_true(checked > 100);
    json_decref(root);
}

static void check_json(const json_t *item, const struct vectors_bytes *bytes)
{
    struct bins bins = {.count = 0};
    expect_json(item, "json", bytes, on_bin, &bins);
    expect_bins(item, &bins);
    if (json_object_get(item, "plain"))
        expect_json(item, "plain", bytes, NULL, NULL);
}

static void test_json_vectors(void **state)
{
    (void)state;
    for_each(check_json);
}

// Makes a locale with a decimal comma, since few machines have one, and sets it. False: localedef
// or its character sets are not installed.
static bool set_comma_locale(char *directory)
{
    static const char source[] = "LC_NUMERIC\ndecimal_point \",\"\nthousands_sep \".\"\n"
                                 "grouping 3;3\nEND LC_NUMERIC\n";
    char path[128];
    char command[512];
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/source", directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(source, file) >= 0);
    assert_int_equal(fclose(file), 0);
    // It warns of the categories that are left out, and then exits with 1.
    snprintf(command, sizeof(command),
             "localedef -c -i %s -f ANSI_X3.4-1968 %s/comma >/dev/null 2>&1", path, directory);
    if (system(command) == -1)
        return false;
    assert_int_equal(setenv("LOCPATH", directory, 1), 0);
    return setlocale(LC_NUMERIC, "comma") && strcmp(localeconv()->decimal_point, ",") == 0;
}

static void test_json_is_independent_of_the_locale(void **state)
{
    (void)state;
    char directory[] = "/tmp/talus-test-locale-XXXXXX";
    char command[64];
    bool is_set = set_comma_locale(directory);
    if (is_set) {
        char number[16];
        snprintf(number, sizeof(number), "%.1f", 0.5);
        assert_string_equal(number, "0,5");
        for_each(check_json);
    }
    setlocale(LC_NUMERIC, "C");
    snprintf(command, sizeof(command), "rm -r %s", directory);
    assert_int_equal(system(command), 0);
    if (!is_set) {
        print_message("no locale with a decimal comma can be made here\n");
        skip();
    }
}

// At every capacity: the size of the whole text, what fits of it, and nothing behind.
static void check_capacities(const json_t *item, const struct vectors_bytes *bytes)
{
    size_t size;
    const char *expected = vectors_text(item, "json", &size);
    for (size_t capacity = 0; capacity <= size; capacity++) {
        char *exact = malloc(capacity);
        size_t written = 0;
        struct bins bins = {.count = 0};
        talus_error_t error =
            talus_json_encode(bytes->ptr, bytes->size, on_bin, &bins, exact, capacity, &written);
        assert_int_equal(error, capacity < size ? TALUS_ETOOLARGE : 0);
        assert_int_equal(written, size);
        if (capacity > 0)
            assert_memory_equal(exact, expected, capacity);
        expect_bins(item, &bins);
        free(exact);
    }
    size_t written = 0;
    assert_int_equal(talus_json_encode(bytes->ptr, bytes->size, on_bin, &(struct bins){.count = 0},
                                       NULL, 0, &written),
                     TALUS_ETOOLARGE);
    assert_int_equal(written, size);
}

static void test_json_capacity(void **state)
{
    (void)state;
    for_each(check_capacities);
}

// Truncated input is refused; damaged input is refused or gives text that a JSON parser takes.
static void encode_damaged(const void *bytes, size_t size, bool is_truncated)
{
    struct vectors_bytes copy = vectors_copy(bytes, size);
    char *buffer = malloc(OUTPUT_MAX);
    size_t written = 0;
    talus_error_t error = talus_json_encode(copy.ptr, size, on_bin, &(struct bins){.count = 0},
                                            buffer, OUTPUT_MAX, &written);
    if (is_truncated)
        assert_int_equal(error, TALUS_EMSGPACK);
    assert_true(error == 0 || error == TALUS_EMSGPACK);
    if (!error) {
        json_error_t reason;
        json_t *parsed = json_loadb(
            buffer, written, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &reason);
        if (!parsed && json_error_code(&reason) != json_error_null_byte_in_key) // Jansson's limit
            fail_msg("%s in %.*s", reason.text, (int)written, buffer);
        json_decref(parsed);
    }
    free(buffer);
    free(copy.ptr);
}

static void damage(const json_t *item, const struct vectors_bytes *bytes)
{
    (void)item;
    if (bytes->size > 48)
        return;
    for (size_t length = 0; length < bytes->size; length++)
        encode_damaged(bytes->ptr, length, true);
    for (size_t place = 0; place < bytes->size; place++) {
        uint8_t whole = bytes->ptr[place];
        for (int byte = 0; byte < 256; byte++) {
            bytes->ptr[place] = (uint8_t)byte;
            encode_damaged(bytes->ptr, bytes->size, false);
        }
        bytes->ptr[place] = whole;
    }
}

static void test_json_truncated_and_corrupted(void **state)
{
    (void)state;
    for_each(damage);
}

static int encode_nested(unsigned depth, size_t *written)
{
    uint8_t bytes[128];
    char buffer[512];
    memset(bytes, 0x91, depth);
    bytes[depth] = 0x07;
    return talus_json_encode(bytes, depth + 1, NULL, NULL, buffer, sizeof(buffer), written);
}

static int encode_nested_maps(unsigned depth, size_t *written)
{
    uint8_t bytes[3 * 128];
    char buffer[1024];
    for (unsigned i = 0; i < depth; i++)
        memcpy(bytes + (size_t)3 * i, "\x81\xa1k", 3);
    bytes[3 * depth] = 0x07;
    return talus_json_encode(bytes, 3 * depth + 1, NULL, NULL, buffer, sizeof(buffer), written);
}

static void test_json_depth_bound(void **state)
{
    (void)state;
    size_t written;
    assert_int_equal(encode_nested(64, &written), 0);
    assert_int_equal(written, 129);
    assert_int_equal(encode_nested(65, &written), TALUS_ETOODEEP);
    assert_int_equal(encode_nested_maps(64, &written), 0);
    assert_int_equal(written, 64 * strlen("{\"k\":}") + 1);
    assert_int_equal(encode_nested_maps(65, &written), TALUS_ETOODEEP);
}

static void test_json_trailing_byte_is_refused(void **state)
{
    (void)state;
    char buffer[16];
    size_t written = 77;
    assert_int_equal(talus_json_encode("\x01\x02", 2, NULL, NULL, buffer, sizeof(buffer), &written),
                     TALUS_EMSGPACK);
    assert_int_equal(written, 77);
}

// Escaping a key within a key within a key would double the text at each level.
static void test_json_keys_in_keys_stay_small(void **state)
{
    (void)state;
    uint8_t bytes[64];
    size_t size = 0;
    size_t written = 0;
    for (int i = 0; i < 31; i++)
        bytes[size++] = 0x81;
    bytes[size++] = 0x80;
    for (int i = 0; i < 31; i++)
        bytes[size++] = 0x01;
    char buffer[256];
    assert_int_equal(talus_json_encode(bytes, size, NULL, NULL, buffer, sizeof(buffer), &written),
                     0);
    assert_true(written < 4 * size);
}

// A run of plain text is found eight bytes at a time: each kind of special byte at each place of a
// word, after runs of each length.
static void test_json_special_bytes_in_every_place(void **state)
{
    (void)state;
    for (size_t length = 1; length < 32; length++) {
        for (size_t place = 0; place < length; place++) {
            for (int byte = 0; byte < 256; byte++) {
                uint8_t text[33];
                memset(text, 'a', sizeof(text));
                text[0] = (uint8_t)(0xa0 | length);
                text[1 + place] = (uint8_t)byte;
                char buffer[64];
                size_t written;
                struct vectors_bytes copy = vectors_copy(text, length + 1);
                assert_int_equal(talus_json_encode(copy.ptr, copy.size, NULL, NULL, buffer,
                                                   sizeof(buffer), &written),
                                 0);
                bool is_short =
                    byte == '"' || byte == '\\' || (byte >= 8 && byte <= 13 && byte != 11);
                size_t replacement = byte >= 0x80 ? 3 : is_short ? 2 : byte < 0x20 ? 6 : 1;
                assert_int_equal(written, length - 1 + replacement + 2);
                free(copy.ptr);
            }
        }
    }
}

static void test_json_repairs_utf8(void **state)
{
    (void)state;
    for (size_t i = 0; i < UTF8_REPAIR_COUNT; i++) {
        uint8_t packed[32];
        char json[128] = "";
        char expected[128];
        size_t size = strlen(UTF8_REPAIRS[i].in), written;
        assert_true(size < sizeof packed);
        packed[0] = (uint8_t)(0xa0 | size); // fixstr
        memcpy(packed + 1, UTF8_REPAIRS[i].in, size);
        snprintf(expected, sizeof expected, "\"%s\"", UTF8_REPAIRS[i].out);
        assert_int_equal(
            talus_json_encode(packed, size + 1, NULL, NULL, json, sizeof json - 1, &written), 0);
        assert_string_equal(json, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_vectors),
        cmocka_unit_test(test_json_is_independent_of_the_locale),
        cmocka_unit_test(test_json_capacity),
        cmocka_unit_test(test_json_truncated_and_corrupted),
        cmocka_unit_test(test_json_depth_bound),
        cmocka_unit_test(test_json_trailing_byte_is_refused),
        cmocka_unit_test(test_json_keys_in_keys_stay_small),
        cmocka_unit_test(test_json_special_bytes_in_every_place),
        cmocka_unit_test(test_json_repairs_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
