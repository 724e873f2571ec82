// SPDX-License-Identifier: MIT
// Endpoint lists, and the default endpoint.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <talus/error.h>
#include <talus/subscriber.h>
#include <talus/topic.h>

#include "bus/src/zmq/endpoint.h"

static void expect_one(const char *list, bool is_bound, enum talus__endpoint_kind kind,
                       const char *text)
{
    struct talus__endpoints endpoints;

    assert_int_equal(talus__endpoints_parse(list, is_bound, &endpoints), 0);
    assert_int_equal(endpoints.count, 1);
    assert_int_equal(endpoints.items[0].kind, kind);
    assert_string_equal(endpoints.items[0].text, text);
    talus__endpoints_fini(&endpoints);
}

static void test_endpoint_without_prefix_takes_the_callers_side(void **state)
{
    (void)state;
    expect_one("tcp://127.0.0.1:5570", true, TALUS__ENDPOINT_BIND, "tcp://127.0.0.1:5570");
    expect_one("tcp://127.0.0.1:5570", false, TALUS__ENDPOINT_CONNECT, "tcp://127.0.0.1:5570");
    expect_one("ipc:///run/x", true, TALUS__ENDPOINT_BIND, "ipc:///run/x");
    expect_one("inproc://here", false, TALUS__ENDPOINT_CONNECT, "inproc://here");
}

static void test_endpoint_prefix_decides_the_side(void **state)
{
    (void)state;
    expect_one("@tcp://*:*", false, TALUS__ENDPOINT_BIND, "tcp://*:*");
    expect_one(">tcp://[::1]:5570", true, TALUS__ENDPOINT_CONNECT, "tcp://[::1]:5570");
    expect_one("@ipc://@abstract", false, TALUS__ENDPOINT_BIND, "ipc://@abstract");
    expect_one("ipc://*", true, TALUS__ENDPOINT_BIND, "ipc://*");
    expect_one("tcp://eth0:0", true, TALUS__ENDPOINT_BIND, "tcp://eth0:0");
}

static void test_endpoint_directory_is_recognised(void **state)
{
    (void)state;
    expect_one("ipc:///run/talus/bus/*", true, TALUS__ENDPOINT_DIRECTORY, "/run/talus/bus");
    expect_one("ipc:///run/talus/bus/*", false, TALUS__ENDPOINT_DIRECTORY, "/run/talus/bus");
    expect_one("@ipc:///run/bus//*", true, TALUS__ENDPOINT_DIRECTORY, "/run/bus");
    expect_one(">ipc://bus/*", false, TALUS__ENDPOINT_DIRECTORY, "bus");
    expect_one("ipc:///with a space/*", false, TALUS__ENDPOINT_DIRECTORY, "/with a space");
}

static void test_endpoint_list_keeps_its_order(void **state)
{
    struct talus__endpoints endpoints;

    (void)state;
    assert_int_equal(talus__endpoints_parse("ipc:///b/*,@tcp://*:1,inproc://x", false, &endpoints),
                     0);
    assert_int_equal(endpoints.count, 3);
    assert_int_equal(endpoints.items[0].kind, TALUS__ENDPOINT_DIRECTORY);
    assert_string_equal(endpoints.items[1].text, "tcp://*:1");
    assert_int_equal(endpoints.items[2].kind, TALUS__ENDPOINT_CONNECT);
    talus__endpoints_fini(&endpoints);
    assert_null(endpoints.items);
    talus__endpoints_fini(&endpoints);
}

static void test_endpoint_malformed_is_refused(void **state)
{
    static const char *const bad[] = {
        "",           ",",           "tcp://h:1,", ",tcp://h:1",    "@",
        ">",          "@@tcp://h:1", "tcp",        "tcp://",        "tcp://h",
        "tcp://h:",   "tcp://:1",    "tcp://h:x",  "tcp://h:65536", "tcp://h:123456",
        ">tcp://h:*", ">tcp://*:1",  ">tcp://h:0", "udp://h:1",     "TCP://h:1",
        "http://h/",  "ipc://",      "inproc://",  ">ipc://*",      "ipc:///*",
        " tcp://h:1",
    };
    struct talus__endpoints endpoints;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (talus__endpoints_parse(bad[i], true, &endpoints) != TALUS_EENDPOINT)
            fail_msg("'%s' was not refused", bad[i]);
    }
}

// `before`, `size` times an a, `after`.
static int parse_long(const char *before, size_t size, const char *after, bool is_bound)
{
    char list[4096];
    struct talus__endpoints endpoints;

    memset(stpcpy(list, before), 'a', size);
    strcpy(list + strlen(before) + size, after);
    int error = talus__endpoints_parse(list, is_bound, &endpoints);
    if (!error)
        talus__endpoints_fini(&endpoints);
    return error;
}

static void test_endpoint_path_too_long_for_a_socket_is_refused_on_both_sides(void **state)
{
    const size_t path_max = sizeof((struct sockaddr_un *)0)->sun_path - 1;
    const size_t directory_max = path_max - strlen("/.replay") - TALUS_ORIGIN_MAX;

    (void)state;
    for (int is_bound = 0; is_bound < 2; is_bound++) {
        assert_int_equal(parse_long("ipc:///", path_max - 1, "", is_bound), 0);
        assert_int_equal(parse_long("ipc:///", path_max, "", is_bound), TALUS_EPATHTOOLONG);
        assert_int_equal(parse_long("@ipc:///", 3000, "", is_bound), TALUS_EPATHTOOLONG);
        assert_int_equal(parse_long("ipc:///", directory_max - 1, "/*", is_bound), 0);
        assert_int_equal(parse_long("ipc:///", directory_max - 1, "//*", is_bound), 0);
        assert_int_equal(parse_long("ipc:///", directory_max, "/*", is_bound), TALUS_EPATHTOOLONG);
        assert_int_equal(parse_long("ipc:///", 3000, "/*", is_bound), TALUS_EPATHTOOLONG);
    }
}

static void test_endpoint_too_long_is_refused_on_both_sides(void **state)
{
    const size_t max = TALUS__ENDPOINT_TEXT_MAX - strlen("inproc://");

    (void)state;
    for (int is_bound = 0; is_bound < 2; is_bound++) {
        assert_int_equal(parse_long("inproc://", max, "", is_bound), 0);
        assert_int_equal(parse_long("inproc://", max + 1, "", is_bound), TALUS_EENDPOINT);
        assert_int_equal(parse_long(">tcp://", 3000, ":1", is_bound), TALUS_EENDPOINT);
    }
}

static void test_endpoint_directory_of_the_other_side_is_refused(void **state)
{
    struct talus__endpoints endpoints;

    (void)state;
    assert_int_equal(talus__endpoints_parse(">ipc:///b/*", true, &endpoints), TALUS_EENDPOINT);
    assert_int_equal(talus__endpoints_parse("@ipc:///b/*", false, &endpoints), TALUS_EENDPOINT);
}

static void test_endpoint_too_many_are_refused(void **state)
{
    char list[TALUS__ENDPOINTS_MAX * 16 + 16] = "tcp://h:1";
    struct talus__endpoints endpoints;

    (void)state;
    for (int i = 1; i < TALUS__ENDPOINTS_MAX; i++)
        strcat(list, ",tcp://h:1");
    assert_int_equal(talus__endpoints_parse(list, true, &endpoints), 0);
    assert_int_equal(endpoints.count, TALUS__ENDPOINTS_MAX);
    talus__endpoints_fini(&endpoints);
    strcat(list, ",tcp://h:1");
    assert_int_equal(talus__endpoints_parse(list, true, &endpoints), TALUS_EENDPOINT);
}

// ---- The default

static int unset_environment(void **state)
{
    (void)state;
    unsetenv("TALUS_BUS");
    unsetenv("XDG_RUNTIME_DIR");
    return 0;
}

static void expect_default(const char *expected)
{
    char text[256];

    assert_int_equal(talus_default_endpoint(text, sizeof text), 0);
    assert_string_equal(text, expected);
}

static void test_endpoint_default_prefers_the_variable(void **state)
{
    (void)state;
    setenv("TALUS_BUS", "tcp://127.0.0.1:9", 1);
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    expect_default("tcp://127.0.0.1:9");
    expect_one(NULL, false, TALUS__ENDPOINT_CONNECT, "tcp://127.0.0.1:9");
    setenv("TALUS_BUS", "", 1);
    expect_default("ipc:///run/user/7/talus/bus/*");
    expect_one(NULL, true, TALUS__ENDPOINT_DIRECTORY, "/run/user/7/talus/bus");
}

static void test_endpoint_default_without_runtime_directory_is_the_users_own(void **state)
{
    char expected[64];

    (void)state;
    snprintf(expected, sizeof expected, "ipc:///tmp/talus-%lu/bus/*", (unsigned long)geteuid());
    expect_default(expected);
    setenv("XDG_RUNTIME_DIR", "relative", 1);
    expect_default(expected);
}

static void test_endpoint_default_needs_its_room(void **state)
{
    char text[16] = "untouched";

    (void)state;
    setenv("TALUS_BUS", "tcp://h:1", 1);
    assert_int_equal(talus_default_endpoint(text, strlen("tcp://h:1")), TALUS_ETOOLARGE);
    assert_string_equal(text, "untouched");
    assert_int_equal(talus_default_endpoint(text, strlen("tcp://h:1") + 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoint_without_prefix_takes_the_callers_side),
        cmocka_unit_test(test_endpoint_prefix_decides_the_side),
        cmocka_unit_test(test_endpoint_directory_is_recognised),
        cmocka_unit_test(test_endpoint_list_keeps_its_order),
        cmocka_unit_test(test_endpoint_malformed_is_refused),
        cmocka_unit_test(test_endpoint_directory_of_the_other_side_is_refused),
        cmocka_unit_test(test_endpoint_path_too_long_for_a_socket_is_refused_on_both_sides),
        cmocka_unit_test(test_endpoint_too_long_is_refused_on_both_sides),
        cmocka_unit_test(test_endpoint_too_many_are_refused),
        cmocka_unit_test_setup_teardown(test_endpoint_default_prefers_the_variable,
                                        unset_environment, unset_environment),
        cmocka_unit_test_setup_teardown(
            test_endpoint_default_without_runtime_directory_is_the_users_own, unset_environment,
            unset_environment),
        cmocka_unit_test_setup_teardown(test_endpoint_default_needs_its_room, unset_environment,
                                        unset_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
