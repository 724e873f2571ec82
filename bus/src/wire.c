// SPDX-License-Identifier: MIT
// Parsing of topics and subscriptions. Nothing is copied: the results point into the input.
#include "wire.h"

#include <stdint.h>
#include <string.h>

#include <talus/error.h>

static bool equals(const char *text, size_t size, const char *expected)
{
    return size == strlen(expected) && memcmp(text, expected, size) == 0;
}

static bool starts_with(const char *text, size_t size, const char *prefix)
{
    return size >= strlen(prefix) && memcmp(text, prefix, strlen(prefix)) == 0;
}

static const char *find_slash(const char *text, size_t size)
{
    return size > 0 ? memchr(text, '/', size) : NULL;
}

static int parse_marker(struct talus__topic *topic)
{
    if (!talus__is_marker(topic->type, topic->type_size))
        return TALUS_ETYPE;
    if (topic->session_size > 0 &&
        !equals(topic->session, topic->session_size, TALUS__EVERYTHING) &&
        talus_session_check(topic->session, topic->session_size) != 0)
        return TALUS_ESESSION;
    topic->kind = TALUS__TOPIC_UNKNOWN;
    if (equals(topic->type, topic->type_size, TALUS__HEAD))
        topic->kind = TALUS__TOPIC_HEAD;
    else if (equals(topic->type, topic->type_size, TALUS__END))
        topic->kind = TALUS__TOPIC_END;
    return 0;
}

int talus__topic_parse(const void *bytes, size_t size, struct talus__topic *topic)
{
    const char *text = bytes;
    const char *slash = find_slash(text, size);
    size_t session_size = slash ? (size_t)(slash - text) : size;
    *topic = (struct talus__topic){
        .session = text,
        .session_size = session_size,
        .type = slash ? slash + 1 : text + size,
        .type_size = slash ? size - session_size - 1 : 0,
    };
    if (session_size > 0 && text[0] == '$') {
        topic->kind = TALUS__TOPIC_UNKNOWN;
        if (equals(text, size, TALUS__HELLO_TOPIC))
            topic->kind = TALUS__TOPIC_HELLO;
        else if (equals(text, size, TALUS__BYE_TOPIC))
            topic->kind = TALUS__TOPIC_BYE;
        else if (equals(text, size, TALUS__BEAT_TOPIC))
            topic->kind = TALUS__TOPIC_BEAT;
        return 0;
    }
    if (!slash)
        return TALUS_ETYPE;
    if (topic->type_size > 0 && topic->type[0] == '$')
        return parse_marker(topic);
    topic->kind = TALUS__TOPIC_EVENT;
    if (session_size > 0 && talus_session_check(text, session_size) != 0)
        return TALUS_ESESSION;
    return talus_type_check(topic->type, topic->type_size);
}

static bool parse_ready(const char *text, size_t size, struct talus__subscription *subscription)
{
    if (!starts_with(text, size, TALUS__READY))
        return false;
    const char *name = text + strlen(TALUS__READY);
    size_t rest = size - strlen(TALUS__READY);
    const char *slash = find_slash(name, rest);
    if (!slash)
        return false;
    size_t name_size = (size_t)(slash - name);
    size_t origin_size = rest - name_size - 1;
    if (!talus__is_origin(name, name_size) || !talus__is_origin(slash + 1, origin_size))
        return false;
    *subscription = (struct talus__subscription){
        .kind = TALUS__SUBSCRIPTION_READY,
        .name = name,
        .name_size = name_size,
        .origin = slash + 1,
        .origin_size = origin_size,
    };
    return true;
}

void talus__subscription_parse(const void *bytes, size_t size,
                               struct talus__subscription *subscription)
{
    const char *text = bytes;
    *subscription = (struct talus__subscription){.kind = TALUS__SUBSCRIPTION_OTHER};
    if (size == 0) {
        subscription->kind = TALUS__SUBSCRIPTION_EVERYTHING;
    } else if (equals(text, size, TALUS__BUS_TOPIC)) {
        subscription->kind = TALUS__SUBSCRIPTION_BUS;
    } else if (!parse_ready(text, size, subscription) && text[size - 1] == '/' &&
               (size == 1 || talus_session_check(text, size - 1) == 0)) {
        subscription->kind = TALUS__SUBSCRIPTION_SESSION;
        subscription->name = text;
        subscription->name_size = size - 1;
    }
}
