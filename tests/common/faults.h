// SPDX-License-Identifier: MIT
// Allocation failures on demand, in the code under test and the test itself (not in shared
// libraries, which call their own malloc), on the thread that asks for them.
#ifndef TALUS_TESTS_COMMON_FAULTS_H
#define TALUS_TESTS_COMMON_FAULTS_H

#include <stdbool.h>

// Of the allocations from now on, the first `count` succeed and the one after them fails; those
// after that succeed again.
void faults_fail_allocation_after(unsigned count);

// Ends it. True if an allocation was made to fail.
bool faults_stop(void);

#endif
