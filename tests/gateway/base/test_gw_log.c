// SPDX-License-Identifier: MIT
// Log lines, read back from a pipe that stands in for standard error while a test runs.
#include "gateway/base/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/common/cmocka_all.h"

static struct {
    int saved;
    int read_end;
} capture;

static int setup(void **state)
{
    (void)state;
    int ends[2];
    if (pipe(ends) != 0 || fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) < 0)
        return -1;
    capture.saved = dup(STDERR_FILENO);
    capture.read_end = ends[0];
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    gw_log_set_level(GW_LOG_INFO);
    return 0;
}

static void restore(void)
{
    if (capture.saved < 0)
        return;
    dup2(capture.saved, STDERR_FILENO); // the pipe's only writer is gone: reading it ends
    close(capture.saved);
    capture.saved = -1;
}

static int teardown(void **state)
{
    (void)state;
    restore();
    close(capture.read_end);
    return 0;
}

// Everything that was logged since setup.
static const char *logged(void)
{
    static char text[1 << 20];
    size_t size = 0;
    ssize_t got;
    restore();
    while ((got = read(capture.read_end, text + size, sizeof text - 1 - size)) > 0)
        size += (size_t)got;
    text[size] = '\0';
    return text;
}

// What stands behind "2026-11-24T08:13:33.123Z ", which is checked.
static const char *after_time(const char *line)
{
    static const char pattern[] = "dddd-dd-ddTdd:dd:dd.dddZ ";
    for (size_t i = 0; i < sizeof pattern - 1; i++) {
        if (pattern[i] == 'd')
            assert_true(isdigit((unsigned char)line[i]));
        else
            assert_int_equal(line[i], pattern[i]);
    }
    return line + sizeof pattern - 1;
}

static void test_log_line_has_time_level_part_and_text(void **state)
{
    (void)state;
    gw_log(GW_LOG_WARNING, "http", "refused %s status=%d", "it", 413);
    assert_string_equal(after_time(logged()), "warning http: refused it status=413\n");
}

static void test_log_leaves_out_what_is_below_the_level(void **state)
{
    (void)state;
    gw_log_set_level(GW_LOG_WARNING);
    assert_true(gw_log_is_on(GW_LOG_ERROR));
    assert_false(gw_log_is_on(GW_LOG_INFO));
    gw_log(GW_LOG_INFO, "http", "no");
    gw_log(GW_LOG_DEBUG, "http", "no");
    gw_log(GW_LOG_ERROR, "http", "yes");
    assert_string_equal(after_time(logged()), "error http: yes\n");
}

static void test_log_escapes_controls(void **state)
{
    (void)state;
    gw_log(GW_LOG_INFO, "x", "a\nb\x1b[31m\x7f \xc2\x9b é");
    assert_string_equal(after_time(logged()), "info x: a\\x0ab\\x1b[31m\\x7f \\xc2\\x9b é\n");
}

static void test_log_cuts_long_lines_between_characters(void **state)
{
    (void)state;
    for (size_t pad = 0; pad < 4; pad++) {
        char text[3000] = "";
        memset(text, '.', pad);
        for (size_t i = pad; i + 3 < sizeof text - 1; i += 3)
            memcpy(text + i, "€", 3);
        gw_log(GW_LOG_INFO, "x", "%s", text);
    }
    const char *line = logged();
    for (size_t pad = 0; pad < 4; pad++) {
        const char *end = strchr(line, '\n');
        assert_non_null(end);
        assert_true(end + 1 - line <= 1000 && end + 1 - line > 990);
        assert_memory_equal(end - 6, "€…", 6);
        line = end + 1;
    }
    assert_int_equal(*line, '\0');
}

static void test_log_cuts_lines_that_escapes_make_long(void **state)
{
    (void)state;
    char text[600];
    memset(text, '\n', sizeof text);
    text[sizeof text - 1] = '\0';
    gw_log(GW_LOG_INFO, "x", "%s", text);
    const char *line = logged();
    assert_true(strlen(line) <= 1000);
    assert_string_equal(line + strlen(line) - 8, "\\x0a…\n");
}

static void test_log_keeps_errno(void **state)
{
    (void)state;
    errno = ENOENT;
    gw_log(GW_LOG_INFO, "x", "text");
    assert_int_equal(errno, ENOENT);
}

static void test_log_parses_level_names(void **state)
{
    (void)state;
    enum gw_log_level level = GW_LOG_ERROR;
    assert_true(gw_log_parse_level("debug", &level));
    assert_int_equal(level, GW_LOG_DEBUG);
    assert_true(gw_log_parse_level("Warning", &level));
    assert_int_equal(level, GW_LOG_WARNING);
    assert_false(gw_log_parse_level("", &level));
    assert_false(gw_log_parse_level("warn", &level));
    assert_int_equal(level, GW_LOG_WARNING);
}

enum { THREADS = 4, LINES = 300 };

static void *log_lines(void *arg)
{
    for (int i = 0; i < LINES; i++)
        gw_log(GW_LOG_DEBUG, "thread", "%s", (const char *)arg);
    return NULL;
}

static void test_log_lines_of_several_threads_do_not_mix(void **state)
{
    (void)state;
    static const char *const texts[THREADS] = {"aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb",
                                               "cccccccccccccccc", "dddddddddddddddd"};
    pthread_t threads[THREADS];
    gw_log_set_level(GW_LOG_DEBUG); // which has no bound on its lines
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_lines, (void *)(uintptr_t)texts[i]),
                         0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    int counts[THREADS] = {0};
    const char *line = logged();
    while (*line) {
        const char *text = after_time(line);
        assert_memory_equal(text, "debug thread: ", 14);
        int which = text[14] - 'a';
        assert_true(which >= 0 && which < THREADS);
        assert_memory_equal(text + 14, texts[which], 16);
        assert_int_equal(text[30], '\n');
        counts[which]++;
        line = text + 31;
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(counts[i], LINES);
}

static int64_t second_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void test_log_has_so_many_lines_a_second(void **state)
{
    (void)state;
    const int64_t begin = second_now();
    int64_t end = begin;
    unsigned tried = 0;
    unsigned shown = 0;
    unsigned long told = 0;
    while (tried < 1000 || end == begin) { // until a later second has had a line
        gw_log(GW_LOG_ERROR, "x", "flood");
        tried++;
        end = second_now();
    }
    gw_log(GW_LOG_ERROR, "x", "flood");
    tried++;
    gw_log(GW_LOG_INFO, "x", "of another level");
    end = second_now();
    const char *text = logged();
    assert_non_null(strstr(text, "info x: of another level\n"));
    for (const char *at = text; (at = strstr(at, "error x: flood\n")); at++)
        shown++;
    for (const char *at = text; (at = strstr(at, "error log: ")); at++)
        told += strtoul(at + strlen("error log: "), NULL, 10);
    assert_in_range(shown, 90, 100 * (uintmax_t)(end - begin + 1));
    assert_true(told > 0 && told + shown <= tried);
}

int main(void)
{
#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_log_line_has_time_level_part_and_text),
        LOG_TEST(test_log_leaves_out_what_is_below_the_level),
        LOG_TEST(test_log_escapes_controls),
        LOG_TEST(test_log_cuts_long_lines_between_characters),
        LOG_TEST(test_log_cuts_lines_that_escapes_make_long),
        LOG_TEST(test_log_keeps_errno),
        LOG_TEST(test_log_parses_level_names),
        LOG_TEST(test_log_lines_of_several_threads_do_not_mix),
        LOG_TEST(test_log_has_so_many_lines_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
