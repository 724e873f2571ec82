// SPDX-License-Identifier: MIT
// The values of node properties, and how they become values of events.
#ifndef TALUS_CLI_DEMO_VALUE_H
#define TALUS_CLI_DEMO_VALUE_H

#include <stdint.h>

#include <talus.h>

enum { DEMO_TEXT_SIZE = 48, DEMO_SCRATCH_SIZE = 512 };

typedef enum demo_value_kind {
    VALUE_NONE, // the property is not set; an event says nil
    VALUE_BOOL,
    VALUE_INTEGER,
    VALUE_NUMBER,
    VALUE_TEXT,
    VALUE_POINT,     // {"x": …, "y": …}
    VALUE_THUMBNAIL, // a BMP picture, drawn from `integer`
} demo_value_kind_t;

typedef struct demo_value {
    demo_value_kind_t kind;
    int64_t integer; // BOOL, INTEGER, THUMBNAIL
    double number;
    int x, y; // POINT, 0 to 65,535
    char text[DEMO_TEXT_SIZE];
} demo_value_t;

// `scratch` holds what the value then borrows.
talus_value_t demo_value_of(const demo_value_t *value, unsigned char scratch[DEMO_SCRATCH_SIZE]);

#endif
