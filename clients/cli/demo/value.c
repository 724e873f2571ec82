// SPDX-License-Identifier: MIT
#include "clients/cli/demo/value.h"

#include <string.h>

#include "clients/cli/demo/random.h"

enum {
    SIDE = 8, // pixels of a thumbnail; a row of 24 bytes needs no padding
    BMP_HEADER = 54,
    BMP_SIZE = BMP_HEADER + SIDE * SIDE * 3,
};
_Static_assert((int)BMP_SIZE <= (int)DEMO_SCRATCH_SIZE, "a thumbnail fits into the scratch");

// Two colours that run into each other from the upper left to the lower right.
static talus_value_t draw_thumbnail(uint64_t seed, unsigned char *out)
{
    static const unsigned char header[BMP_HEADER] = {
        'B',
        'M',
        BMP_SIZE & 0xff,
        BMP_SIZE >> 8,
        [10] = BMP_HEADER,
        [14] = 40,
        [18] = SIDE,
        [22] = SIDE,
        [26] = 1,
        [28] = 24,
        [34] = (SIDE * SIDE * 3) & 0xff,
    };
    demo_random_t random = {.state = seed};
    int from[3], to[3];
    for (int i = 0; i < 3; i++) {
        from[i] = (int)random_below(&random, 256);
        to[i] = (int)random_below(&random, 256);
    }
    memcpy(out, header, sizeof(header));
    unsigned char *pixel = out + BMP_HEADER;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            for (int i = 0; i < 3; i++)
                *pixel++ = (unsigned char)(from[i] + (to[i] - from[i]) * (x + y) / (2 * SIDE - 2));
    return talus_bin(out, BMP_SIZE);
}

static unsigned char *pack_coordinate(unsigned char *out, char name, int value)
{
    *out++ = 0xa1; // a string of one byte
    *out++ = (unsigned char)name;
    *out++ = 0xcd; // a 16-bit unsigned integer
    *out++ = (unsigned char)(value >> 8);
    *out++ = (unsigned char)value;
    return out;
}

static talus_value_t pack_point(const demo_value_t *value, unsigned char *out)
{
    unsigned char *end = out;
    *end++ = 0x82; // a map of two
    end = pack_coordinate(end, 'x', value->x);
    end = pack_coordinate(end, 'y', value->y);
    return talus_msgpack(out, (size_t)(end - out));
}

talus_value_t demo_value_of(const demo_value_t *value, unsigned char scratch[DEMO_SCRATCH_SIZE])
{
    switch (value->kind) {
    case VALUE_NONE:
        break;
    case VALUE_BOOL:
        return talus_bool(value->integer != 0);
    case VALUE_INTEGER:
        return talus_int(value->integer);
    case VALUE_NUMBER:
        return talus_double(value->number);
    case VALUE_TEXT:
        return talus_str(value->text);
    case VALUE_POINT:
        return pack_point(value, scratch);
    case VALUE_THUMBNAIL:
        return draw_thumbnail((uint64_t)value->integer, scratch);
    }
    return talus_nil();
}
