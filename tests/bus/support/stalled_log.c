// SPDX-License-Identifier: MIT
// The library's log as a test hears it.
#include "tests/bus/support/stalled_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <talus/log.h>

#define DEADLINE_S 30
#define LINES_MAX  256

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static char lines[LINES_MAX][256];
static size_t line_count;
static const char *held_text; // NULL: hold nobody
static bool is_held;

static void on_line(talus_log_level_t level, const char *line, void *arg)
{
    (void)level;
    (void)arg;
    pthread_mutex_lock(&mutex);
    if (line_count < LINES_MAX)
        snprintf(lines[line_count++], sizeof lines[0], "%s", line);
    pthread_cond_broadcast(&changed);
    if (held_text && strstr(line, held_text)) {
        is_held = true;
        pthread_cond_broadcast(&changed);
        while (held_text)
            pthread_cond_wait(&changed, &mutex);
        is_held = false;
    }
    pthread_mutex_unlock(&mutex);
}

void stalled_log_open(void)
{
    line_count = 0;
    held_text = NULL;
    talus_set_log(TALUS_LOG_DEBUG, on_line, NULL);
}

void stalled_log_close(void)
{
    stalled_log_release();
    talus_set_log(TALUS_LOG_WARNING, NULL, NULL);
}

void stalled_log_hold(const char *text)
{
    pthread_mutex_lock(&mutex);
    held_text = text;
    pthread_mutex_unlock(&mutex);
}

// With the mutex held. False: the deadline passed.
static bool wait_for_change(const struct timespec *deadline)
{
    return pthread_cond_timedwait(&changed, &mutex, deadline) == 0;
}

static struct timespec deadline_from_now(void)
{
    struct timespec deadline;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += DEADLINE_S;
    return deadline;
}

void stalled_log_wait_held(void)
{
    struct timespec deadline = deadline_from_now();
    bool in_time = true;

    pthread_mutex_lock(&mutex);
    while (!is_held && in_time)
        in_time = wait_for_change(&deadline);
    pthread_mutex_unlock(&mutex);
    assert_true(in_time);
}

void stalled_log_release(void)
{
    pthread_mutex_lock(&mutex);
    held_text = NULL;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

// Forgets the lines up to the one that has it.
static bool take_line(const char *text)
{
    for (size_t i = 0; i < line_count; i++) {
        if (!strstr(lines[i], text))
            continue;
        line_count -= i + 1;
        memmove(lines[0], lines[i + 1], line_count * sizeof lines[0]);
        return true;
    }
    return false;
}

void stalled_log_wait(const char *text)
{
    struct timespec deadline = deadline_from_now();
    bool found, in_time = true;

    pthread_mutex_lock(&mutex);
    while (!(found = take_line(text)) && in_time)
        in_time = wait_for_change(&deadline);
    pthread_mutex_unlock(&mutex);
    if (!found)
        fail_msg("nothing was logged about: %s", text);
}
