// SPDX-License-Identifier: MIT
// The compact payload: readable, unambiguous where it leaves something out, and safe.
#include "tests/common/cmocka_all.h"

#include <string.h>

#include "clients/cli/compact.h"

static void expect(const char *type, const char *json, const char *expected)
{
    text_t text;
    text_init(&text, 1000);
    compact_append(&text, type, "s-1", json, strlen(json));
    text_append(&text, "", 1);
    assert_false(text.has_failed);
    assert_string_equal(text_bytes(&text), expected);
    text_fini(&text);
}

static void test_compact_objects_are_key_and_value(void **state)
{
    (void)state;
    expect("t", "{}", "{}");
    expect("t", "{\"a\":1,\"b\":\"x\",\"c\":null}", "a=1 b=x c=null");
    expect("t", "{\"a\":{\"b\":[1,\"}\"]},\"c\":[{},\"a,b\"]}",
           "a={\"b\":[1,\"}\"]} c=[{},\"a,b\"]");
    expect("t", "{\"a\":\"x\\\"},\\\\\",\"b\":2}", "a=\"x\\\"},\\\\\" b=2");
    expect("t", "{\"two words\":1,\"\":2}", "\"two words\"=1 \"\"=2");
}

static void test_compact_keeps_quotes_that_tell(void **state)
{
    (void)state;
    expect("t", "{\"a\":\"1\",\"b\":\"true\",\"c\":\"null\",\"d\":\"\",\"e\":\"x y\",\"f\":\"-1\"}",
           "a=\"1\" b=\"true\" c=\"null\" d=\"\" e=\"x y\" f=\"-1\"");
    expect("t", "{\"a\":\"#c8553d\",\"b\":\"k=v\",\"c\":\"für\"}", "a=#c8553d b=\"k=v\" c=\"für\"");
}

static void test_compact_typed_events_are_values(void **state)
{
    (void)state;
    expect("node-linked", "{\"session_id\":\"s-1\",\"parent_id\":\"n-1\",\"child_id\":\"n-2\"}",
           "n-1 n-2");
    expect("command-executed",
           "{\"session_id\":\"s-1\",\"command_id\":\"c-1\",\"success\":false,\"error\":\"no way\"}",
           "c-1 false \"no way\"");
    expect("node-linked", "{\"session_id\":\"s-2\",\"parent_id\":\"n-1\",\"child_id\":\"n-2\"}",
           "s-2 n-1 n-2");
}

static void test_compact_typed_events_with_other_fields_keep_their_keys(void **state)
{
    (void)state;
    expect("node-linked", "{\"session_id\":\"s-1\",\"child_id\":\"n-2\",\"parent_id\":\"n-1\"}",
           "child_id=n-2 parent_id=n-1");
    expect("node-linked", "{\"session_id\":\"s-1\",\"parent_id\":\"n-1\"}", "parent_id=n-1");
    expect("undo", "{\"session_id\":\"s-1\",\"command_id\":\"c\",\"more\":1}",
           "command_id=c more=1");
    expect("undo", "{\"command_id\":\"c\"}", "command_id=c");
    expect("other", "{\"session_id\":\"s-1\",\"a\":1}", "a=1");
    expect("other", "{\"a\":1,\"session_id\":\"s-1\"}", "a=1 session_id=s-1");
    expect("other", "{\"session_id\":5}", "session_id=5");
}

static void test_compact_leaves_other_values_as_they_are(void **state)
{
    (void)state;
    expect("undo", "5", "5");
    expect("undo", "[1,2]", "[1,2]");
    expect("undo", "\"text\"", "\"text\"");
    expect("t", "null", "null");
}

static void test_compact_is_safe(void **state)
{
    (void)state;
    expect("t", "{\"\x7f\":\"\xc2\x9b\",\"b\":\"\xe2\x80\xae\"}",
           "\"\\u007f\"=\"\\u009b\" b=\"\\u202e\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compact_objects_are_key_and_value),
        cmocka_unit_test(test_compact_keeps_quotes_that_tell),
        cmocka_unit_test(test_compact_typed_events_are_values),
        cmocka_unit_test(test_compact_typed_events_with_other_fields_keep_their_keys),
        cmocka_unit_test(test_compact_leaves_other_values_as_they_are),
        cmocka_unit_test(test_compact_is_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
