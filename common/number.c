// SPDX-License-Identifier: MIT
// Numbers as text. The only use of the C library's locale-dependent functions is with digits and an
// exponent, never with a decimal point: that point is the locale's.
#include "common/number.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXACT_INTEGER 9007199254740992.0 // 2^53
#define EXACT_DIGITS  1e15               // decimals of 15 digits are never confused as doubles
#define SHORT_LEAST   1e-7               // from here up to EXACT_DIGITS, find_short finds them all

// A positive decimal: digits × 10^exponent, the last digit not 0.
struct decimal {
    uint64_t digits;
    int exponent;
};

size_t tl_format_unsigned(uint64_t number, char *out)
{
    char reversed[20];
    size_t size = 0;
    do {
        reversed[size++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    for (size_t i = 0; i < size; i++)
        out[i] = reversed[size - 1 - i];
    return size;
}

size_t tl_format_signed(int64_t number, char *out)
{
    if (number >= 0)
        return tl_format_unsigned((uint64_t)number, out);
    *out = '-';
    return 1 + tl_format_unsigned(-(uint64_t)number, out + 1);
}

// The common case: at most 15 digits. Both m and 10^k are exact doubles, and division rounds
// correctly, so m / 10^k == number says that the text m·10^-k reads back as the number; the first
// such k has the fewest digits.
static bool find_short(double number, struct decimal *decimal)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (number < SHORT_LEAST)
        return false;
    for (int k = 1; k < (int)(sizeof(powers) / sizeof(powers[0])); k++) {
        double scaled = number * powers[k];
        if (scaled >= EXACT_DIGITS)
            return false;
        uint64_t digits = (uint64_t)(scaled + 0.5);
        if ((double)digits / powers[k] == number) {
            *decimal = (struct decimal){digits, -k};
            return true;
        }
    }
    return false;
}

static bool reads_back(const struct decimal *decimal, double number)
{
    char text[TL_NUMBER_MAX + 8];
    size_t size = tl_format_unsigned(decimal->digits, text);
    text[size++] = 'e';
    size += tl_format_signed(decimal->exponent, text + size);
    text[size] = '\0';
    return strtod(text, NULL) == number;
}

// The decimal of `precision` digits that is nearest to the number.
static struct decimal nearest(double number, int precision)
{
    char text[40];
    struct decimal decimal = {0, 0};
    snprintf(text, sizeof(text), "%.*e", precision - 1, number);
    const char *at = text;
    for (; *at && *at != 'e'; at++)
        if (*at >= '0' && *at <= '9')
            decimal.digits = decimal.digits * 10 + (uint64_t)(*at - '0');
    decimal.exponent = *at ? atoi(at + 1) - (precision - 1) : 0;
    return decimal;
}

static struct decimal find_shortest(double number)
{
    struct decimal decimal;
    int exponent;
    bool is_power_of_two = frexp(number, &exponent) == 0.5;
    // From 15 digits on, since if a normal double has a shorter text, that one padded with zeros is
    // its nearest of 15 digits. Subnormal numbers are too coarse for that. 17 are always enough.
    int precision = number < DBL_MIN ? 1 : 15;
    if (number >= SHORT_LEAST && number < EXACT_DIGITS)
        precision = 16;
    for (;; precision++) {
        decimal = nearest(number, precision);
        if (precision == 17 || reads_back(&decimal, number))
            break;
        // Below a power of two, doubles are twice as dense as above: the nearest decimal may lie
        // below and miss, and the next one, above, hit.
        decimal.digits += is_power_of_two;
        if (is_power_of_two && reads_back(&decimal, number))
            break;
    }
    while (decimal.digits % 10 == 0) {
        decimal.digits /= 10;
        decimal.exponent++;
    }
    return decimal;
}

static char *put(char *at, const char *bytes, size_t size)
{
    memcpy(at, bytes, size);
    return at + size;
}

static char *put_zeros(char *at, int count)
{
    memset(at, '0', (size_t)count);
    return at + count;
}

// JavaScript's rules (ECMA-262, Number::toString): plain from 1e-6 up to below 1e21, else with an
// exponent. `point` is the place of the decimal point, counted from the first digit.
static char *put_decimal(char *at, const struct decimal *decimal)
{
    char digits[20];
    int count = (int)tl_format_unsigned(decimal->digits, digits);
    int point = count + decimal->exponent;
    if (point > 21 || point <= -6) {
        *at++ = digits[0];
        if (count > 1) {
            *at++ = '.';
            at = put(at, digits + 1, (size_t)(count - 1));
        }
        *at++ = 'e';
        *at++ = point > 0 ? '+' : '-';
        return at + tl_format_unsigned((uint64_t)abs(point - 1), at);
    }
    if (point >= count)
        return put_zeros(put(at, digits, (size_t)count), point - count);
    if (point > 0) {
        at = put(at, digits, (size_t)point);
        *at++ = '.';
        return put(at, digits + point, (size_t)(count - point));
    }
    at = put_zeros(put(at, "0.", 2), -point);
    return put(at, digits, (size_t)count);
}

size_t tl_format_double(double number, char *out)
{
    if (!isfinite(number))
        return (size_t)(put(out, "null", 4) - out);
    char *at = out;
    if (number < 0) {
        *at++ = '-';
        number = -number;
    }
    if (number < EXACT_INTEGER && number == (double)(uint64_t)number)
        return (size_t)(at - out) + tl_format_unsigned((uint64_t)number, at);
    struct decimal decimal;
    if (!find_short(number, &decimal))
        decimal = find_shortest(number);
    return (size_t)(put_decimal(at, &decimal) - out);
}
