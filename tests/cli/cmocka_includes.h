// SPDX-License-Identifier: MIT
// cmocka wants these before itself.
#ifndef TALUS_TESTS_CLI_CMOCKA_INCLUDES_H
#define TALUS_TESTS_CLI_CMOCKA_INCLUDES_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#endif
