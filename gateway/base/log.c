// SPDX-License-Identifier: MIT
// Log lines. A line is made on the stack and leaves with one write, so that lines of several
// threads do not mix; a line that standard error does not take is lost, never waited for.
//
// Whatever makes a line can be made to happen often by somebody who wants the log to overflow, so
// each level but debug has a number of lines a second. The number left out is logged with the
// first line of a later second.
#include "gateway/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/hex.h"
#include "common/utf8.h"

enum { LINE_MAX_BYTES = 1000, LINES_A_SECOND = 100 };

static const char *const LEVEL_NAMES[] = {
    [GW_LOG_ERROR] = "error",
    [GW_LOG_WARNING] = "warning",
    [GW_LOG_INFO] = "info",
    [GW_LOG_DEBUG] = "debug",
};

enum { LEVEL_COUNT = sizeof LEVEL_NAMES / sizeof LEVEL_NAMES[0] };

static _Atomic int log_level = GW_LOG_INFO;

void gw_log_set_level(enum gw_log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

bool gw_log_parse_level(const char *text, enum gw_log_level *level)
{
    for (int i = 0; i < LEVEL_COUNT; i++) {
        if (strcasecmp(text, LEVEL_NAMES[i]) == 0) {
            *level = (enum gw_log_level)i;
            return true;
        }
    }
    return false;
}

bool gw_log_is_on(enum gw_log_level level)
{
    return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

static size_t write_prefix(char *out, size_t capacity, enum gw_log_level level, const char *part)
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    char seconds[32];
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &utc);
    int size = snprintf(out, capacity, "%s.%03ldZ %s %s: ", seconds, now.tv_nsec / 1000000,
                        LEVEL_NAMES[level], part);
    return size < 0 ? 0 : (size_t)size < capacity ? (size_t)size : capacity - 1;
}

// Terminals obey C0, DEL and, in UTF-8, the C1 controls U+0080 to U+009F.
// Returns how many bytes a control at `at` has, 0 if there is none.
static size_t control_size(const unsigned char *at)
{
    if (at[0] < 0x20 || at[0] == 0x7f)
        return 1;
    return at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f ? 2 : 0;
}

static void write_escape(char out[4], unsigned char byte)
{
    out[0] = '\\';
    out[1] = 'x';
    tl_hex_write(byte, out + 2);
}

// Copies `text` with its controls escaped; stops before a character that does not fit. Returns the
// size, and in *is_cut whether it stopped early.
static size_t write_escaped(char *out, size_t capacity, const char *text, bool *is_cut)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t size = 0;
    while (*at) {
        size_t controls = control_size(at);
        size_t width = controls > 0 ? 4 * controls : 1;
        if (width > capacity - size) {
            *is_cut = true;
            break;
        }
        if (controls == 0)
            out[size] = (char)*at++;
        for (size_t i = 0; i < controls; i++)
            write_escape(out + size + 4 * i, *at++);
        size += width;
    }
    return size;
}

static void write_line(const char *line, size_t size)
{
    ssize_t written;
    do
        written = write(STDERR_FILENO, line, size);
    while (written < 0 && errno == EINTR);
}

static void __attribute__((format(printf, 3, 0)))
log_line(enum gw_log_level level, const char *part, const char *format, va_list args)
{
    static const char ellipsis[] = "…\n";
    char text[LINE_MAX_BYTES];
    char line[LINE_MAX_BYTES];
    int length = vsnprintf(text, sizeof text, format, args);
    if (length < 0)
        return;
    bool is_cut = (size_t)length >= sizeof text;
    size_t room = sizeof line - (sizeof ellipsis - 1);
    size_t size = write_prefix(line, room, level, part);
    size += write_escaped(line + size, room - size, text, &is_cut);
    if (is_cut) {
        size = tl_utf8_whole(line, size);
        memcpy(line + size, ellipsis, sizeof ellipsis - 1);
        size += sizeof ellipsis - 1;
    } else {
        line[size++] = '\n';
    }
    write_line(line, size);
}

// Whether the level has a line left in this second. *left_out: lines that it had not, up to now,
// for the caller to tell. Threads that meet here may be a line off.
static bool take_line(enum gw_log_level level, unsigned *left_out)
{
    static struct {
        _Atomic int64_t second;
        atomic_uint lines;
    } budgets[LEVEL_COUNT];
    *left_out = 0;
    if (level == GW_LOG_DEBUG)
        return true;
    int64_t now = tl_monotonic_ms() / 1000;
    int64_t second = atomic_load(&budgets[level].second);
    if (second != now && atomic_compare_exchange_strong(&budgets[level].second, &second, now)) {
        unsigned lines = atomic_exchange(&budgets[level].lines, 0);
        *left_out = lines > LINES_A_SECOND ? lines - LINES_A_SECOND : 0;
    }
    return atomic_fetch_add(&budgets[level].lines, 1) < LINES_A_SECOND;
}

static void __attribute__((format(printf, 3, 4)))
log_now(enum gw_log_level level, const char *part, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_line(level, part, format, args);
    va_end(args);
}

void gw_log(enum gw_log_level level, const char *part, const char *format, ...)
{
    unsigned left_out;
    int saved_errno = errno;
    if (!gw_log_is_on(level) || !take_line(level, &left_out))
        return;
    if (left_out > 0)
        log_now(level, "log", "%u lines of this level were left out", left_out);
    va_list args;
    va_start(args, format);
    log_line(level, part, format, args);
    va_end(args);
    errno = saved_errno;
}
