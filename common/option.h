// SPDX-License-Identifier: MIT
// Values of options: what the option tables of the gateway and of the command line have in common.
// Pure, whatever the locale.
//
// A time is a number in the option's own unit, or a number with one of ms, s, m, h: 250, 500ms,
// 1.5s, 2m. A size is a number of bytes, or a number with one of k, M, G (thousands; kB, MB, GB are
// the same) or KiB, MiB, GiB (1,024s): 1048576, 64k, 16MiB.
#ifndef TALUS_COMMON_OPTION_H
#define TALUS_COMMON_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tl_option_kind {
    TL_OPTION_INTEGER,      // a decimal number; gives `integer`
    TL_OPTION_DECIMAL,      // the same with a fraction, if it likes; gives `decimal`
    TL_OPTION_MILLISECONDS, // a time that is whole milliseconds; gives `integer`
    TL_OPTION_SECONDS,      // a time; gives `decimal`
    TL_OPTION_BYTES,        // a size; gives `integer`
    TL_OPTION_MODE,         // octal permissions, three digits or more; gives `integer`
};

struct tl_option {
    enum tl_option_kind kind;
    double min, max;  // below 2^53
    const char *unit; // what INTEGER and DECIMAL count, in explanations; NULL: nothing
};

struct tl_option_value {
    uint64_t integer;
    double decimal;
};

// Reads what was given as an option's value. False: the option does not take that; *value is as it
// was.
bool tl_option_parse(const struct tl_option *option, const char *text,
                     struct tl_option_value *value) __attribute__((warn_unused_result));

// Writes what the option takes and that `text` is not that: `takes a number from 1 to 9, not "0"`.
// The name of the option goes before it. What does not fit is cut off.
void tl_option_explain(const struct tl_option *option, const char *text, char *out, size_t size);

#endif
