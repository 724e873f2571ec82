// SPDX-License-Identifier: MIT
// The option table: each kind, each refusal with its one line, and the help that comes from it.
#include "tests/common/cmocka_all.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clients/cli/options.h"
#include "clients/cli/report.h"

struct values {
    bool is_loud;
    const char *name;
    option_list_t tags;
    int shape;
    uint64_t count;
    double wait;
    double rest;
    uint64_t size;
    unsigned mode;
};

static const char *const shapes[] = {"round", "square", "flat", NULL};

static const option_spec_t options[] = {
    {.name = "loud", .kind = OPTION_FLAG, .offset = offsetof(struct values, is_loud), .help = "L."},
    {.name = "name",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct values, name),
     .argument = "NAME",
     .help = "A name."},
    {.name = "tag",
     .kind = OPTION_LIST,
     .offset = offsetof(struct values, tags),
     .argument = "TAG",
     .help = "A tag."},
    {.name = "shape",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct values, shape),
     .argument = "SHAPE",
     .choices = shapes,
     .help = "A shape."},
    {.name = "count",
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct values, count),
     .argument = "N",
     .min = 1,
     .max = 1e12,
     .help = "A number whose explanation is so long that it cannot stand on one line of eighty "
             "columns, nor on two of them if one counts the indentation."},
    {.name = "wait",
     .kind = OPTION_DECIMAL,
     .offset = offsetof(struct values, wait),
     .argument = "SECONDS",
     .unit = "seconds",
     .min = 0,
     .max = 60,
     .help = "A time."},
    {.name = "rest",
     .kind = OPTION_TIME,
     .offset = offsetof(struct values, rest),
     .argument = "SECONDS",
     .min = 0,
     .max = 60,
     .help = "Another time."},
    {.name = "size",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct values, size),
     .argument = "BYTES",
     .min = 1,
     .max = 1e6,
     .help = "A size."},
    {.name = "mode",
     .kind = OPTION_MODE,
     .offset = offsetof(struct values, mode),
     .argument = "MODE",
     .help = "A mode."},
};

static const command_t command = {
    .name = "try",
    .usage = "[OPTION]… FIRST [SECOND]",
    .summary = "Try the options.",
    .details = "Details.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .min_operands = 1,
    .max_operands = 2,
    .operands = "FIRST [SECOND]",
};

enum { ARGUMENTS_MAX = 16 };

struct outcome {
    options_result_t result;
    struct values values;
    int operands;
    int argc;
    char *argv[ARGUMENTS_MAX];
    char errors[4096];
};

// Runs `parse` with standard error going into a file, and gives what was written there.
static void parse(struct outcome *outcome, const char *const *arguments)
{
    *outcome = (struct outcome){.values = {.wait = 7}};
    outcome->argv[outcome->argc++] = strdup("try");
    for (; *arguments; arguments++)
        outcome->argv[outcome->argc++] = strdup(*arguments);
    int file = memfd_create("errors", 0), saved = dup(STDERR_FILENO);
    assert_true(file >= 0 && saved >= 0);
    dup2(file, STDERR_FILENO);
    outcome->result =
        options_parse(&command, outcome->argc, outcome->argv, &outcome->values, &outcome->operands);
    dup2(saved, STDERR_FILENO);
    ssize_t size = pread(file, outcome->errors, sizeof(outcome->errors) - 1, 0);
    assert_true(size >= 0);
    outcome->errors[size] = '\0';
    close(file);
    close(saved);
}

static void release(struct outcome *outcome)
{
    for (int i = 0; i < outcome->argc; i++)
        free(outcome->argv[i]);
}

#define PARSE(outcome, ...) parse(outcome, (const char *const[]){__VA_ARGS__, NULL})

static void test_options_of_every_kind(void **state)
{
    (void)state;
    struct outcome outcome;
    PARSE(&outcome, "--loud", "one", "--name=N", "--tag", "a", "two", "--tag", "b", "--shape",
          "flat", "--count", "12", "--wait", "1.5");
    assert_int_equal(outcome.result, OPTIONS_PARSED);
    assert_true(outcome.values.is_loud);
    assert_string_equal(outcome.values.name, "N");
    assert_int_equal(outcome.values.tags.count, 2);
    assert_string_equal(outcome.values.tags.items[1], "b");
    assert_int_equal(outcome.values.shape, 2);
    assert_int_equal(outcome.values.count, 12);
    assert_true(outcome.values.wait == 1.5);
    assert_string_equal(outcome.argv[outcome.operands], "one");
    assert_string_equal(outcome.argv[outcome.operands + 1], "two");
    assert_string_equal(outcome.errors, "");
    release(&outcome);
}

static void test_options_with_units(void **state)
{
    (void)state;
    struct outcome outcome;
    PARSE(&outcome, "one", "--rest", "500ms", "--size", "64KiB");
    assert_int_equal(outcome.result, OPTIONS_PARSED);
    assert_true(outcome.values.rest == 0.5);
    assert_int_equal(outcome.values.size, 65536);
    release(&outcome);
    PARSE(&outcome, "one", "--rest=2", "--size=64000");
    assert_int_equal(outcome.result, OPTIONS_PARSED);
    assert_true(outcome.values.rest == 2);
    assert_int_equal(outcome.values.size, 64000);
    release(&outcome);
}

static void test_options_keep_defaults_and_dashes(void **state)
{
    (void)state;
    struct outcome outcome;
    PARSE(&outcome, "-", "--", "--count");
    assert_int_equal(outcome.result, OPTIONS_PARSED);
    assert_true(outcome.values.wait == 7);
    assert_string_equal(outcome.argv[outcome.operands], "-");
    assert_string_equal(outcome.argv[outcome.operands + 1], "--count");
    release(&outcome);
}

static void expect_refused(const char *const *arguments, const char *line)
{
    struct outcome outcome;
    parse(&outcome, arguments);
    assert_int_equal(outcome.result, OPTIONS_REFUSED);
    assert_string_equal(outcome.errors, line);
    release(&outcome);
}
#define EXPECT_REFUSED(line, ...) expect_refused((const char *const[]){__VA_ARGS__, NULL}, line)

static void test_options_refuse_bad_values(void **state)
{
    (void)state;
    static const char *const numbers[] = {"x",  "",   "0",   "-1", "1.5",           "1e3",
                                          "+1", " 1", "0x1", "1 ", "1000000000001", "inf"};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        char line[128];
        snprintf(line, sizeof(line),
                 "talus try: --count takes a number from 1 to 1000000000000, not \"%s\"\n",
                 numbers[i]);
        EXPECT_REFUSED(line, "--count", numbers[i], "one");
    }
    EXPECT_REFUSED("talus try: --wait takes a number of seconds from 0 to 60, not \"60.1\"\n",
                   "--wait=60.1", "one");
    EXPECT_REFUSED("talus try: --wait takes a number of seconds from 0 to 60, not \"nan\"\n",
                   "--wait=nan", "one");
    EXPECT_REFUSED("talus try: --wait takes a number of seconds from 0 to 60, not \".\"\n",
                   "--wait=.", "one");
    EXPECT_REFUSED("talus try: --shape takes round, square or flat, not \"bent\"\n", "--shape",
                   "bent", "one");
}

static void test_options_take_octal_modes(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "0",     "0670", "01700", "0780",
                                      "rwx", "0x1ff", "448",  "-1"};
    struct outcome outcome;
    PARSE(&outcome, "--mode", "0770", "one");
    assert_int_equal(outcome.result, OPTIONS_PARSED);
    assert_int_equal(outcome.values.mode, 0770);
    release(&outcome);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char line[128];
        snprintf(line, sizeof(line),
                 "talus try: --mode takes an octal mode from 0700 to 0777, not \"%s\"\n", bad[i]);
        EXPECT_REFUSED(line, "--mode", bad[i], "one");
    }
}

static void test_options_refuse_one_value_twice(void **state)
{
    (void)state;
    EXPECT_REFUSED("talus try: --name takes one value, and was given twice\n", "--name", "a",
                   "--name=a", "one");
    EXPECT_REFUSED("talus try: --count takes one value, and was given twice\n", "--count", "1",
                   "one", "--count", "2");
    EXPECT_REFUSED("talus try: --shape takes one value, and was given twice\n", "--shape", "flat",
                   "one", "--shape", "flat");
}

static void test_options_refuse_unknown_ones(void **state)
{
    (void)state;
    EXPECT_REFUSED("talus try: unknown or ambiguous option \"--colour\" (see talus try --help)\n",
                   "one", "--colour", "--loud");
    EXPECT_REFUSED("talus try: unknown option \"-5\" (see talus try --help)\n", "one", "-5");
    EXPECT_REFUSED("talus try: --loud takes no argument\n", "--loud=1", "one");
    EXPECT_REFUSED("talus try: --help takes no argument\n", "--help=1", "one");
    EXPECT_REFUSED("talus try: --count needs an argument: N\n", "one", "--count");
    EXPECT_REFUSED("talus try: --wait takes a number of seconds from 0 to 60, not \"a b c\"\n",
                   "--wait=a\nb\x1b"
                   "c",
                   "one");
}

static void test_options_refuse_too_few_and_too_many_operands(void **state)
{
    (void)state;
    EXPECT_REFUSED("talus try: takes FIRST [SECOND] (see talus try --help)\n", "--loud");
    EXPECT_REFUSED("talus try: unexpected argument \"three\" after FIRST [SECOND] (see talus try "
                   "--help)\n",
                   "one", "two", "three");
}

static void test_options_refuse_a_list_without_end(void **state)
{
    (void)state;
    static char *argv[2 * OPTION_LIST_MAX + 8];
    struct values values = {0};
    int argc = 0, operands;
    argv[argc++] = strdup("try");
    for (int i = 0; i <= OPTION_LIST_MAX; i++) {
        argv[argc++] = strdup("--tag=x");
        if (i == OPTION_LIST_MAX - 1) {
            argv[argc++] = strdup("one");
            assert_int_equal(options_parse(&command, argc, argv, &values, &operands),
                             OPTIONS_PARSED);
            values.tags.count = 0;
        }
    }
    assert_int_equal(options_parse(&command, argc, argv, &values, &operands), OPTIONS_REFUSED);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
}

static void test_options_help_fits_the_terminal(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    options_help(&command, out);
    fclose(out);
    assert_non_null(strstr(text, "Usage: talus try [OPTION]… FIRST [SECOND]\nTry the options.\n"));
    for (size_t i = 0; i < command.option_count; i++) {
        char name[64];
        snprintf(name, sizeof(name), "\n  --%s ", options[i].name);
        if (!strstr(text, name))
            fail_msg("no %s in the help", options[i].name);
    }
    assert_non_null(strstr(text, "\n  --help "));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (strlen(line) > 79 + 2) // the ellipsis has two bytes more than columns
            fail_msg("too wide: %s", line);
    free(text);
}

static int name_command(void **state)
{
    (void)state;
    report_command("try");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_of_every_kind),
        cmocka_unit_test(test_options_with_units),
        cmocka_unit_test(test_options_keep_defaults_and_dashes),
        cmocka_unit_test(test_options_refuse_bad_values),
        cmocka_unit_test(test_options_take_octal_modes),
        cmocka_unit_test(test_options_refuse_one_value_twice),
        cmocka_unit_test(test_options_refuse_unknown_ones),
        cmocka_unit_test(test_options_refuse_too_few_and_too_many_operands),
        cmocka_unit_test(test_options_refuse_a_list_without_end),
        cmocka_unit_test(test_options_help_fits_the_terminal),
    };
    return cmocka_run_group_tests(tests, name_command, NULL);
}
