// SPDX-License-Identifier: MIT
// Lines of the tap: their form, their colours, their width, and what they must not let through.
#include "tests/common/cmocka_all.h"

#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/cli/json_to_msgpack.h"
#include "clients/cli/print.h"

#define UUID "8f14e45f-ceea-467f-a0e6-b3c2a01d77e9"

static struct tl_buffer payload;

// 2023-11-14 22:13:20.123456 UTC
static talus_event_t event_of(const char *session, const char *type, const char *json)
{
    char error[JSON_ERROR_SIZE];
    if (!json_to_msgpack(json, strlen(json), &payload, error))
        fail_msg("%s", error);
    return (talus_event_t){
        .session = session,
        .type = type,
        .id = "k3v9q2mx.47",
        .origin = "k3v9q2mx",
        .except = "",
        .seq = 47,
        .prev = 45,
        .ts = 1700000000123456,
        .data = payload.bytes,
        .data_size = payload.size,
    };
}

// The line as a string, for the caller to free. Not strndup: the line has no NUL at its end, which
// AddressSanitizer's strict_string_checks asks of strndup's argument.
static char *copy_line(const char *line, size_t size)
{
    char *text = malloc(size + 1);
    assert_non_null(text);
    memcpy(text, line, size);
    text[size] = '\0';
    return text;
}

static void expect_gap_line(printer_t *printer, const char *session, const talus_gap_t *gap,
                            const char *expected)
{
    const char *line;
    size_t size;
    assert_int_equal(printer_format_gap(printer, session, gap, &line, &size), 0);
    assert_int_equal(line[size], '\n');
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(line, expected, size);
}

static void test_print_gaps(void **state)
{
    (void)state;
    talus_gap_t gap = {.origin = "k3v9q2mx",
                       .after = "k3v9q2mx.7",
                       .first = "k3v9q2mx.9",
                       .reason = TALUS_GAP_HISTORY};
    printer_t printer;

    printer_init(&printer, PRINT_JSON);
    expect_gap_line(&printer, "s-1", &gap,
                    "{\"type\":\"gap\",\"session\":\"s-1\",\"origin\":\"k3v9q2mx\","
                    "\"after\":\"k3v9q2mx.7\",\"first\":\"k3v9q2mx.9\",\"reason\":\"history\"}");
    printer_fini(&printer);
    printer_init(&printer, PRINT_PRETTY);
    expect_gap_line(
        &printer, "s-1", &gap,
        "--:--:--.--- s-1 gap: events after k3v9q2mx.7 and before k3v9q2mx.9 are missing "
        "(history)");
    gap.first = "";
    gap.reason = TALUS_GAP_ORIGIN_LOST;
    printer.is_coloured = true;
    expect_gap_line(&printer, "", &gap,
                    "\033[31m--:--:--.--- (all) gap: events after k3v9q2mx.7 and before whatever "
                    "follows are missing (origin_lost)\033[0m");
    printer_fini(&printer);
}

static void expect_line(printer_t *printer, const talus_event_t *event, const char *expected)
{
    const char *line;
    size_t size;
    assert_int_equal(printer_format(printer, event, &line, &size), 0);
    assert_int_equal(line[size], '\n');
    char *text = copy_line(line, size);
    assert_string_equal(text, expected);
    free(text);
}

static void test_print_json(void **state)
{
    (void)state;
    printer_t printer;
    printer_init(&printer, PRINT_JSON);
    talus_event_t event = event_of("s-1", "node-created", "{\"a\":[1,null],\"b\":\"x\"}");
    expect_line(&printer, &event,
                "{\"origin\":\"k3v9q2mx\",\"seq\":47,\"prev\":45,\"ts\":1700000000123456,"
                "\"session\":\"s-1\",\"type\":\"node-created\",\"data\":{\"a\":[1,null],"
                "\"b\":\"x\"}}");
    event.session = "";
    event.except = "a\"\x1b";
    event.seq = event.ts = UINT64_MAX;
    expect_line(&printer, &event,
                "{\"origin\":\"k3v9q2mx\",\"seq\":18446744073709551615,\"prev\":45,"
                "\"ts\":18446744073709551615,\"session\":\"\",\"type\":\"node-created\","
                "\"skip\":\"a\\\"\\u001b\",\"data\":{\"a\":[1,null],\"b\":\"x\"}}");
    printer_fini(&printer);
}

static void test_print_pretty(void **state)
{
    (void)state;
    printer_t printer;
    printer_init(&printer, PRINT_PRETTY);
    talus_event_t event = event_of("s-1", "node-created", "{\"a\":1}");
    expect_line(&printer, &event,
                "22:13:20.123 s-1    node-created      k3v9q2mx.47      {\"a\":1}");
    event.session = "";
    event.except = "cl\x1b";
    expect_line(&printer, &event,
                "22:13:20.123 (all)  node-created      k3v9q2mx.47      skip=cl\\u001b {\"a\":1}");
    printer_fini(&printer);
}

static void test_print_pretty_leaves_out_what_repeats_the_session(void **state)
{
    (void)state;
    printer_t printer;
    printer_init(&printer, PRINT_PRETTY);
    talus_event_t event = event_of("s-1", "undo", "{\"session_id\":\"s-1\",\"command_id\":\"c\"}");
    expect_line(&printer, &event,
                "22:13:20.123 s-1    undo              k3v9q2mx.47      {\"command_id\":\"c\"}");
    event = event_of("s-1", "undo", "{\"session_id\":\"s-1\"}");
    expect_line(&printer, &event, "22:13:20.123 s-1    undo              k3v9q2mx.47      {}");
    event = event_of("s-1", "undo", "{\"session_id\":\"s-12\"}");
    expect_line(&printer, &event,
                "22:13:20.123 s-1    undo              k3v9q2mx.47      {\"session_id\":\"s-12\"}");
    event = event_of("s-1", "undo", "5");
    expect_line(&printer, &event, "22:13:20.123 s-1    undo              k3v9q2mx.47      5");
    printer_fini(&printer);
}

static void test_print_columns_grow_and_stay(void **state)
{
    (void)state;
    printer_t printer;
    printer_init(&printer, PRINT_PRETTY);
    talus_event_t event = event_of(UUID, "external_template_update", "{}");
    expect_line(&printer, &event,
                "22:13:20.123 " UUID " external_template_update k3v9q2mx.47      {}");
    event.session = "s";
    event.type = "t";
    expect_line(&printer, &event,
                "22:13:20.123 s                                    t                        "
                "k3v9q2mx.47      {}");
    printer_fini(&printer);
}

static void test_print_cuts_to_the_terminal(void **state)
{
    (void)state;
    printer_t printer;
    const char *line;
    size_t size;
    printer_init(&printer, PRINT_PRETTY);
    talus_event_t event =
        event_of(UUID, "node-created",
                 "{\"text\":\"猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫猫\"}");
    for (printer.columns = 80; printer.columns < 130; printer.columns++) {
        assert_int_equal(printer_format(&printer, &event, &line, &size), 0);
        size_t columns = text_columns(line, size);
        assert_true(columns <= printer.columns && columns + 2 >= printer.columns);
        assert_memory_equal(line + size - strlen("…"), "…", strlen("…"));
    }
    printer.columns = 80;
    printer.session_width = 8;
    event = event_of(UUID, "node-created", "{\"text\":\"1\"}");
    expect_line(&printer, &event,
                "22:13:20.123 8f14e45f…01d77e9 node-created      k3v9q2mx.47      text=\"1\"");
    event.type = "node-updated";
    printer.columns = 120;
    expect_line(&printer, &event,
                "22:13:20.123 " UUID " node-updated      k3v9q2mx.47      {\"text\":\"1\"}");
    printer_fini(&printer);
}

static void test_print_says_why_a_command_failed(void **state)
{
    (void)state;
    printer_t printer;
    printer_init(&printer, PRINT_PRETTY);
    printer.columns = 80;
    talus_event_t event = event_of("s", "command-executed",
                                   "{\"session_id\":\"s\",\"command_id\":\"mira-0001\","
                                   "\"success\":false,\"error\":\"linking Blur 7 to Mix 9 would "
                                   "close a cycle\"}");
    expect_line(&printer, &event,
                "22:13:20.123 s      command-executed  k3v9q2mx.47      mira-0001 false "
                "\"linking Blur 7 to Mix 9 would close a cycle\"");
    printer_fini(&printer);
}

static void test_print_colours_take_no_columns(void **state)
{
    (void)state;
    printer_t printer;
    const char *line;
    size_t size;
    printer_init(&printer, PRINT_PRETTY);
    printer.columns = 80;
    printer.is_coloured = true;
    talus_event_t event = event_of("s", "node-updated", "\"0123456789012345678901234567\"");
    assert_int_equal(printer_format(&printer, &event, &line, &size), 0);
    assert_memory_equal(line + size - strlen("456789012…"), "456789012…", strlen("456789012…"));
    printer_fini(&printer);
}

static void test_print_cuts_a_large_payload(void **state)
{
    (void)state;
    printer_t printer;
    const char *line;
    size_t size;
    enum { SIZE = 200000 };
    char *json = malloc(SIZE + 3);
    memset(json, 'x', SIZE + 2);
    json[0] = json[SIZE + 1] = '"';
    json[SIZE + 2] = '\0';
    talus_event_t event = event_of("s", "t", json);
    free(json);
    printer_init(&printer, PRINT_PRETTY);
    assert_int_equal(printer_format(&printer, &event, &line, &size), 0);
    assert_true(size > SIZE);
    printer.columns = 100;
    assert_int_equal(printer_format(&printer, &event, &line, &size), 0);
    assert_int_equal(text_columns(line, size), 100);
    printer_fini(&printer);
}

static void test_print_lets_no_control_through(void **state)
{
    (void)state;
    printer_t printer;
    const char *line;
    size_t size;
    talus_event_t event =
        event_of("s", "t", "{\"\\u001b[2J\":\"\\u0007\\u009b31m\\u202e\\u2066\\u007f\\n\\u2028\"}");
    for (int format = PRINT_PRETTY; format <= PRINT_JSON; format++) {
        printer_init(&printer, (print_format_t)format);
        assert_int_equal(printer_format(&printer, &event, &line, &size), 0);
        for (size_t i = 0; i < size; i++)
            assert_in_range((unsigned char)line[i], 0x20, 0x7e);
        printer_fini(&printer);
    }
}

static void expect_colour(const char *type, const char *json, const char *colour)
{
    printer_t printer;
    const char *line;
    size_t size;
    char expected[64];
    printer_init(&printer, PRINT_PRETTY);
    printer.is_coloured = true;
    talus_event_t event = event_of("s", type, json);
    assert_int_equal(printer_format(&printer, &event, &line, &size), 0);
    char *text = copy_line(line, size);
    snprintf(expected, sizeof(expected), " %s%s%s ", colour, type, colour[0] ? "\033[0m" : "");
    if (!strstr(text, expected))
        fail_msg("%s has another colour: %s", type, text);
    free(text);
    printer_fini(&printer);
}

static void test_print_colours(void **state)
{
    (void)state;
    expect_colour("node-created", "{}", "\033[32m");
    expect_colour("property-changed", "{}", "\033[33m");
    expect_colour("command-executed", "{\"success\":true}", "\033[34m");
    expect_colour("command-executed", "{\"success\":false}", "\033[31m");
    expect_colour("undo", "{}", "\033[35m");
    expect_colour("session-connected", "{}", "\033[36m");
    expect_colour("anything", "{\"success\":false}", "");
}

static int set_up(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    tzset();
    setlocale(LC_CTYPE, "C.UTF-8");
    tl_buffer_init(&payload, 1000000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tl_buffer_fini(&payload);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_print_gaps),
        cmocka_unit_test(test_print_json),
        cmocka_unit_test(test_print_pretty),
        cmocka_unit_test(test_print_pretty_leaves_out_what_repeats_the_session),
        cmocka_unit_test(test_print_columns_grow_and_stay),
        cmocka_unit_test(test_print_cuts_to_the_terminal),
        cmocka_unit_test(test_print_says_why_a_command_failed),
        cmocka_unit_test(test_print_colours_take_no_columns),
        cmocka_unit_test(test_print_cuts_a_large_payload),
        cmocka_unit_test(test_print_lets_no_control_through),
        cmocka_unit_test(test_print_colours),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
