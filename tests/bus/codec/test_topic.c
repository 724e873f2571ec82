// SPDX-License-Identifier: MIT
// Session ids, event types, origins.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <talus/error.h>
#include <talus/topic.h>

#include "tests/bus/support/vectors.h"

typedef int check_fn(const char *text, size_t size);

static void check_all(json_t *root, const char *list, check_fn *check, int expected)
{
    json_t *items = json_object_get(root, list);
    size_t i;
    json_t *item;
    assert_true(json_array_size(items) > 0);
    json_array_foreach(items, i, item)
    {
        size_t size;
        const char *text = vectors_text(item, NULL, &size);
        struct vectors_bytes copy = vectors_copy(text, size);
        if (check((const char *)copy.ptr, size) != expected)
            fail_msg("%s: \"%s\" is not %s", list, text, talus_error_name(expected));
        free(copy.ptr);
    }
}

static void test_topic_vectors(void **state)
{
    (void)state;
    json_t *root = vectors_load("topics.json");
    check_all(root, "sessions_valid", talus_session_check, 0);
    check_all(root, "sessions_invalid", talus_session_check, TALUS_ESESSION);
    check_all(root, "types_valid", talus_type_check, 0);
    check_all(root, "types_malformed", talus_type_check, TALUS_ETYPE);
    check_all(root, "types_reserved", talus_type_check, TALUS_ERESERVED);
    json_decref(root);
}

static bool is_one_of(int byte, const char *others)
{
    bool is_alphanumeric = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                           (byte >= '0' && byte <= '9');
    return is_alphanumeric || (byte && strchr(others, byte));
}

static void test_topic_every_byte_in_every_place(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char text[3] = {'a', 'a', 'a'};
        for (size_t place = 0; place < 3; place++) {
            memset(text, 'a', sizeof(text));
            text[place] = (char)byte;
            bool is_session = is_one_of(byte, place == 0 ? "" : "._:@-");
            assert_int_equal(talus_session_check(text, 3), is_session ? 0 : TALUS_ESESSION);
            int type = is_one_of(byte, "._:-")     ? 0
                       : place == 0 && byte == '$' ? TALUS_ERESERVED
                                                   : TALUS_ETYPE;
            assert_int_equal(talus_type_check(text, 3), type);
        }
    }
}

static void test_topic_null_is_invalid(void **state)
{
    (void)state;
    assert_int_equal(talus_session_check(NULL, 0), TALUS_ESESSION);
    assert_int_equal(talus_type_check(NULL, 0), TALUS_ETYPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topic_vectors),
        cmocka_unit_test(test_topic_every_byte_in_every_place),
        cmocka_unit_test(test_topic_null_is_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
