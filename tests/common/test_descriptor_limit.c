// SPDX-License-Identifier: MIT
// The soft limit of descriptors becomes the hard one.
#include "tests/common/cmocka_all.h"

#include <sys/resource.h>

#include "common/descriptor_limit.h"

static void test_descriptor_limit_is_raised(void **state)
{
    struct rlimit limit;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const rlim_t most = limit.rlim_max;
    assert_true(most > 64);
    limit.rlim_cur = 64;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(tl_descriptor_limit_raise() == (most == RLIM_INFINITY ? UINT64_MAX : most));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(limit.rlim_cur == most);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptor_limit_is_raised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
