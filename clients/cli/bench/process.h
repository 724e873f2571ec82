// SPDX-License-Identifier: MIT
// The server under load, as /proc and its CPU clock show it.
#ifndef TALUS_CLI_BENCH_PROCESS_H
#define TALUS_CLI_BENCH_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// The process that listens on a TCP port of this machine; 0: none that this user may look into.
pid_t process_of_port(unsigned port);

// CPU time of the whole process, user and system, in seconds; below 0: it cannot be read.
double process_cpu(pid_t process);

typedef struct process_memory {
    uint64_t resident;  // bytes
    uint64_t anonymous; // bytes of it that no file stands behind: the heap and stacks
} process_memory_t;

// False: it cannot be read.
bool process_memory(pid_t process, process_memory_t *memory);

#endif
