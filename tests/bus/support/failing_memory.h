// SPDX-License-Identifier: MIT
// Lets allocations fail, for tests of what happens when memory is short. The linker leads the
// library's allocations through here (see CMakeLists.txt); ZeroMQ's own are its own.
#ifndef TALUS_TESTS_FAILING_MEMORY_H
#define TALUS_TESTS_FAILING_MEMORY_H

#include <stdbool.h>

// Lets the `nth` allocation of this thread from now on fail.
void begin_failing(int nth);

// Returns whether one failed.
bool end_failing(void);

#endif
