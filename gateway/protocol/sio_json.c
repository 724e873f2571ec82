// SPDX-License-Identifier: MIT
// One pass over the text finds its depth and whether jansson would stumble over what JavaScript
// takes; only then is an adapted copy made. The pass does not judge the syntax: that is jansson's.
#include "gateway/protocol/sio_json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/hex.h"
#include "gateway/protocol/sio.h"

enum {
    ESCAPE_SIZE = 6,     // \uXXXX
    SAFE_DIGITS = 18,    // that always fit 64 bits
    LONGEST_NUMBER = 400 // a longer one is not looked at and is jansson's to judge
};

struct text {
    const char *at;
    const char *end;
};

static bool is_number_char(char c)
{
    return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

static bool is_number_start(char c)
{
    return (c >= '0' && c <= '9') || c == '-';
}

static size_t number_size(const struct text *text)
{
    const char *end = text->at;
    while (end < text->end && is_number_char(*end))
        end++;
    return (size_t)(end - text->at);
}

// ---- Surrogates

// The code unit of an escape \uXXXX at `at`, or -1.
static int escaped_unit(const char *at, const char *end)
{
    if (end - at < ESCAPE_SIZE || at[0] != '\\' || at[1] != 'u')
        return -1;
    int unit = 0;
    for (int i = 2; i < ESCAPE_SIZE; i++) {
        int digit = tl_hex_value(at[i]);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

static bool is_high_surrogate(int unit)
{
    return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low_surrogate(int unit)
{
    return unit >= 0xdc00 && unit <= 0xdfff;
}

// ---- The first look

// Skips a string whose opening quote is behind `at`; tells whether it has an escaped surrogate.
static bool skip_string(struct text *text)
{
    bool has_surrogate = false;
    while (text->at < text->end && *text->at != '"') {
        int unit = escaped_unit(text->at, text->end);
        has_surrogate |= is_high_surrogate(unit) || is_low_surrogate(unit);
        text->at += *text->at == '\\' && text->end - text->at > 1 ? 2 : 1;
    }
    text->at += text->at < text->end;
    return has_surrogate;
}

static bool is_suspect_number(const char *at, size_t size)
{
    return size > SAFE_DIGITS || memchr(at, 'e', size) || memchr(at, 'E', size);
}

// False if the text is nested too deeply. *is_suspect: it has to be adapted.
static bool look_over(struct text text, bool *is_suspect)
{
    unsigned depth = 0;
    *is_suspect = false;
    while (text.at < text.end) {
        char c = *text.at;
        if (is_number_start(c)) {
            size_t size = number_size(&text);
            *is_suspect |= is_suspect_number(text.at, size);
            text.at += size;
            continue;
        }
        text.at++;
        if (c == '"')
            *is_suspect |= skip_string(&text);
        else if ((c == '[' || c == '{') && ++depth > SIO_MAX_DEPTH)
            return false;
        else if ((c == ']' || c == '}') && depth > 0)
            depth--;
    }
    return true;
}

// ---- The adapted copy

static const char *skip_digits(const char *at)
{
    return at + strspn(at, "0123456789");
}

// Whether the text is a number by JSON's grammar; *is_integer: one without fraction and exponent.
static bool is_number(const char *at, bool *is_integer)
{
    at += *at == '-';
    const char *digits = at;
    at = skip_digits(at);
    if (at == digits || (*digits == '0' && at - digits > 1))
        return false;
    *is_integer = *at == '\0';
    if (*at == '.') {
        digits = ++at;
        at = skip_digits(at);
        if (at == digits)
            return false;
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        at += *at == '-' || *at == '+';
        digits = at;
        at = skip_digits(at);
        if (at == digits)
            return false;
    }
    return *at == '\0';
}

static bool is_beyond_integers(const char *number)
{
    errno = 0;
    strtoll(number, NULL, 10);
    return errno == ERANGE;
}

static bool adapt_number(struct tl_buffer *out, struct text *text)
{
    size_t size = number_size(text);
    const char *at = text->at;
    char number[LONGEST_NUMBER + 1];
    bool is_integer = false;
    text->at += size;
    if (size <= LONGEST_NUMBER) {
        memcpy(number, at, size);
        number[size] = '\0';
        if (is_number(number, &is_integer)) {
            if (isinf(strtod(number, NULL)))
                return tl_buffer_append_text(out, "null");
            if (is_integer && is_beyond_integers(number))
                return tl_buffer_append(out, number, size) && tl_buffer_append_text(out, ".0");
        }
    }
    return tl_buffer_append(out, at, size);
}

// Copies a string; `at` is behind its opening quote, which was copied.
static bool adapt_string(struct tl_buffer *out, struct text *text)
{
    while (text->at < text->end && *text->at != '"') {
        const char *at = text->at;
        int unit = escaped_unit(at, text->end);
        size_t size = *at == '\\' && text->end - at > 1 ? 2 : 1;
        bool is_lone = is_low_surrogate(unit);
        if (is_high_surrogate(unit)) {
            is_lone = !is_low_surrogate(escaped_unit(at + ESCAPE_SIZE, text->end));
            size = is_lone ? ESCAPE_SIZE : (size_t)2 * ESCAPE_SIZE;
        } else if (is_lone) {
            size = ESCAPE_SIZE;
        }
        if (!(is_lone ? tl_buffer_append_text(out, "\\ufffd") : tl_buffer_append(out, at, size)))
            return false;
        text->at += size;
    }
    return true;
}

static bool adapt(struct tl_buffer *out, struct text text)
{
    while (text.at < text.end) {
        char c = *text.at;
        if (is_number_start(c)) {
            if (!adapt_number(out, &text))
                return false;
            continue;
        }
        text.at++;
        if (!tl_buffer_append(out, &c, 1) || (c == '"' && !adapt_string(out, &text)))
            return false;
        if (c == '"' && text.at < text.end) {
            text.at++;
            if (!tl_buffer_append(out, &c, 1))
                return false;
        }
    }
    return true;
}

json_t *sio_json_parse(const uint8_t *text, size_t size)
{
    static const size_t FLAGS = JSON_DECODE_ANY | JSON_ALLOW_NUL;
    const struct text whole = {(const char *)text, (const char *)text + size};
    bool is_suspect;
    if (!look_over(whole, &is_suspect))
        return NULL;
    if (!is_suspect)
        return json_loadb(whole.at, size, FLAGS, NULL);

    struct tl_buffer adapted;
    tl_buffer_init(&adapted, SIZE_MAX / 2);
    json_t *value = NULL;
    if (adapt(&adapted, whole))
        value = json_loadb((char *)adapted.bytes, adapted.size, FLAGS, NULL);
    tl_buffer_fini(&adapted);
    return value;
}
