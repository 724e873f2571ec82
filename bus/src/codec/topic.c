// SPDX-License-Identifier: MIT
// What a session id and an event type may be. ASCII rules, so that a topic needs no normalisation:
// two ids are the same if their bytes are.
#include <stdbool.h>
#include <string.h>

#include <talus/error.h>
#include <talus/topic.h>

#include "bus/src/codec/wire.h"

// What official clients treat as their own (a server that emits one is disconnected), then what the
// gateway itself says.
#define RESERVED(type)                                                                             \
    {                                                                                              \
        type, sizeof(type) - 1                                                                     \
    }
static const struct {
    const char *type;
    size_t size;
} reserved_types[] = {
    RESERVED("connect"),       RESERVED("connect_error"), RESERVED("disconnect"),
    RESERVED("disconnecting"), RESERVED("newListener"),   RESERVED("removeListener"),
    RESERVED("joined"),        RESERVED("left"),          RESERVED("gap"),
    RESERVED("error"),         RESERVED("pong"),
};

// Each emit and each receipt looks at every character: one look-up is what that may cost.
enum { ALPHANUMERIC = 1, TYPE_MARK = 2 };
static const unsigned char classes[256] = {
    ['a' ... 'z'] = ALPHANUMERIC,
    ['A' ... 'Z'] = ALPHANUMERIC,
    ['0' ... '9'] = ALPHANUMERIC,
    ['.'] = TYPE_MARK,
    ['_'] = TYPE_MARK,
    [':'] = TYPE_MARK,
    ['-'] = TYPE_MARK,
};

static bool is_alphanumeric(unsigned char c)
{
    return classes[c] == ALPHANUMERIC;
}

static bool is_type_character(unsigned char c)
{
    return classes[c] != 0;
}

static bool is_reserved(const char *type, size_t size)
{
    for (size_t i = 0; i < sizeof(reserved_types) / sizeof(reserved_types[0]); i++)
        if (reserved_types[i].size == size && memcmp(reserved_types[i].type, type, size) == 0)
            return true;
    return false;
}

talus_error_t talus_session_check(const char *session, size_t size)
{
    if (!session || size == 0 || size > TALUS_SESSION_MAX ||
        !is_alphanumeric((unsigned char)session[0]))
        return TALUS_ESESSION;
    for (size_t i = 1; i < size; i++)
        if (!is_type_character((unsigned char)session[i]) && session[i] != '@')
            return TALUS_ESESSION;
    return 0;
}

talus_error_t talus_type_check(const char *type, size_t size)
{
    if (!type || size == 0 || size > TALUS_TYPE_MAX)
        return TALUS_ETYPE;
    if (type[0] == '$')
        return TALUS_ERESERVED;
    for (size_t i = 0; i < size; i++)
        if (!is_type_character((unsigned char)type[i]))
            return TALUS_ETYPE;
    return is_reserved(type, size) ? TALUS_ERESERVED : 0;
}

bool talus__is_marker(const char *type, size_t size)
{
    if (size == 0 || size > TALUS_TYPE_MAX || type[0] != '$')
        return false;
    for (size_t i = 1; i < size; i++)
        if (!is_type_character((unsigned char)type[i]))
            return false;
    return true;
}
