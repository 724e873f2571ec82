// SPDX-License-Identifier: MIT
// The configuration file: lines `NAME = VALUE` as czmq's zconfig reads them (`#` begins a comment).
#ifndef TALUS_GATEWAY_MAIN_CONFIG_FILE_H
#define TALUS_GATEWAY_MAIN_CONFIG_FILE_H

#include <czmq.h>

// Reads the file, of 1 MiB at most. Returns its tree, for zconfig_destroy; NULL: it cannot be read,
// or is malformed, and `error` says why and in which line.
zconfig_t *config_file_load(const char *name, char *error, size_t error_size);

#endif
