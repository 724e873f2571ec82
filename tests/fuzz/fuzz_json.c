// SPDX-License-Identifier: MIT
// msgpack to JSON: the text is JSON (jansson parses it), does not grow beyond measure, and is the
// same when it is cut; what the check of payloads accepts is encoded; msgpack-c agrees that it is
// well-formed. The input's first eight bytes are also a double that must read back.
#include <jansson.h>
#include <math.h>
#include <msgpack.h>
#include <stdbool.h>
#include <string.h>

#include <talus/error.h>
#include <talus/json.h>

#include "bus/src/codec/payload.h"
#include "common/number.h"
#include "fuzz_check.h"

enum { INPUT_MAX = 2000, GROWTH_MAX = 32, OUTPUT_MAX = INPUT_MAX * GROWTH_MAX + GROWTH_MAX };

static char text[OUTPUT_MAX];

// Reads each byte, so that the address sanitizer watches.
static void count_bin(const void *bytes, size_t size, void *arg)
{
    static volatile uint8_t sink;
    for (size_t i = 0; i < size; i++)
        sink = ((const uint8_t *)bytes)[i];
    (void)sink;
    ++*(unsigned *)arg;
}

static void check_double(const uint8_t *data)
{
    double number;
    char digits[TL_NUMBER_MAX + 1];
    memcpy(&number, data, sizeof(number));
    digits[tl_format_double(number, digits)] = '\0';
    if (isfinite(number))
        CHECK(strtod(digits, NULL) == number);
    else
        CHECK(strcmp(digits, "null") == 0);
}

static void check_parses(size_t size)
{
    json_error_t error;
    json_t *parsed =
        json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    // Two limits of jansson's own, not of JSON.
    bool is_excused = !parsed && (json_error_code(&error) == json_error_null_byte_in_key ||
                                  json_error_code(&error) == json_error_numeric_overflow);
    CHECK(parsed || is_excused);
    json_decref(parsed);
}

static void check_cut(const uint8_t *data, size_t size, size_t whole)
{
    size_t capacity = whole / 2;
    char *cut = malloc(capacity);
    size_t written = 0;
    unsigned bins = 0;
    int error = talus_json_encode(data, size, count_bin, &bins, cut, capacity, &written);
    CHECK(error == (capacity < whole ? TALUS_ETOOLARGE : 0) && written == whole);
    CHECK(capacity == 0 || memcmp(cut, text, capacity) == 0);
    free(cut);
}

// msgpack-c allocates by claimed counts and knows 32 levels: it is asked only about what our check
// has accepted.
static void check_oracle_agrees(const uint8_t *data, size_t size)
{
    struct talus__limits limits = {INPUT_MAX, 30, INPUT_MAX};
    if (talus__payload_check(data, size, &limits) != 0)
        return;
    msgpack_unpacked unpacked;
    size_t offset = 0;
    msgpack_unpacked_init(&unpacked);
    CHECK(msgpack_unpack_next(&unpacked, (const char *)data, size, &offset) ==
          MSGPACK_UNPACK_SUCCESS);
    CHECK(offset == size);
    msgpack_unpacked_destroy(&unpacked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= sizeof(double))
        check_double(data);
    if (size > INPUT_MAX)
        return 0;
    struct talus__limits limits = {INPUT_MAX, TALUS__DEPTH_LIMIT, INPUT_MAX};
    unsigned bins = 0;
    size_t written = 0;
    int checked = talus__payload_check(data, size, &limits);
    int error = talus_json_encode(data, size, count_bin, &bins, text, sizeof(text), &written);
    if (checked == 0 || checked == TALUS_EPLACEHOLDER)
        CHECK(error == 0);
    else
        CHECK(error == checked || (error == TALUS_ETOODEEP && checked == TALUS_EMSGPACK) ||
              (error == 0 && checked == TALUS_ETOODEEP));
    if (error == 0) {
        CHECK(written <= GROWTH_MAX * size + GROWTH_MAX);
        check_parses(written);
        check_cut(data, size, written);
        check_oracle_agrees(data, size);
    }
    return 0;
}
