// SPDX-License-Identifier: MIT
// The JSON comes from our own encoder: it is well-formed and has no white space between tokens, so
// that members are found by their quotes, brackets and commas.
#include "clients/cli/compact.h"

#include <string.h>

#include <talus.h>

typedef struct slice {
    const char *bytes;
    size_t size;
} slice_t;

// Every typed event with its fields, each followed by a space.
static const struct {
    const char *type, *fields;
} typed[] = {
#define TALUS_EVENT(identifier, wire_name, fields) {wire_name, "session_id " fields},
#define TALUS_FIELD_STR(name)                      #name " "
#define TALUS_FIELD_OPT(name)                      #name " "
#define TALUS_FIELD_ANY(name)                      #name " "
#define TALUS_FIELD_BOOL(name)                     #name " "
#include <talus/events.def>
#undef TALUS_EVENT
#undef TALUS_FIELD_STR
#undef TALUS_FIELD_OPT
#undef TALUS_FIELD_ANY
#undef TALUS_FIELD_BOOL
};

// The bytes up to the comma, colon or bracket that ends the value at the start of `rest`.
static size_t value_size(slice_t rest)
{
    size_t depth = 0;
    bool is_string = false;
    for (size_t i = 0; i < rest.size; i++) {
        char byte = rest.bytes[i];
        if (is_string) {
            i += byte == '\\';
            is_string = byte != '"';
        } else if (byte == '"') {
            is_string = true;
        } else if (byte == '{' || byte == '[') {
            depth++;
        } else if (depth == 0 && strchr(",:}]", byte)) {
            return i;
        } else if (byte == '}' || byte == ']') {
            depth--;
        }
    }
    return rest.size;
}

static slice_t take(slice_t *rest)
{
    slice_t taken = {rest->bytes, value_size(*rest)};
    size_t skipped = taken.size + (taken.size < rest->size);
    rest->bytes += skipped;
    rest->size -= skipped;
    return taken;
}

static bool next_member(slice_t *members, slice_t *key, slice_t *value)
{
    if (members->size == 0)
        return false;
    *key = take(members);
    *value = take(members);
    return key->size >= 2;
}

static slice_t unquoted(slice_t string)
{
    return (slice_t){string.bytes + 1, string.size - 2};
}

static bool is_equal(slice_t slice, const char *text)
{
    return slice.size == strlen(text) && memcmp(slice.bytes, text, slice.size) == 0;
}

// Whether the members' keys are those of the typed event, in its order.
static bool is_typed(const char *type, slice_t members)
{
    const char *fields = NULL;
    for (size_t i = 0; !fields && i < sizeof(typed) / sizeof(typed[0]); i++)
        if (strcmp(type, typed[i].type) == 0)
            fields = typed[i].fields;
    slice_t key, value;
    while (fields && *fields && next_member(&members, &key, &value)) {
        size_t size = strcspn(fields, " ");
        key = unquoted(key);
        if (key.size != size || memcmp(key.bytes, fields, size) != 0)
            return false;
        fields += size + 1;
    }
    return fields && !*fields && members.size == 0;
}

// A word that cannot be taken for a number, a literal, or several words.
static bool is_plain_word(slice_t word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "._:@/#-";
    if (word.size == 0 || strchr("0123456789-.", word.bytes[0]) || is_equal(word, "true") ||
        is_equal(word, "false") || is_equal(word, "null"))
        return false;
    for (size_t i = 0; i < word.size; i++)
        if (!memchr(plain, word.bytes[i], sizeof(plain) - 1))
            return false;
    return true;
}

static void append_value(text_t *text, slice_t value)
{
    bool is_string = value.size >= 2 && value.bytes[0] == '"';
    if (is_string && is_plain_word(unquoted(value)))
        value = unquoted(value);
    text_append_safe(text, value.bytes, value.size);
}

void compact_append(text_t *text, const char *type, const char *session, const char *json,
                    size_t size)
{
    if (size <= 2 || json[0] != '{') {
        text_append_safe(text, json, size);
        return;
    }
    slice_t members = {json + 1, size - 2}, key, value;
    bool has_keys = !is_typed(type, members);
    const char *separator = "";
    for (bool is_first = true; next_member(&members, &key, &value); is_first = false) {
        bool is_session = is_first && is_equal(key, "\"session_id\"") && value.size >= 2;
        if (is_session && is_equal(unquoted(value), session))
            continue;
        text_append_string(text, separator);
        separator = " ";
        if (has_keys) {
            append_value(text, key);
            text_append(text, "=", 1);
        }
        append_value(text, value);
    }
}
