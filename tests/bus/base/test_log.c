// SPDX-License-Identifier: MIT
// Where log lines go, and what a line may hold.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bus/src/base/log.h"

struct capture {
    int count;
    talus_log_level_t level;
    char line[TALUS__LOG_LINE_MAX * 2];
};

static void on_line(talus_log_level_t level, const char *line, void *arg)
{
    struct capture *capture = arg;
    capture->count++;
    capture->level = level;
    snprintf(capture->line, sizeof(capture->line), "%s", line);
    errno = EDOM;
}

static int restore(void **state)
{
    (void)state;
    talus_set_log(TALUS_LOG_WARNING, NULL, NULL);
    return 0;
}

static void test_log_level_and_format(void **state)
{
    (void)state;
    struct capture capture = {0};
    talus_set_log(TALUS_LOG_INFO, on_line, &capture);
    talus__log(TALUS_LOG_INFO, "%d of %s", 7, "nine");
    assert_int_equal(capture.count, 1);
    assert_int_equal(capture.level, TALUS_LOG_INFO);
    assert_string_equal(capture.line, "7 of nine");
    talus__log(TALUS_LOG_DEBUG, "not wanted");
    assert_int_equal(capture.count, 1);
    talus__log(TALUS_LOG_ERROR, "wanted");
    assert_int_equal(capture.count, 2);
    assert_int_equal(capture.level, TALUS_LOG_ERROR);
}

static void test_log_keeps_errno(void **state)
{
    (void)state;
    struct capture capture = {0};
    talus_set_log(TALUS_LOG_ERROR, on_line, &capture);
    errno = ENOENT;
    talus__log(TALUS_LOG_ERROR, "x");
    assert_int_equal(errno, ENOENT);
}

static void test_log_line_is_bounded_and_clean(void **state)
{
    (void)state;
    struct capture capture = {0};
    char text[TALUS__LOG_LINE_MAX + 10];
    talus_set_log(TALUS_LOG_ERROR, on_line, &capture);
    for (size_t size = TALUS__LOG_LINE_MAX - 2; size < sizeof(text); size++) {
        memset(text, 'x', size);
        text[size] = '\0';
        talus__log(TALUS_LOG_ERROR, "%s", text);
        if (size < TALUS__LOG_LINE_MAX) {
            assert_string_equal(capture.line, text);
        } else {
            assert_int_equal(strlen(capture.line), TALUS__LOG_LINE_MAX - 1);
            assert_string_equal(capture.line + TALUS__LOG_LINE_MAX - 4, "...");
        }
    }
    talus__log(TALUS_LOG_ERROR, "a\nb\rc\x1b[1m\x7f\xc3\xa9");
    assert_string_equal(capture.line, "a?b?c?[1m?\xc3\xa9");
}

static void test_log_default_is_standard_error_from_warnings_up(void **state)
{
    (void)state;
    int pipe_ends[2];
    char text[256];
    int standard_error = dup(STDERR_FILENO);
    assert_int_equal(pipe2(pipe_ends, O_CLOEXEC), 0);
    assert_true(dup2(pipe_ends[1], STDERR_FILENO) >= 0);
    talus__log(TALUS_LOG_INFO, "quiet");
    talus__log(TALUS_LOG_WARNING, "first");
    talus__log(TALUS_LOG_ERROR, "second");
    assert_true(dup2(standard_error, STDERR_FILENO) >= 0);
    close(standard_error);
    close(pipe_ends[1]);
    ssize_t size = read(pipe_ends[0], text, sizeof(text) - 1);
    close(pipe_ends[0]);
    assert_true(size > 0);
    text[size] = '\0';
    assert_string_equal(text, "talus: warning: first\ntalus: error: second\n");
}

enum { THREADS = 4, LINES = 200 };

static void count_line(talus_log_level_t level, const char *line, void *arg)
{
    (void)level;
    if (strcmp(line, "line 7") == 0)
        atomic_fetch_add((atomic_int *)arg, 1);
}

static void *log_lines(void *arg)
{
    (void)arg;
    for (int i = 0; i < LINES; i++)
        talus__log(TALUS_LOG_ERROR, "line %d", 7);
    return NULL;
}

static void test_log_from_several_threads(void **state)
{
    (void)state;
    atomic_int count = 0;
    pthread_t threads[THREADS];
    talus_set_log(TALUS_LOG_ERROR, count_line, &count);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_lines, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&count), THREADS * LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_log_level_and_format, restore),
        cmocka_unit_test_teardown(test_log_keeps_errno, restore),
        cmocka_unit_test_teardown(test_log_line_is_bounded_and_clean, restore),
        cmocka_unit_test_teardown(test_log_default_is_standard_error_from_warnings_up, restore),
        cmocka_unit_test_teardown(test_log_from_several_threads, restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
