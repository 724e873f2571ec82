// SPDX-License-Identifier: MIT
// Lines from a pipe: in any split, too long, and with a signal in between.
#include "tests/common/cmocka_all.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "clients/cli/lines.h"
#include "clients/cli/signals.h"

struct pipe_fixture {
    int ends[2];
    int signals;
    lines_t lines;
};

static void start(struct pipe_fixture *fixture, size_t max)
{
    assert_int_equal(pipe(fixture->ends), 0);
    fixture->signals = signals_open();
    assert_true(fixture->signals >= 0);
    lines_init(&fixture->lines, fixture->ends[0], max);
}

static void stop(struct pipe_fixture *fixture)
{
    lines_fini(&fixture->lines);
    signals_close(fixture->signals);
    close(fixture->ends[0]);
    close(fixture->ends[1]);
}

static void feed(struct pipe_fixture *fixture, const char *text)
{
    assert_int_equal(write(fixture->ends[1], text, strlen(text)), (ssize_t)strlen(text));
}

static void end_input(struct pipe_fixture *fixture)
{
    close(fixture->ends[1]);
    fixture->ends[1] = -1;
}

static void expect_line(struct pipe_fixture *fixture, uint64_t number, const char *expected)
{
    const char *line = NULL;
    size_t size = 0;
    assert_int_equal(lines_next(&fixture->lines, fixture->signals, &line, &size), LINES_LINE);
    assert_int_equal(fixture->lines.number, number);
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(line, expected, size);
}

static void expect(struct pipe_fixture *fixture, lines_result_t expected)
{
    const char *line;
    size_t size;
    assert_int_equal(lines_next(&fixture->lines, fixture->signals, &line, &size), expected);
}

static void test_lines_whole_and_last_without_end(void **state)
{
    (void)state;
    struct pipe_fixture fixture;
    start(&fixture, 100);
    feed(&fixture, "one\n\ntwo");
    expect_line(&fixture, 1, "one");
    expect_line(&fixture, 2, "");
    feed(&fixture, " and a half\nlast");
    expect_line(&fixture, 3, "two and a half");
    end_input(&fixture);
    expect_line(&fixture, 4, "last");
    expect(&fixture, LINES_END);
    expect(&fixture, LINES_END);
    stop(&fixture);
}

static void test_lines_too_long_is_said_once_and_skipped(void **state)
{
    (void)state;
    struct pipe_fixture fixture;
    start(&fixture, 5);
    feed(&fixture, "12345\n123456\nab\n1234567890123456789\ncd\n1234567");
    expect_line(&fixture, 1, "12345");
    expect(&fixture, LINES_TOO_LONG);
    assert_int_equal(fixture.lines.number, 2);
    expect_line(&fixture, 3, "ab");
    expect(&fixture, LINES_TOO_LONG);
    expect_line(&fixture, 5, "cd");
    end_input(&fixture);
    expect(&fixture, LINES_TOO_LONG);
    expect(&fixture, LINES_END);
    stop(&fixture);
}

static void test_lines_longer_than_the_first_buffer(void **state)
{
    (void)state;
    struct pipe_fixture fixture;
    start(&fixture, 1 << 20);
    enum { SIZE = 60000 };
    static char text[SIZE + 1];
    memset(text, 'x', SIZE);
    fcntl(fixture.ends[1], F_SETPIPE_SZ, 1 << 20);
    for (int i = 0; i < 5; i++)
        feed(&fixture, text);
    feed(&fixture, "\nafter\n");
    const char *line;
    size_t size;
    assert_int_equal(lines_next(&fixture.lines, fixture.signals, &line, &size), LINES_LINE);
    assert_int_equal(size, 5 * SIZE);
    expect_line(&fixture, 2, "after");
    stop(&fixture);
}

static void test_lines_stop_at_a_signal(void **state)
{
    (void)state;
    struct pipe_fixture fixture;
    start(&fixture, 100);
    feed(&fixture, "half a li");
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    expect(&fixture, LINES_STOPPED);
    assert_true(signals_pending(fixture.signals));
    stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_whole_and_last_without_end),
        cmocka_unit_test(test_lines_too_long_is_said_once_and_skipped),
        cmocka_unit_test(test_lines_longer_than_the_first_buffer),
        cmocka_unit_test(test_lines_stop_at_a_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
