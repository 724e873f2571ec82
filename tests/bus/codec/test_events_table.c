// SPDX-License-Identifier: MIT
// That talus/events.def is the table that was agreed on (docs/protocol.md, "The typed events"),
// which is written here once more, field by field.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <talus/topic.h>

struct event {
    const char *identifier;
    const char *name;
    const char *fields; // after session_id: name, `?` text or nil, `*` any, `!` bool
};

static const struct event expected[] = {
    {"node_created", "node-created", "node_id parent_id? blueprint_type_id name "},
    {"node_deleted", "node-deleted", "node_id "},
    {"node_updated", "node-updated", "node_id "},
    {"node_linked", "node-linked", "parent_id child_id "},
    {"node_unlinked", "node-unlinked", "parent_id child_id "},
    {"property_changed", "property-changed", "node_id property_name old_value* new_value* "},
    {"property_deleted", "property-deleted", "node_id property_name "},
    {"command_executing", "command-executing", "command_id command_type "},
    {"command_executed", "command-executed", "command_id success! error? "},
    {"undo", "undo", "command_id "},
    {"redo", "redo", "command_id "},
    {"session_connected", "session-connected", "client_id "},
    {"session_disconnected", "session-disconnected", "client_id "},
    {"external_template_update", "external_template_update", "template_id "},
};

#define TALUS_FIELD_STR(name)                      #name " "
#define TALUS_FIELD_OPT(name)                      #name "? "
#define TALUS_FIELD_ANY(name)                      #name "* "
#define TALUS_FIELD_BOOL(name)                     #name "! "
#define TALUS_EVENT(identifier, wire_name, fields) {#identifier, wire_name, fields},
static const struct event events[] = {
#include <talus/events.def>
};

#define COUNT(array) (sizeof(array) / sizeof(array[0]))

static void test_events_table_is_the_agreed_one(void **state)
{
    (void)state;
    assert_int_equal(COUNT(events), COUNT(expected));
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_string_equal(events[i].identifier, expected[i].identifier);
        assert_string_equal(events[i].name, expected[i].name);
        assert_string_equal(events[i].fields, expected[i].fields);
    }
}

static void test_events_table_names_may_be_emitted(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(events); i++) {
        assert_int_equal(talus_type_check(events[i].name, strlen(events[i].name)), 0);
        for (size_t at = 0; events[i].name[at]; at++)
            assert_int_equal(events[i].identifier[at],
                             events[i].name[at] == '-' ? '_' : events[i].name[at]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_table_is_the_agreed_one),
        cmocka_unit_test(test_events_table_names_may_be_emitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
