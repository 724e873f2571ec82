// SPDX-License-Identifier: MIT
// Log lines on standard error: `2026-11-24T08:13:33.123Z warning http: text key=value …`.
#ifndef TALUS_GATEWAY_BASE_LOG_H
#define TALUS_GATEWAY_BASE_LOG_H

#include <stdbool.h>

enum gw_log_level { GW_LOG_ERROR, GW_LOG_WARNING, GW_LOG_INFO, GW_LOG_DEBUG };

// Before other threads start.
void gw_log_set_level(enum gw_log_level level);
bool gw_log_parse_level(const char *text, enum gw_log_level *level);
bool gw_log_is_on(enum gw_log_level level);

// `part` is a word such as "http". Control characters in what is logged are escaped. Any thread;
// one write a line, lines of 1,000 bytes at most, and of each level but debug 100 lines a second.
void gw_log(enum gw_log_level level, const char *part, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
