// SPDX-License-Identifier: MIT
#include "common/option.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS_MAX = 60 }; // of a number

struct unit {
    const char *name;
    double factor;
};

static const struct unit milliseconds[] = {{"", 1},     {"ms", 1},        {"s", 1000},
                                           {"m", 60e3}, {"h", 60 * 60e3}, {NULL, 0}};
static const struct unit seconds[] = {{"", 1},   {"ms", 1e-3},   {"s", 1},
                                      {"m", 60}, {"h", 60 * 60}, {NULL, 0}};
static const struct unit bytes[] = {{"", 1},
                                    {"k", 1e3},
                                    {"kB", 1e3},
                                    {"M", 1e6},
                                    {"MB", 1e6},
                                    {"G", 1e9},
                                    {"GB", 1e9},
                                    {"KiB", 1024},
                                    {"MiB", 1024 * 1024.},
                                    {"GiB", 1024 * 1024 * 1024.},
                                    {NULL, 0}};
static const struct unit none[] = {{"", 1}, {NULL, 0}};

static const struct unit *units_of(enum tl_option_kind kind)
{
    switch (kind) {
    case TL_OPTION_MILLISECONDS:
        return milliseconds;
    case TL_OPTION_SECONDS:
        return seconds;
    case TL_OPTION_BYTES:
        return bytes;
    default:
        return none;
    }
}

// Takes digits, perhaps with a point between them or beside them, from *at on. The point is not
// left to strtod, to which it may be a comma.
static bool take_decimal(const char **at, bool may_have_fraction, double *number)
{
    static const char digits[] = "0123456789";
    const char *text = *at;
    char plain[DIGITS_MAX + 16];
    size_t whole = strspn(text, digits);
    bool has_point = may_have_fraction && text[whole] == '.';
    size_t fraction = has_point ? strspn(text + whole + 1, digits) : 0;
    if (whole + fraction == 0 || whole + fraction > DIGITS_MAX)
        return false;
    snprintf(plain, sizeof plain, "%.*s%.*se-%zu", (int)whole, text, (int)fraction,
             text + whole + has_point, fraction);
    *number = strtod(plain, NULL);
    *at = text + whole + has_point + fraction;
    return true;
}

static bool parse_number(const struct tl_option *option, const char *text,
                         struct tl_option_value *value)
{
    bool is_decimal = option->kind == TL_OPTION_DECIMAL || option->kind == TL_OPTION_SECONDS;
    const struct unit *unit = units_of(option->kind);
    bool has_units = unit != none;
    const char *at = text;
    double number;
    if (!take_decimal(&at, is_decimal || has_units, &number))
        return false;
    while (unit->name && strcmp(unit->name, at) != 0)
        unit++;
    if (!unit->name || (!is_decimal && *at == '\0' && strchr(text, '.')))
        return false; // "1.5" of a whole unit is as wrong as ever; "1.5s" is 1,500 ms
    number *= unit->factor;
    if (!(number >= option->min && number <= option->max))
        return false;
    double whole = (double)(uint64_t)(number + 0.5);
    if (!is_decimal && fabs(number - whole) > 1e-6)
        return false;
    *value = (struct tl_option_value){.integer = is_decimal ? 0 : (uint64_t)whole,
                                      .decimal = is_decimal ? number : 0};
    return true;
}

static bool parse_mode(const struct tl_option *option, const char *text,
                       struct tl_option_value *value)
{
    size_t size = strlen(text);
    if (size < 3 || size > 5 || strspn(text, "01234567") != size)
        return false;
    unsigned long mode = strtoul(text, NULL, 8);
    if ((double)mode < option->min || (double)mode > option->max)
        return false;
    *value = (struct tl_option_value){.integer = mode};
    return true;
}

bool tl_option_parse(const struct tl_option *option, const char *text,
                     struct tl_option_value *value)
{
    return option->kind == TL_OPTION_MODE ? parse_mode(option, text, value)
                                          : parse_number(option, text, value);
}

void tl_option_explain(const struct tl_option *option, const char *text, char *out, size_t size)
{
    const char *unit = option->unit;
    const char * or = "";
    switch (option->kind) {
    case TL_OPTION_MODE:
        snprintf(out, size, "takes an octal mode from 0%o to 0%o, not \"%s\"",
                 (unsigned)option->min, (unsigned)option->max, text);
        return;
    case TL_OPTION_MILLISECONDS:
        unit = "milliseconds";
        or = ", or a time such as 500ms, 5s or 2m";
        break;
    case TL_OPTION_SECONDS:
        unit = "seconds";
        or = ", or a time such as 500ms, 5s or 2m";
        break;
    case TL_OPTION_BYTES:
        unit = "bytes";
        or = ", or a size such as 64k or 16MiB";
        break;
    default:
        break;
    }
    // "%.15g" writes every bound in use as a person would: 0.01, 1000000.
    snprintf(out, size, "takes a number%s%s from %.15g to %.15g%s, not \"%s\"", unit ? " of " : "",
             unit ? unit : "", option->min, option->max, or, text);
}
