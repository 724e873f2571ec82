// SPDX-License-Identifier: MIT
// What `talus bench` can put under load, each in a file of its name.
#ifndef TALUS_CLI_BENCH_BENCH_H
#define TALUS_CLI_BENCH_BENCH_H

#include "clients/cli/options.h"

extern const command_t bench_gateway_command;
extern const command_t bench_bus_command;

#endif
