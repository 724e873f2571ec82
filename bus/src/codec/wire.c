// SPDX-License-Identifier: MIT
// Parsing of topics and subscriptions. Nothing is copied: the results point into the input.
#include "bus/src/codec/wire.h"

#include <stdint.h>
#include <string.h>

#include <talus/error.h>

_Static_assert(TALUS_ORIGIN_MAX == TL_ORIGIN_MAX && TALUS_ID_MAX == TL_EVENT_ID_MAX,
               "the public header has the bounds of common/event_id.h");

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

// What `$NAME/SUBSCRIBER/REST` names. Returns REST and its size, or NULL.
static const char *parse_subscriber(const char *text, size_t size, const char *prefix,
                                    struct talus__subscription_topic *subscription,
                                    size_t *rest_size)
{
    if (!starts_with(text, size, prefix))
        return NULL;
    const char *name = text + strlen(prefix);
    const char *slash = find_slash(name, size - strlen(prefix));
    if (!slash || !tl_is_origin(name, (size_t)(slash - name)))
        return NULL;
    subscription->name = name;
    subscription->name_size = (size_t)(slash - name);
    *rest_size = size - (size_t)(slash + 1 - text);
    return slash + 1;
}

static bool parse_ready(const char *text, size_t size,
                        struct talus__subscription_topic *subscription)
{
    size_t origin_size;
    const char *origin = parse_subscriber(text, size, TALUS__READY, subscription, &origin_size);
    if (!origin || !tl_is_origin(origin, origin_size))
        return false;
    subscription->kind = TALUS__SUBSCRIPTION_READY;
    subscription->origin = origin;
    subscription->origin_size = origin_size;
    return true;
}

// Decimal digits, without more zeros in front than needed, up to TALUS__EVERY_MOST_MS.
static bool parse_every(const char *digits, size_t size, int *every_ms)
{
    int value = 0;

    if (size == 0 || (size > 1 && digits[0] == '0'))
        return false;
    for (size_t i = 0; i < size; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return false;
        value = value * 10 + (digits[i] - '0');
        if (value > TALUS__EVERY_MOST_MS)
            return false;
    }
    *every_ms = value;
    return true;
}

static bool parse_beat(const char *text, size_t size,
                       struct talus__subscription_topic *subscription)
{
    size_t digits_size;
    const char *digits = parse_subscriber(text, size, TALUS__BEATING, subscription, &digits_size);
    if (!digits || !parse_every(digits, digits_size, &subscription->every_ms))
        return false;
    subscription->kind = TALUS__SUBSCRIPTION_BEAT;
    return true;
}

void talus__subscription_topic_parse(const void *bytes, size_t size,
                                     struct talus__subscription_topic *subscription)
{
    const char *text = bytes;
    *subscription = (struct talus__subscription_topic){.kind = TALUS__SUBSCRIPTION_OTHER};
    if (size == 0) {
        subscription->kind = TALUS__SUBSCRIPTION_EVERYTHING;
    } else if (equals(text, size, TALUS__BUS_TOPIC)) {
        subscription->kind = TALUS__SUBSCRIPTION_BUS;
    } else if (text[0] == '$') {
        if (!parse_ready(text, size, subscription) && !parse_beat(text, size, subscription))
            *subscription = (struct talus__subscription_topic){.kind = TALUS__SUBSCRIPTION_OTHER};
    } else if (text[size - 1] == '/' && (size == 1 || talus_session_check(text, size - 1) == 0)) {
        subscription->kind = TALUS__SUBSCRIPTION_SESSION;
        subscription->name = text;
        subscription->name_size = size - 1;
    }
}
