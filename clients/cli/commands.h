// SPDX-License-Identifier: MIT
// The commands of the program, each in a file (or folder) of its name.
#ifndef TALUS_CLI_COMMANDS_H
#define TALUS_CLI_COMMANDS_H

#include "clients/cli/options.h"

extern const command_t tap_command;
extern const command_t emit_command;
extern const command_t demo_command;
extern const command_t bench_command;

#endif
