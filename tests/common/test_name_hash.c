// SPDX-License-Identifier: MIT
// The hash of names: ledgers of other versions hold it, so it stays what docs/protocol.md says.
#include "tests/common/cmocka_all.h"

#include <string.h>

#include "common/name_hash.h"

static void test_name_hash_is_the_documented_one(void **state)
{
    static const struct {
        uint64_t key;
        const char *name;
        uint64_t hash; // worked out by the document, in little-endian order
    } known[] = {
        {0, "", 1},
        {0, "a", 0x46c1a730e4dbdec6},
        {0x0123456789abcdef, "session", 0xa2d0a5f61cb1f403},
        {0x0123456789abcdef, "sessions", 0xa967a8f419cbba03},
        {0x0123456789abcdef, "session-1", 0x685cb107d4edca1a},
        {7, "3f2504e0-4f89-11d3-9a0c-0305e82c3301", 0x6adbd8fb3bfa334a},
    };

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_true(tl_name_hash(known[i].key, known[i].name, strlen(known[i].name)) ==
                    known[i].hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name_hash_is_the_documented_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
