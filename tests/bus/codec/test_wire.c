// SPDX-License-Identifier: MIT
// Topics and subscriptions as they cross the wire.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <talus/error.h>

#include "bus/src/codec/wire.h"
#include "tests/bus/support/vectors.h"

static const char *const topic_kinds[] = {"event", "head", "end",    "hello",
                                          "bye",   "beat", "unknown"};
static const char *const subscription_kinds[] = {"session", "everything", "bus",
                                                 "ready",   "beat",       "other"};

static void expect_part(const json_t *item, const char *key, const char *part, size_t part_size)
{
    size_t size;
    const char *text = vectors_text(item, key, &size);
    assert_int_equal(part_size, size);
    assert_memory_equal(part, text, size);
}

static void check_topic(const json_t *item)
{
    size_t size;
    const char *text = vectors_text(item, "topic", &size);
    struct vectors_bytes copy = vectors_copy(text, size);
    struct talus__topic topic;
    int error = talus__topic_parse(copy.ptr, copy.size, &topic);
    if (json_object_get(item, "error")) {
        if (strcmp(talus_error_name(error), vectors_text(item, "error", NULL)) != 0)
            fail_msg("%s gives %s", text, talus_error_name(error));
    } else {
        if (error)
            fail_msg("%s gives %s", text, talus_error_name(error));
        assert_string_equal(topic_kinds[topic.kind], vectors_text(item, "kind", NULL));
        expect_part(item, "session", topic.session, topic.session_size);
        expect_part(item, "type", topic.type, topic.type_size);
    }
    free(copy.ptr);
}

static void test_wire_topic_vectors(void **state)
{
    (void)state;
    json_t *root = vectors_load("topics.json");
    json_t *items = json_object_get(root, "topics");
    size_t i;
    json_t *item;
    assert_true(json_array_size(items) > 0);
    json_array_foreach(items, i, item) check_topic(item);
    json_decref(root);
}

static void check_subscription(const json_t *item)
{
    size_t size;
    const char *text = vectors_text(item, "topic", &size);
    struct vectors_bytes copy = vectors_copy(text, size);
    struct talus__subscription_topic subscription;
    talus__subscription_topic_parse(copy.ptr, copy.size, &subscription);
    if (strcmp(subscription_kinds[subscription.kind], vectors_text(item, "kind", NULL)) != 0)
        fail_msg("%s is %s", text, subscription_kinds[subscription.kind]);
    if (json_object_get(item, "name"))
        expect_part(item, "name", subscription.name, subscription.name_size);
    else
        assert_null(subscription.name);
    if (json_object_get(item, "origin"))
        expect_part(item, "origin", subscription.origin, subscription.origin_size);
    else
        assert_null(subscription.origin);
    const json_t *every = json_object_get(item, "every");
    assert_int_equal(subscription.every_ms, every ? json_integer_value(every) : 0);
    free(copy.ptr);
}

static void test_wire_subscription_vectors(void **state)
{
    (void)state;
    json_t *root = vectors_load("topics.json");
    json_t *items = json_object_get(root, "subscriptions");
    size_t i;
    json_t *item;
    assert_true(json_array_size(items) > 0);
    json_array_foreach(items, i, item) check_subscription(item);
    json_decref(root);
}

// Whatever is accepted must be made of the input's own parts: session, slash, type.
static void check_invariants(const uint8_t *bytes, size_t size)
{
    struct vectors_bytes copy = vectors_copy(bytes, size);
    struct talus__topic topic;
    if (talus__topic_parse(copy.ptr, size, &topic) == 0) {
        const char *text = (const char *)copy.ptr;
        bool has_slash = topic.session_size < size;
        assert_ptr_equal(topic.session, text);
        assert_int_equal(topic.session_size + has_slash + topic.type_size, size);
        if (has_slash)
            assert_int_equal(text[topic.session_size], '/');
        if (topic.kind == TALUS__TOPIC_EVENT) {
            assert_int_equal(talus_type_check(topic.type, topic.type_size), 0);
            assert_true(topic.session_size == 0 ||
                        talus_session_check(topic.session, topic.session_size) == 0);
        }
    }
    struct talus__subscription_topic subscription;
    talus__subscription_topic_parse(copy.ptr, size, &subscription);
    free(copy.ptr);
}

static void test_wire_truncated_and_corrupted(void **state)
{
    (void)state;
    static const char *const topics[] = {
        "s-1/node-created",      "/$head", "*/$head", "$bus/$hello", "$ready/abcdefghijkl/k3v9q2mx",
        "$beat/abcdefghijkl/500"};
    for (size_t t = 0; t < sizeof(topics) / sizeof(topics[0]); t++) {
        uint8_t bytes[64];
        size_t size = strlen(topics[t]);
        for (size_t length = 0; length <= size; length++)
            check_invariants((const uint8_t *)topics[t], length);
        for (size_t place = 0; place < size; place++) {
            for (int byte = 0; byte < 256; byte++) {
                memcpy(bytes, topics[t], size);
                bytes[place] = (uint8_t)byte;
                check_invariants(bytes, size);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wire_topic_vectors),
        cmocka_unit_test(test_wire_subscription_vectors),
        cmocka_unit_test(test_wire_truncated_and_corrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
