// SPDX-License-Identifier: MIT
// Static files: a folder made by the test, asked for over HTTP.
#include "gateway/transport/static_files.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/common/cmocka_all.h"
#include "tests/gateway/transport/http_fixture.h"

static struct static_files *files;
static char folder[64];
static char error[256];
static struct client *client;

static void write_file(const char *name, const char *content)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs(content, file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
}

static void make_folder(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", folder, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void make_link(const char *target, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", folder, name);
    assert_int_equal(symlink(target, path), 0);
}

static bool serve(struct http_exchange *exchange, const struct http_request *request)
{
    if (!static_files_respond(files, exchange, request))
        http_respond(exchange, 404, "", "no such file", 12, false);
    return true;
}

static void load(void)
{
    files = static_files_load(folder, error, sizeof error);
    if (!files)
        fail_msg("%s", error);
}

static int setup(void **state)
{
    http_setup(state);
    fixture.intercept = serve;
    bed_make_folder(folder);
    make_folder("/assets");
    write_file("/index.html", "<!doctype html>page");
    write_file("/assets/index-B1Poevsd.css", "p{}");
    write_file("/assets/plain.js", "1;");
    client = connect_client();
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *info)
{
    (void)status;
    (void)kind;
    (void)info;
    return remove(path);
}

static int teardown(void **state)
{
    static_files_destroy(&files);
    int result = http_teardown(state);
    return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS) == 0 ? result : -1;
}

static struct response get(const char *method, const char *path, const char *headers)
{
    char request[1024];
    struct response response;
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n", method, path, headers);
    client_send_text(client, request);
    client_take_response(client, &response, strcmp(method, "HEAD") != 0);
    return response;
}

static void expect_get(const char *path, int status, const char *body)
{
    struct response response = get("GET", path, "");
    assert_int_equal(response.status, status);
    assert_string_equal(response.body, body);
    response_fini(&response);
}

static void expect_header(const struct response *response, const char *name, const char *value)
{
    const char *found = response_header(response, name);
    assert_non_null(found);
    assert_string_equal(found, value);
}

// ---- Answers

static void test_static_serves_the_page(void **state)
{
    (void)state;
    load();
    static const char *const paths[] = {"/", "/index.html", "/?session=1"};
    for (int i = 0; i < 3; i++) {
        struct response response = get("GET", paths[i], "");
        assert_int_equal(response.status, 200);
        assert_string_equal(response.body, "<!doctype html>page");
        expect_header(&response, "Content-Type", "text/html; charset=utf-8");
        expect_header(&response, "Cache-Control", "no-cache");
        expect_header(&response, "X-Content-Type-Options", "nosniff");
        const char *policy = response_header(&response, "Content-Security-Policy");
        assert_non_null(strstr(policy, "default-src 'self'; connect-src 'self' ws: wss:"));
        assert_null(strstr(policy, "unsafe"));
        response_fini(&response);
    }
}

static void test_static_assets_with_a_hash_never_change(void **state)
{
    (void)state;
    write_file("/outside-B1Poevsd.css", "p{}");
    write_file("/assets/a-12345678", "");
    write_file("/assets/a-1234567.js", "");
    write_file("/assets/-12345678.js", "");
    write_file("/assets/a_12345678.js", "");
    write_file("/assets/a-_-_-_-_-.js", "");
    load();
    static const struct {
        const char *path;
        bool is_immutable;
    } cases[] = {
        {"/assets/index-B1Poevsd.css", true}, {"/assets/plain.js", false},
        {"/outside-B1Poevsd.css", false},     {"/assets/a-12345678", false},
        {"/assets/a-1234567.js", false},      {"/assets/-12345678.js", false},
        {"/assets/a_12345678.js", false},     {"/assets/a-_-_-_-_-.js", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct response response = get("GET", cases[i].path, "");
        assert_int_equal(response.status, 200);
        expect_header(&response, "Cache-Control",
                      cases[i].is_immutable ? "public, max-age=31536000, immutable" : "no-cache");
        assert_null(response_header(&response, "Content-Security-Policy"));
        response_fini(&response);
    }
}

static void test_static_types_follow_the_ending(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"/a.js", "text/javascript; charset=utf-8"},
        {"/a.CSS", "text/css; charset=utf-8"},
        {"/a.svg", "image/svg+xml"},
        {"/a.b.json", "application/json"},
        {"/a.woff2", "font/woff2"},
        {"/a.exe", "application/octet-stream"},
        {"/a", "application/octet-stream"},
    };
    for (int i = 0; i < 7; i++)
        write_file(cases[i][0], "");
    load();
    for (int i = 0; i < 7; i++) {
        struct response response = get("GET", cases[i][0], "");
        assert_int_equal(response.status, 200);
        expect_header(&response, "Content-Type", cases[i][1]);
        expect_header(&response, "Content-Length", "0");
        response_fini(&response);
    }
}

static void test_static_head_has_no_body(void **state)
{
    (void)state;
    load();
    struct response response = get("HEAD", "/", "");
    assert_int_equal(response.status, 200);
    expect_header(&response, "Content-Length", "19");
    response_fini(&response);
    expect_get("/assets/plain.js", 200, "1;");
}

static void test_static_unchanged_files_are_not_sent_again(void **state)
{
    (void)state;
    load();
    struct response first = get("GET", "/", "");
    char etag[64];
    snprintf(etag, sizeof etag, "%s", response_header(&first, "ETag"));
    response_fini(&first);
    assert_int_equal(etag[0], '"');
    static const struct {
        const char *format;
        int status;
    } cases[] = {
        {"If-None-Match: %s\r\n", 304},
        {"If-None-Match: W/%s\r\n", 304},
        {"If-None-Match: \"a,b\" ,W/\"c\", %s\r\n", 304},
        {"If-None-Match: *\r\n", 304},
        {"If-None-Match: \"other\"\r\n", 200},
        {"If-None-Match: \"unended %s\r\n", 200},
        {"If-None-Match: ,, ,\r\n", 200},
        {"If-None-Match: W/\r\n", 200},
        {"If-None-Match: \r\n", 200},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char header[256];
        const char *at = strstr(cases[i].format, "%s");
        int before = at ? (int)(at - cases[i].format) : (int)strlen(cases[i].format);
        snprintf(header, sizeof header, "%.*s%s%s", before, cases[i].format, at ? etag : "",
                 at ? at + 2 : "");
        struct response response = get("GET", "/", header);
        assert_int_equal(response.status, cases[i].status);
        expect_header(&response, "ETag", etag);
        response_fini(&response);
    }
}

static void test_static_etags_follow_the_content(void **state)
{
    (void)state;
    write_file("/a.txt", "same");
    write_file("/b.txt", "same");
    write_file("/c.txt", "other");
    load();
    char etags[3][64];
    for (int i = 0; i < 3; i++) {
        struct response response =
            get("GET", (const char *[]){"/a.txt", "/b.txt", "/c.txt"}[i], "");
        snprintf(etags[i], sizeof etags[i], "%s", response_header(&response, "ETag"));
        response_fini(&response);
    }
    assert_string_equal(etags[0], etags[1]);
    assert_string_not_equal(etags[0], etags[2]);
}

static void test_static_refuses_other_methods_on_files(void **state)
{
    (void)state;
    load();
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
    for (int i = 0; i < 5; i++) {
        struct response response = get(methods[i], "/", "Content-Length: 0\r\n");
        assert_int_equal(response.status, 405);
        expect_header(&response, "Allow", "GET, HEAD");
        response_fini(&response);
    }
    struct response response = get("POST", "/nothing", "Content-Length: 0\r\n");
    assert_int_equal(response.status, 404);
    response_fini(&response);
}

static void test_static_serves_nothing_but_the_folder(void **state)
{
    (void)state;
    write_file("/.hidden", "secret");
    make_folder("/.git");
    write_file("/.git/config", "secret");
    make_link("/etc/passwd", "/out.txt");
    make_link("/etc", "/out");
    make_link("index.html", "/inside.html");
    make_link("nowhere", "/dangling.html");
    load();
    expect_get("/inside.html", 200, "<!doctype html>page");
    static const char *const paths[] = {
        "/.hidden",           "/.git/config",
        "/out.txt",           "/out/passwd",
        "/dangling.html",     "/assets",
        "/assets/",           "/../etc/passwd",
        "/%2e%2e/etc/passwd", "/assets/../index.html",
        "//index.html",       "/index.html/",
        "/index.html%00",     "/index%",
        "/index.htm%6",       "/%zz",
        "/INDEX.HTML",
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        expect_get(paths[i], 404, "no such file");
}

static void test_static_decodes_paths(void **state)
{
    (void)state;
    make_folder("/sub");
    write_file("/sub/\xc3\xa4 b+.txt", "decoded");
    load();
    expect_get("/sub/%C3%a4%20b+.txt", 200, "decoded");
    expect_get("/sub%2F%c3%a4%20b%2b.txt", 200, "decoded");
    char path[800];
    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    expect_get(path, 404, "no such file");
}

static void test_static_files_may_go_while_they_are_sent(void **state)
{
    (void)state;
    enum { SIZE = 12 * 1024 * 1024 };
    char *content = malloc(SIZE + 1);
    assert_non_null(content);
    memset(content, 'z', SIZE);
    content[SIZE] = '\0';
    write_file("/large.txt", content);
    load();
    client->is_reading = false;
    client_send_text(client, "GET /large.txt HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < 20; i++)
        bed_turn(&fixture.bed);
    static_files_destroy(&files);
    assert_null(files);
    client->is_reading = true;
    struct response response;
    client_take_response(client, &response, true);
    assert_int_equal(response.body_size, SIZE);
    assert_string_equal(response.body, content);
    response_fini(&response);
    free(content);
}

// ---- Loading

static void test_static_says_what_is_wrong(void **state)
{
    (void)state;
    assert_null(static_files_load("/nonexistent/page", error, sizeof error));
    assert_string_equal(error,
                        "cannot read the page from /nonexistent/page: No such file or directory");
    char path[128];
    snprintf(path, sizeof path, "%s/index.html", folder);
    assert_null(static_files_load(path, error, sizeof error));
    assert_non_null(strstr(error, "Not a directory"));

    write_file("/large.bin", "");
    snprintf(path, sizeof path, "%s/large.bin", folder);
    assert_int_equal(truncate(path, 16 * 1024 * 1024), 0);
    assert_null(static_files_load(folder, error, sizeof error));
    assert_non_null(strstr(error, "the files are larger than 16 MiB together"));
}

static void test_static_bounds_the_depth(void **state)
{
    (void)state;
    char name[256] = "";
    for (int i = 0; i < 20; i++) {
        strcat(name, "/deep");
        make_folder(name);
    }
    assert_null(static_files_load(folder, error, sizeof error));
    assert_non_null(strstr(error, "nested too deeply"));
}

static void test_static_takes_an_empty_folder(void **state)
{
    (void)state;
    char path[128];
    make_folder("/empty");
    snprintf(path, sizeof path, "%s/empty", folder);
    files = static_files_load(path, error, sizeof error);
    assert_non_null(files);
    expect_get("/", 404, "no such file");
}

int main(void)
{
#define STATIC_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        STATIC_TEST(test_static_serves_the_page),
        STATIC_TEST(test_static_assets_with_a_hash_never_change),
        STATIC_TEST(test_static_types_follow_the_ending),
        STATIC_TEST(test_static_head_has_no_body),
        STATIC_TEST(test_static_unchanged_files_are_not_sent_again),
        STATIC_TEST(test_static_etags_follow_the_content),
        STATIC_TEST(test_static_refuses_other_methods_on_files),
        STATIC_TEST(test_static_serves_nothing_but_the_folder),
        STATIC_TEST(test_static_decodes_paths),
        STATIC_TEST(test_static_files_may_go_while_they_are_sent),
        STATIC_TEST(test_static_says_what_is_wrong),
        STATIC_TEST(test_static_bounds_the_depth),
        STATIC_TEST(test_static_takes_an_empty_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
