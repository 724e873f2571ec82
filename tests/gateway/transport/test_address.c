// SPDX-License-Identifier: MIT
// Addresses of listening sockets, to and from text.
#include "gateway/transport/address.h"

#include <arpa/inet.h>
#include <string.h>

#include "tests/common/cmocka_all.h"

static void test_address_takes_hosts_and_ports_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *host;
        const char *port;
    } cases[] = {
        {"127.0.0.1:3000", "127.0.0.1", "3000"},   {"localhost:0", "localhost", "0"},
        {"[::1]:65535", "::1", "65535"},           {"[::]:80", "::", "80"},
        {"a.example:08080", "a.example", "08080"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct address address;
        assert_null(address_parse(cases[i].text, &address));
        assert_false(address.is_unix);
        assert_string_equal(address.host, cases[i].host);
        assert_string_equal(address.port, cases[i].port);
    }
}

static void test_address_takes_paths(void **state)
{
    (void)state;
    struct address address;
    assert_null(address_parse("unix:/run/talus: 1.sock", &address));
    assert_true(address.is_unix);
    assert_string_equal(address.path.sun_path, "/run/talus: 1.sock");
}

static void test_address_says_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *wrong;
    } cases[] = {
        {"", "not HOST:PORT, [IPV6]:PORT or unix:PATH"},
        {"3000", "not HOST:PORT, [IPV6]:PORT or unix:PATH"},
        {":3000", "not HOST:PORT, [IPV6]:PORT or unix:PATH"},
        {"[::1]", "not HOST:PORT, [IPV6]:PORT or unix:PATH"},
        {"[]:3000", "not HOST:PORT, [IPV6]:PORT or unix:PATH"},
        {"[::1:3000", "not HOST:PORT, [IPV6]:PORT or unix:PATH"},
        {"::1:3000", "an IPv6 address needs brackets, as in [::1]:3000"},
        {"localhost:", "the port is not a number from 0 to 65535"},
        {"localhost:65536", "the port is not a number from 0 to 65535"},
        {"localhost:-1", "the port is not a number from 0 to 65535"},
        {"localhost:http", "the port is not a number from 0 to 65535"},
        {"localhost:100000000000", "the port is not a number from 0 to 65535"},
        {"unix:", "the path is empty"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct address address;
        const char *wrong = address_parse(cases[i].text, &address);
        assert_non_null(wrong);
        assert_string_equal(wrong, cases[i].wrong);
    }
}

static void test_address_bounds_hosts_and_paths(void **state)
{
    (void)state;
    char text[512];
    struct address address;
    memset(text, 'a', sizeof text);
    strcpy(text + 255, ":80");
    assert_null(address_parse(text, &address));
    text[255] = 'a';
    strcpy(text + 256, ":80");
    assert_non_null(address_parse(text, &address));

    memset(text, 'a', sizeof text);
    memcpy(text, "unix:", 5);
    text[5 + 107] = '\0';
    assert_null(address_parse(text, &address));
    text[5 + 107] = 'a';
    text[5 + 108] = '\0';
    assert_string_equal(address_parse(text, &address), "the path is longer than 107 bytes");
}

static void test_address_formats_what_was_bound(void **state)
{
    (void)state;
    char text[ADDRESS_TEXT_MAX];
    struct sockaddr_storage bound = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&bound;
    in->sin_family = AF_INET;
    in->sin_port = htons(3000);
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address_format(&bound, text);
    assert_string_equal(text, "127.0.0.1:3000");

    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&bound;
    *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(80)};
    in6->sin6_addr = in6addr_loopback;
    address_format(&bound, text);
    assert_string_equal(text, "[::1]:80");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address_takes_hosts_and_ports_apart),
        cmocka_unit_test(test_address_takes_paths),
        cmocka_unit_test(test_address_says_what_is_wrong),
        cmocka_unit_test(test_address_bounds_hosts_and_paths),
        cmocka_unit_test(test_address_formats_what_was_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
