// SPDX-License-Identifier: MIT
// The linker puts __wrap_X where X is called (see CMakeLists.txt).
#include "tests/common/faults.h"

#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static _Thread_local struct {
    bool is_armed;
    bool has_failed;
    unsigned left;
} fault;

void faults_fail_allocation_after(unsigned count)
{
    fault.is_armed = true;
    fault.has_failed = false;
    fault.left = count;
}

bool faults_stop(void)
{
    fault.is_armed = false;
    return fault.has_failed;
}

static bool fails_now(void)
{
    if (!fault.is_armed || fault.has_failed)
        return false;
    fault.has_failed = fault.left == 0;
    if (!fault.has_failed)
        fault.left--;
    return fault.has_failed;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails_now() ? NULL : __real_realloc(memory, size);
}
