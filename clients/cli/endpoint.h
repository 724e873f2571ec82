// SPDX-License-Identifier: MIT
// The bus that --bus options (or the lack of them) name.
#ifndef TALUS_CLI_ENDPOINT_H
#define TALUS_CLI_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

#include "clients/cli/options.h"

enum { ENDPOINT_MAX = 4096 };

// Writes the endpoints of `buses` (none: the default bus), comma-separated.
// `connects`: whether an endpoint without a prefix that is no bus directory gets one, `>`.
// Returns 0, or the exit status of an error that was reported.
int endpoint_resolve(const option_list_t *buses, bool connects, char endpoint[ENDPOINT_MAX]);

// Whether it is one bus directory (ipc://DIRECTORY/*) without a prefix.
bool endpoint_is_directory(const char *endpoint);

#endif
