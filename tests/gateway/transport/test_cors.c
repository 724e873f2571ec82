// SPDX-License-Identifier: MIT
// The rules of CORS, on requests made by hand.
#include <string.h>

#include "gateway/transport/cors.h"
#include "tests/common/cmocka_all.h"

enum { MAX_HEADERS = 4 };

struct fixture {
    struct cors cors;
    struct http_header headers[MAX_HEADERS];
    struct http_request request;
    struct tl_buffer out;
};

static void init(struct fixture *fixture, const char *const *origins, size_t count)
{
    char error[128] = "";
    *fixture = (struct fixture){.request = {.path = "/", .query = "", .minor = 1}};
    fixture->request.headers = fixture->headers;
    tl_buffer_init(&fixture->out, 4096);
    if (!cors_init(&fixture->cors, origins, count, error, sizeof error))
        fail_msg("%s", error);
}

static void fini(struct fixture *fixture)
{
    cors_fini(&fixture->cors);
    tl_buffer_fini(&fixture->out);
}

static void set_headers(struct fixture *fixture, const char *origin, const char *host)
{
    fixture->request.header_count = 0;
    if (origin)
        fixture->headers[fixture->request.header_count++] = (struct http_header){"Origin", origin};
    if (host)
        fixture->headers[fixture->request.header_count++] = (struct http_header){"host", host};
}

// The response headers to a request of that origin; NULL: none.
static const char *headers_for(struct fixture *fixture, const char *origin)
{
    set_headers(fixture, origin, "server.example");
    tl_buffer_clear(&fixture->out);
    assert_true(cors_append_headers(&fixture->cors, &fixture->request, &fixture->out));
    assert_true(tl_buffer_append(&fixture->out, "", 1));
    return (const char *)fixture->out.bytes;
}

static bool allows(struct fixture *fixture, const char *origin, const char *host)
{
    set_headers(fixture, origin, host);
    return cors_allows(&fixture->cors, &fixture->request);
}

static const char *const two[] = {"https://a.example", "http://b.example:8080"};
static const char *const any[] = {"*"};
static const char *const any_and_one[] = {"*", "https://a.example"};

#define NAMED(origin)                                                                              \
    "Access-Control-Allow-Origin: " origin "\r\n"                                                  \
    "Access-Control-Allow-Credentials: true\r\n"                                                   \
    "Vary: Origin\r\n"

static void test_nothing_configured_says_nothing(void **state)
{
    struct fixture fixture;
    (void)state;
    init(&fixture, NULL, 0);
    assert_false(cors_is_configured(&fixture.cors));
    assert_string_equal(headers_for(&fixture, "https://a.example"), "");
    assert_string_equal(headers_for(&fixture, NULL), "");
    fixture.request.method = HTTP_METHOD_OPTIONS;
    assert_false(cors_is_preflight(&fixture.cors, &fixture.request));
    fini(&fixture);
}

static void test_listed_origins_are_named_with_credentials(void **state)
{
    struct fixture fixture;
    (void)state;
    init(&fixture, two, 2);
    assert_string_equal(headers_for(&fixture, "https://a.example"), NAMED("https://a.example"));
    assert_string_equal(headers_for(&fixture, "http://b.example:8080"),
                        NAMED("http://b.example:8080"));
    static const char *const others[] = {"http://a.example",
                                         "https://a.example:8443",
                                         "https://a.example.evil",
                                         "https://sub.a.example",
                                         "null",
                                         ""};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_string_equal(headers_for(&fixture, others[i]), "Vary: Origin\r\n");
    assert_string_equal(headers_for(&fixture, NULL), "Vary: Origin\r\n");
    fini(&fixture);
}

static void test_any_origin_goes_without_credentials(void **state)
{
    struct fixture fixture;
    (void)state;
    init(&fixture, any, 1);
    assert_string_equal(headers_for(&fixture, "https://x.example"),
                        "Access-Control-Allow-Origin: *\r\n");
    assert_string_equal(headers_for(&fixture, NULL), "Access-Control-Allow-Origin: *\r\n");
    fini(&fixture);
}

static void test_listed_beside_any_have_credentials(void **state)
{
    struct fixture fixture;
    (void)state;
    init(&fixture, any_and_one, 2);
    assert_string_equal(headers_for(&fixture, "https://a.example"), NAMED("https://a.example"));
    assert_string_equal(headers_for(&fixture, "https://x.example"),
                        "Access-Control-Allow-Origin: *\r\nVary: Origin\r\n");
    fini(&fixture);
}

static void test_form_of_configured_origins_does_not_matter(void **state)
{
    static const char *const forms[] = {"HTTPS://A.Example:443", "http://b.example:80",
                                        "http://[::1]:3000"};
    struct fixture fixture;
    (void)state;
    init(&fixture, forms, 3);
    assert_string_equal(headers_for(&fixture, "https://a.example"), NAMED("https://a.example"));
    assert_string_equal(headers_for(&fixture, "http://b.example"), NAMED("http://b.example"));
    assert_string_equal(headers_for(&fixture, "http://[::1]:3000"), NAMED("http://[::1]:3000"));
    fini(&fixture);
}

static void test_what_is_no_origin_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "a.example",
                                      "https://",
                                      "https://:80",
                                      "https://a.example/",
                                      "https://a.example/path",
                                      "https://a.example\r\nX: y",
                                      "https://user@a.example",
                                      "Null",
                                      "null:80",
                                      "**",
                                      "1http://a"};
    struct cors cors;
    char error[128];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *const list[] = {"https://good.example", bad[i]};
        error[0] = '\0';
        assert_false(cors_init(&cors, list, 2, error, sizeof error));
        assert_non_null(strstr(error, "is no origin"));
        assert_non_null(strstr(error, bad[i]));
    }
}

static void test_preflight(void **state)
{
    struct fixture fixture;
    (void)state;
    init(&fixture, two, 2);
    set_headers(&fixture, "https://a.example", NULL);
    fixture.request.method = HTTP_METHOD_OPTIONS;
    assert_true(cors_is_preflight(&fixture.cors, &fixture.request));
    fixture.headers[fixture.request.header_count++] =
        (struct http_header){"Access-Control-Request-Headers", "x-one,x-two"};
    assert_true(cors_append_preflight(&fixture.cors, &fixture.request, &fixture.out));
    assert_true(tl_buffer_append(&fixture.out, "", 1));
    assert_string_equal((const char *)fixture.out.bytes,
                        "Access-Control-Allow-Origin: https://a.example\r\n"
                        "Access-Control-Allow-Credentials: true\r\n"
                        "Access-Control-Allow-Methods: GET,HEAD,PUT,PATCH,POST,DELETE\r\n"
                        "Vary: Origin, Access-Control-Request-Headers\r\n"
                        "Access-Control-Allow-Headers: x-one,x-two\r\n");
    fixture.request.is_upgrade = true;
    assert_false(cors_is_preflight(&fixture.cors, &fixture.request));
    fixture.request.is_upgrade = false;
    fixture.request.method = HTTP_METHOD_GET;
    assert_false(cors_is_preflight(&fixture.cors, &fixture.request));
    fini(&fixture);
}

static void test_handshakes(void **state)
{
    struct fixture fixture;
    (void)state;
    init(&fixture, two, 2);
    assert_true(allows(&fixture, NULL, "server.example"));
    assert_true(allows(&fixture, "https://a.example", "server.example"));
    assert_true(allows(&fixture, "http://server.example", "server.example"));
    assert_true(allows(&fixture, "https://server.example:3000", "Server.example:3000"));
    assert_false(allows(&fixture, "http://server.example:3000", "server.example"));
    assert_false(allows(&fixture, "https://x.example", "server.example"));
    assert_false(allows(&fixture, "https://x.example", NULL));
    assert_false(allows(&fixture, "null", "null"));
    assert_false(allows(&fixture, "", ""));
    fini(&fixture);
    init(&fixture, any, 1);
    assert_true(allows(&fixture, "https://x.example", "server.example"));
    assert_true(allows(&fixture, "null", "server.example"));
    fini(&fixture);
}

static void test_default_ports_equal_none(void **state)
{
    static const struct {
        const char *origin;
        const char *host;
        bool is_allowed;
    } rows[] = {
        {"https://name.example", "name.example:443", true},
        {"https://name.example:443", "name.example", true},
        {"https://name.example:443", "NAME.example:443", true},
        {"HTTPS://Name.example", "name.example:443", true},
        {"http://name.example", "name.example:80", true},
        {"http://name.example:80", "name.example", true},
        {"http://[2001:db8::1]", "[2001:DB8::1]:80", true},
        {"https://[2001:db8::1]:443", "[2001:db8::1]", true},
        {"https://[::443]", "[::443]:443", true},
        {"http://name.example", "name.example:443", false},
        {"https://name.example", "name.example:80", false},
        {"https://name.example:80", "name.example", false},
        {"https://name.example", "name.example:8443", false},
        {"https://name.example:1443", "name.example:1", false},
        {"https://[::443]", "[:", false},
        {"https://[::443]", "[:]", false},
        {"https://name.example", ":443", false},
        {"https://", "", false},
        {"https://:443", "", false},
    };
    struct fixture fixture;
    (void)state;
    init(&fixture, NULL, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (allows(&fixture, rows[i].origin, rows[i].host) != rows[i].is_allowed)
            fail_msg("%s at %s", rows[i].origin, rows[i].host);
    fini(&fixture);
    init(&fixture, two, 2);
    assert_true(allows(&fixture, "https://a.example:443", "server.example"));
    assert_false(allows(&fixture, "https://a.example:80", "server.example"));
    fini(&fixture);
}

// What sandboxed frames and files send.
static void test_null_is_allowed_by_name(void **state)
{
    static const char *const null[] = {"null"};
    struct fixture fixture;
    (void)state;
    init(&fixture, null, 1);
    assert_true(allows(&fixture, "null", "server.example"));
    assert_false(allows(&fixture, "https://x.example", "server.example"));
    assert_string_equal(headers_for(&fixture, "null"), NAMED("null"));
    fini(&fixture);
}

static void test_full_buffer_is_told(void **state)
{
    struct fixture fixture;
    (void)state;
    init(&fixture, two, 2);
    set_headers(&fixture, "https://a.example", NULL);
    for (size_t max = 0; max < strlen(NAMED("https://a.example")); max++) {
        struct tl_buffer small;
        tl_buffer_init(&small, max);
        assert_false(cors_append_headers(&fixture.cors, &fixture.request, &small));
        tl_buffer_fini(&small);
    }
    fini(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_configured_says_nothing),
        cmocka_unit_test(test_listed_origins_are_named_with_credentials),
        cmocka_unit_test(test_any_origin_goes_without_credentials),
        cmocka_unit_test(test_listed_beside_any_have_credentials),
        cmocka_unit_test(test_form_of_configured_origins_does_not_matter),
        cmocka_unit_test(test_what_is_no_origin_is_refused),
        cmocka_unit_test(test_preflight),
        cmocka_unit_test(test_handshakes),
        cmocka_unit_test(test_default_ports_equal_none),
        cmocka_unit_test(test_null_is_allowed_by_name),
        cmocka_unit_test(test_full_buffer_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
