// SPDX-License-Identifier: MIT
// The typed emits: each sends its type and exactly the payload of the shared cases.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <talus.h>

#include "tests/bus/support/vectors.h"

// What the local callback got of the last event. It runs within the emit call.
struct seen {
    unsigned count;
    char type[TALUS_TYPE_MAX + 1];
    char session[TALUS_SESSION_MAX + 1];
    char id[TALUS_ID_MAX + 1];
    uint8_t data[4096];
    size_t data_size;
};

static talus_broadcaster_t *bus;
static struct seen seen;

static int on_event(const talus_event_t *event, void *arg)
{
    struct seen *last = arg;
    last->count++;
    snprintf(last->type, sizeof(last->type), "%s", event->type);
    snprintf(last->session, sizeof(last->session), "%s", event->session);
    snprintf(last->id, sizeof(last->id), "%s", event->id);
    last->data_size = event->data_size;
    if (event->data_size <= sizeof(last->data))
        memcpy(last->data, event->data, event->data_size);
    return 0;
}

static int open_with_bound(size_t max_body)
{
    talus_broadcaster_options_t options;
    uint64_t callback;
    talus_broadcaster_options_init(&options);
    options.max_body = max_body;
    memset(&seen, 0, sizeof(seen));
    if (talus_broadcaster_new(&bus, "tcp://127.0.0.1:*", &options) != 0)
        return -1;
    return talus_broadcaster_on(bus, NULL, on_event, NULL, &seen, &callback);
}

static int setup(void **state)
{
    (void)state;
    return open_with_bound(1000000);
}

static int setup_small(void **state)
{
    (void)state;
    return open_with_bound(8192);
}

static int teardown(void **state)
{
    (void)state;
    talus_broadcaster_destroy(&bus);
    return 0;
}

// ---- Any case of the vectors, called through the function that its type names

static const json_t *field_of(const json_t *item, const char *name)
{
    json_t *fields = json_object_get(item, "fields");
    size_t i;
    json_t *pair;
    json_array_foreach(fields, i, pair)
    {
        if (strcmp(json_string_value(json_array_get(pair, 0)), name) == 0)
            return json_array_get(pair, 1);
    }
    fail_msg("a case without the field %s", name);
    return NULL;
}

// The values that are not plain are written as msgpack here, as a caller would.
static talus_value_t value_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
        return talus_nil();
    case JSON_TRUE:
    case JSON_FALSE:
        return talus_bool(json_is_true(value));
    case JSON_INTEGER:
        return talus_int(json_integer_value(value));
    case JSON_REAL:
        return talus_double(json_real_value(value));
    case JSON_STRING:
        return talus_str(json_string_value(value));
    case JSON_ARRAY: // ["a"]
        return talus_msgpack("\x91\xa1"
                             "a",
                             3);
    default: // {"a": true, "b": [-1, 300]}
        return talus_msgpack("\x82\xa1"
                             "a\xc3\xa1"
                             "b\x92\xff\xcd\x01\x2c",
                             11);
    }
}

#define TEXT(name) json_string_value(field_of(item, name))

#define ONE_FIELD_EVENTS(X)                                                                        \
    X(node_deleted, "node_id")                                                                     \
    X(node_updated, "node_id")                                                                     \
    X(undo, "command_id")                                                                          \
    X(redo, "command_id")                                                                          \
    X(session_connected, "client_id")                                                              \
    X(session_disconnected, "client_id")                                                           \
    X(external_template_update, "template_id")

static int emit_case(const char *type, const json_t *item, talus_event_id_t *id)
{
    const char *session = TEXT("session_id");
    bool is_linked = strcmp(type, talus_type_node_linked) == 0;
#define EMIT_ONE_FIELD(identifier, name)                                                           \
    if (strcmp(type, talus_type_##identifier) == 0)                                                \
        return talus_emit_##identifier(bus, session, TEXT(name), id);
    ONE_FIELD_EVENTS(EMIT_ONE_FIELD)
#undef EMIT_ONE_FIELD
    if (strcmp(type, talus_type_node_created) == 0)
        return talus_emit_node_created(bus, session, TEXT("node_id"), TEXT("parent_id"),
                                       TEXT("blueprint_type_id"), TEXT("name"), id);
    if (is_linked || strcmp(type, talus_type_node_unlinked) == 0)
        return (is_linked ? talus_emit_node_linked : talus_emit_node_unlinked)(
            bus, session, TEXT("parent_id"), TEXT("child_id"), id);
    if (strcmp(type, talus_type_property_changed) == 0)
        return talus_emit_property_changed(bus, session, TEXT("node_id"), TEXT("property_name"),
                                           value_of(field_of(item, "old_value")),
                                           value_of(field_of(item, "new_value")), id);
    if (strcmp(type, talus_type_property_deleted) == 0)
        return talus_emit_property_deleted(bus, session, TEXT("node_id"), TEXT("property_name"),
                                           id);
    if (strcmp(type, talus_type_command_executing) == 0)
        return talus_emit_command_executing(bus, session, TEXT("command_id"), TEXT("command_type"),
                                            id);
    if (strcmp(type, talus_type_command_executed) == 0)
        return talus_emit_command_executed(bus, session, TEXT("command_id"),
                                           json_is_true(field_of(item, "success")), TEXT("error"),
                                           id);
    fail_msg("the test knows no function for %s", type);
    return -1;
}

static void check_case(const json_t *item)
{
    const char *type = vectors_text(item, "type", NULL);
    struct vectors_bytes payload = vectors_member_hex(item, "payload");
    talus_event_id_t id;
    unsigned count = seen.count;
    int error = emit_case(type, item, &id);
    if (error)
        fail_msg("%s: %s", type, talus_error_name(error));
    assert_int_equal(seen.count, count + 1);
    assert_string_equal(seen.type, type);
    assert_string_equal(seen.session, TEXT("session_id"));
    assert_string_equal(seen.id, id.text);
    assert_int_equal(seen.data_size, payload.size);
    assert_memory_equal(seen.data, payload.ptr, payload.size);
    free(payload.ptr);
}

// How many the table has.
#define TALUS_FIELD_STR(name)
#define TALUS_FIELD_OPT(name)
#define TALUS_FIELD_ANY(name)
#define TALUS_FIELD_BOOL(name)
#define TALUS_EVENT(identifier, wire_name, fields) TABLE_##identifier,
enum {
#include <talus/events.def>
    EVENT_COUNT
};

static void test_typed_vectors(void **state)
{
    (void)state;
    json_t *root = vectors_load("typed_events.json");
    json_t *items = json_object_get(root, "events");
    json_t *types = json_object();
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item)
    {
        check_case(item);
        json_object_set_new(types, vectors_text(item, "type", NULL), json_true());
    }
    assert_int_equal(json_object_size(types), EVENT_COUNT); // each type has a case
    json_decref(types);
    json_decref(root);
}

static talus_broadcaster_stats_t stats(void)
{
    talus_broadcaster_stats_t now;
    talus_broadcaster_stats(bus, &now);
    return now;
}

static void test_typed_id_may_be_left_out(void **state)
{
    (void)state;
    assert_int_equal(talus_emit_undo(bus, "s-1", "c-1", NULL), 0);
    assert_int_equal(seen.count, 1);
}

static void test_typed_refusals_are_counted_and_tell_nobody(void **state)
{
    (void)state;
    assert_int_equal(talus_emit_undo(bus, NULL, "c-1", NULL), TALUS_ESESSION);
    assert_int_equal(talus_emit_undo(bus, "", "c-1", NULL), TALUS_ESESSION);
    assert_int_equal(talus_emit_undo(bus, "no session", "c-1", NULL), TALUS_ESESSION);
    assert_int_equal(talus_emit_undo(bus, "s-1", NULL, NULL), TALUS_EINVAL);
    assert_int_equal(talus_emit_node_created(bus, "s-1", "n", NULL, "bp", NULL, NULL),
                     TALUS_EINVAL);
    assert_int_equal(talus_emit_property_changed(bus, "s-1", "n", "p", talus_msgpack("\xc1", 1),
                                                 talus_nil(), NULL),
                     TALUS_EMSGPACK);
    // Two halves that make one well-formed payload, with the fields shifted.
    assert_int_equal(talus_emit_property_changed(bus, "s-1", "n", "p", talus_msgpack("", 0),
                                                 talus_msgpack("\x01\xa0\x02", 3), NULL),
                     TALUS_EMSGPACK);
    assert_int_equal(stats().refused_invalid, 7);
    assert_int_equal(stats().emitted, 0);
    assert_int_equal(seen.count, 0);
}

static void test_typed_payload_bounds(void **state)
{
    (void)state;
    uint8_t deep[40];
    memset(deep, 0x91, sizeof(deep));
    deep[sizeof(deep) - 1] = 0xc0;
    assert_int_equal(talus_emit_property_changed(bus, "s-1", "n", "p", talus_nil(),
                                                 talus_msgpack(deep, sizeof(deep)), NULL),
                     TALUS_ETOODEEP);
    assert_int_equal(stats().refused_bounds, 1);
    // The payload's own map is a level.
    assert_int_equal(talus_emit_property_changed(bus, "s-1", "n", "p", talus_nil(),
                                                 talus_msgpack(deep + sizeof(deep) - 32, 32), NULL),
                     0);
}

static void test_typed_size_bound(void **state)
{
    (void)state;
    static char text[8193];
    memset(text, 'x', sizeof(text) - 1);
    // Beyond the bound by itself, then within it but not with the header before it.
    assert_int_equal(talus_emit_undo(bus, "s-1", text, NULL), TALUS_ETOOLARGE);
    text[8140] = '\0';
    assert_int_equal(talus_emit_undo(bus, "s-1", text, NULL), TALUS_ETOOLARGE);
    assert_int_equal(stats().refused_bounds, 2);
    // Far more than what needs no allocation.
    text[8000] = '\0';
    assert_int_equal(talus_emit_undo(bus, "s-1", text, NULL), 0);
    assert_int_equal(seen.count, 1);
    assert_true(seen.data_size > 8000);
}

// The text's size is counted, so a NUL within it does not end it.
static void test_typed_values_keep_nuls(void **state)
{
    (void)state;
    static const char name[] = "be\0low";
    talus_value_t value;

    assert_int_equal(talus_emit_node_created_values(bus, "s", talus_str("n"), talus_nil(),
                                                    talus_str("b"),
                                                    talus_strn(name, sizeof name - 1), NULL),
                     0);
    assert_string_equal(seen.type, talus_type_node_created);
    const talus_event_t event = {.data = seen.data, .data_size = seen.data_size};
    assert_int_equal(talus_event_field(&event, "name", &value), 0);
    assert_int_equal(value.type, TALUS_STR);
    assert_int_equal(value.as.bytes.size, sizeof name - 1);
    assert_memory_equal(value.as.bytes.ptr, name, sizeof name - 1);
    assert_int_equal(talus_event_field(&event, "parent_id", &value), 0);
    assert_int_equal(value.type, TALUS_NIL);
}

static void test_typed_values_have_the_types_of_their_fields(void **state)
{
    (void)state;
    assert_int_equal(talus_emit_node_deleted_values(bus, "s", talus_int(7), NULL), TALUS_EINVAL);
    assert_int_equal(talus_emit_command_executed_values(bus, "s", talus_str("c"), talus_nil(),
                                                        talus_nil(), NULL),
                     TALUS_EINVAL);
    assert_int_equal(talus_emit_command_executed_values(bus, "s", talus_str("c"), talus_bool(true),
                                                        talus_nil(), NULL),
                     0);
    assert_int_equal(seen.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_typed_values_keep_nuls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_typed_values_have_the_types_of_their_fields, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_typed_vectors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_typed_id_may_be_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_typed_refusals_are_counted_and_tell_nobody, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_typed_payload_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_typed_size_bound, setup_small, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
