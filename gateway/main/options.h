// SPDX-License-Identifier: MIT
// The gateway's options: one table for flags, TALUS_GATEWAY_… variables, the configuration file and
// --help. A flag overrides a variable, a variable the file, the file the default.
#ifndef TALUS_GATEWAY_MAIN_OPTIONS_H
#define TALUS_GATEWAY_MAIN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/log.h"

struct options {
    char *listen;
    unsigned workers; // 0: one a core
    char *path;       // starts and ends with '/'
    char *nsp;        // starts with '/'
    char *bus;        // comma-separated; NULL: the default bus
    char *publish;    // NULL: the default bus
    unsigned directory_mode;
    char *page; // folder of the live page; NULL: none
    char **cors_origins;
    size_t cors_origin_count;
    unsigned ping_interval_ms;
    unsigned ping_timeout_ms;
    unsigned connect_timeout_ms;
    size_t max_payload;
    size_t client_queue_bytes;
    unsigned max_sessions_per_client;
    size_t presence_limit;       // SIZE_MAX: always
    unsigned recovery_window_ms; // 0: no recovery
    size_t recovery_bytes;
    enum gw_log_level log_level;
};

enum options_result {
    OPTIONS_OK,
    OPTIONS_DONE, // --help or --version was answered on standard output
    OPTIONS_BAD,  // a line on standard error says what is wrong: exit status 2
};

// Reads flags, variables and file. Except for OPTIONS_OK nothing is to be freed.
enum options_result options_read(struct options *options, int argc, char **argv);
void options_fini(struct options *options);

#endif
