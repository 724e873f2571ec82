// SPDX-License-Identifier: MIT
// The gateway's options: each one by flag, variable and file, which source beats which, what is
// said about wrong ones, and the help.
#include <talus/version.h>

#include "gateway/main/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/common/cmocka_all.h"
#include "tests/common/faults.h"
#include "tests/gateway/support/bed.h"

extern char **environ;

#define TIMES "a number of milliseconds from 10 to 86400000, or a time such as 500ms, 5s or 2m"
#define SIZES "a number of bytes from 1000 to 100000000, or a size such as 64k or 16MiB"

enum { OUTPUT_MAX = 16384, ARGUMENTS_MAX = 160 };

// ---- Running

struct fixture {
    char folder[64];
    char file[80]; // of the configuration
    struct options options;
    enum options_result result;
    char output[OUTPUT_MAX];
    char errors[OUTPUT_MAX];
};

static void forget_variables(void)
{
    for (char **at = environ; *at;) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(*at, "="), *at);
        if (strncmp(name, "TALUS_GATEWAY_", strlen("TALUS_GATEWAY_")) == 0)
            unsetenv(name); // and look at the same place again
        else
            at++;
    }
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    forget_variables();
    bed_make_folder(fixture->folder);
    snprintf(fixture->file, sizeof fixture->file, "%s/gateway.conf", fixture->folder);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    forget_variables();
    options_fini(&fixture->options);
    unlink(fixture->file);
    rmdir(fixture->folder);
    free(fixture);
    return 0;
}

struct capture {
    FILE *stream;
    int memory;
    int original;
};

static void capture_begin(struct capture *capture, FILE *stream)
{
    fflush(stream);
    capture->stream = stream;
    capture->memory = memfd_create("output", MFD_CLOEXEC);
    capture->original = dup(fileno(stream));
    assert_true(capture->memory >= 0 && capture->original >= 0);
    assert_true(dup2(capture->memory, fileno(stream)) >= 0);
}

static void capture_end(struct capture *capture, char text[OUTPUT_MAX])
{
    fflush(capture->stream);
    dup2(capture->original, fileno(capture->stream));
    ssize_t size = pread(capture->memory, text, OUTPUT_MAX - 1, 0);
    assert_true(size >= 0 && size < OUTPUT_MAX - 1);
    text[size] = '\0';
    close(capture->memory);
    close(capture->original);
}

static void run(struct fixture *fixture, const char *const *arguments)
{
    char *argv[ARGUMENTS_MAX] = {(char *)(uintptr_t) "talus-gateway"};
    struct capture output, errors;
    int argc = 1;
    for (; arguments[argc - 1]; argc++)
        argv[argc] = (char *)(uintptr_t)arguments[argc - 1];
    options_fini(&fixture->options);
    capture_begin(&output, stdout);
    capture_begin(&errors, stderr);
    fixture->result = options_read(&fixture->options, argc, argv);
    capture_end(&errors, fixture->errors);
    capture_end(&output, fixture->output);
}

#define RUN(fixture, ...) run(fixture, (const char *const[]){__VA_ARGS__, NULL})

// All options, one a line, under the names that they have for users.
static void describe(const struct options *options, char *out, size_t size)
{
    char origins[512] = "";
    for (size_t i = 0; i < options->cors_origin_count; i++) {
        strcat(origins, i ? "," : "");
        strcat(origins, options->cors_origins[i]);
    }
    snprintf(out, size,
             "listen=%s\nworkers=%u\npath=%s\nnamespace=%s\nbus=%s\npublish=%s\n"
             "directory-mode=%o\npage=%s\ncors-"
             "origin=%s\n"
             "ping-interval=%u\nping-timeout=%u\nconnect-timeout=%u\nmax-payload=%zu\n"
             "client-queue-bytes=%zu\nmax-sessions-per-client=%u\npresence=%zu\n"
             "recovery-window=%u\nrecovery-bytes=%zu\nlog-level=%d\n",
             options->listen, options->workers, options->path, options->nsp,
             options->bus ? options->bus : "", options->publish ? options->publish : "",
             options->directory_mode, options->page ? options->page : "", origins,
             options->ping_interval_ms, options->ping_timeout_ms, options->connect_timeout_ms,
             options->max_payload, options->client_queue_bytes, options->max_sessions_per_client,
             options->presence_limit, options->recovery_window_ms, options->recovery_bytes,
             (int)options->log_level);
}

static const char defaults[] =
    "listen=127.0.0.1:3000\nworkers=0\npath=/socket.io/\nnamespace=/graph\nbus=\npublish=\n"
    "directory-mode=700\npage=\n"
    "cors-origin=\nping-interval=25000\nping-timeout=20000\nconnect-timeout=45000\n"
    "max-payload=1000000\nclient-queue-bytes=1048576\nmax-sessions-per-client=100\n"
    "presence=18446744073709551615\nrecovery-window=120000\nrecovery-bytes=67108864\n"
    "log-level=2\n";

// The options are the defaults, but for one that has this value.
static void expect_option(struct fixture *fixture, const char *name, const char *value)
{
    char expected[2048];
    char got[2048];
    char start[64];
    assert_string_equal(fixture->errors, "");
    assert_int_equal(fixture->result, OPTIONS_OK);
    snprintf(start, sizeof start, "%s=", name);
    const char *line = strstr(defaults, start);
    assert_non_null(line);
    snprintf(expected, sizeof expected, "%.*s%s%s%s", (int)(line - defaults), defaults, start,
             value, strchr(line, '\n'));
    describe(&fixture->options, got, sizeof got);
    assert_string_equal(got, expected);
}

static void expect_error(struct fixture *fixture, const char *error)
{
    char expected[1024];
    snprintf(expected, sizeof expected, "talus-gateway: %s\n", error);
    assert_string_equal(fixture->errors, expected);
    assert_string_equal(fixture->output, "");
    assert_int_equal(fixture->result, OPTIONS_BAD);
    assert_null(fixture->options.listen); // nothing is left to be freed
    assert_null(fixture->options.cors_origins);
}

static void write_file(const struct fixture *fixture, const char *text)
{
    FILE *file = fopen(fixture->file, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void set_variable(const char *option, const char *value)
{
    char name[64];
    snprintf(name, sizeof name, "TALUS_GATEWAY_%s", option);
    for (char *at = name; *at; at++)
        *at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
    assert_int_equal(setenv(name, value, 1), 0);
}

// ---- Each option

struct value {
    const char *name;
    const char *text;
    const char *value; // as `describe` writes it; NULL: the same
};

static const struct value values[] = {
    {"listen", "[::1]:8080", NULL},
    {"listen", "unix:/run/gateway.sock", NULL},
    {"listen", "0.0.0.0:0", NULL},
    {"path", "/a/b", "/a/b/"},
    {"path", "/a/b/", NULL},
    {"path", "/", NULL},
    {"namespace", "/x", NULL},
    {"namespace", "/", NULL},
    {"bus", "@tcp://127.0.0.1:5570", NULL},
    {"publish", "ipc:///run/bus/*", NULL},
    {"directory-mode", "0770", "770"},
    {"directory-mode", "700", NULL},
    {"directory-mode", "0777", "777"},
    {"page", "folder", NULL},
    {"cors-origin", "https://app.example:8443", NULL},
    {"cors-origin", "*", NULL},
    {"ping-interval", "10", NULL},
    {"ping-interval", "86400000", NULL},
    {"ping-interval", "500ms", "500"},
    {"ping-timeout", "0500", "500"},
    {"ping-timeout", "1.5s", "1500"},
    {"connect-timeout", "1000", NULL},
    {"max-payload", "1000", NULL},
    {"max-payload", "100000000", NULL},
    {"max-payload", "64k", "64000"},
    {"workers", "1", NULL},
    {"workers", "64", NULL},
    {"max-sessions-per-client", "1", NULL},
    {"max-sessions-per-client", "1000000", NULL},
    {"presence", "always", "18446744073709551615"},
    {"presence", "never", "0"},
    {"presence", "50", NULL},
    {"client-queue-bytes", "1000", NULL},
    {"client-queue-bytes", "1000000000", NULL},
    {"recovery-window", "0", NULL},
    {"recovery-window", "86400000", NULL},
    {"recovery-window", "5m", "300000"},
    {"recovery-bytes", "0", NULL},
    {"recovery-bytes", "1000000000000", NULL},
    {"recovery-bytes", "16MiB", "16777216"},
    {"log-level", "error", "0"},
    {"log-level", "warning", "1"},
    {"log-level", "info", "2"},
    {"log-level", "debug", "3"},
};
enum { VALUES = sizeof values / sizeof *values };

static const char *value_of(const struct value *value)
{
    return value->value ? value->value : value->text;
}

static void test_defaults(void **state)
{
    struct fixture *fixture = *state;
    char got[2048];
    RUN(fixture, NULL);
    assert_int_equal(fixture->result, OPTIONS_OK);
    assert_string_equal(fixture->errors, "");
    assert_string_equal(fixture->output, "");
    describe(&fixture->options, got, sizeof got);
    assert_string_equal(got, defaults);
    assert_null(fixture->options.bus);
    assert_null(fixture->options.publish);
    assert_null(fixture->options.page);
}

static void test_each_by_flag(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < VALUES; i++) {
        char flag[64];
        char joined[128];
        snprintf(flag, sizeof flag, "--%s", values[i].name);
        snprintf(joined, sizeof joined, "--%s=%s", values[i].name, values[i].text);
        RUN(fixture, flag, values[i].text);
        expect_option(fixture, values[i].name, value_of(&values[i]));
        RUN(fixture, joined);
        expect_option(fixture, values[i].name, value_of(&values[i]));
    }
}

static void test_each_by_variable(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < VALUES; i++) {
        set_variable(values[i].name, values[i].text);
        RUN(fixture, NULL);
        expect_option(fixture, values[i].name, value_of(&values[i]));
        set_variable(values[i].name, ""); // set to nothing is not set
        RUN(fixture, NULL);
        expect_option(fixture, "listen", "127.0.0.1:3000");
    }
}

static void test_each_by_file(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < VALUES; i++) {
        char line[128];
        snprintf(line, sizeof line, "# a comment\n\n%s = \"%s\"\n", values[i].name, values[i].text);
        write_file(fixture, line);
        RUN(fixture, "--config", fixture->file);
        expect_option(fixture, values[i].name, value_of(&values[i]));
    }
    write_file(fixture, "ping-interval = 10 # without quotes, and explained\n");
    RUN(fixture, "--config", fixture->file);
    expect_option(fixture, "ping-interval", "10");
    write_file(fixture, "");
    RUN(fixture, "--config", fixture->file);
    expect_option(fixture, "ping-interval", "25000");
}

// ---- Several

static void test_flag_beats_variable_beats_file(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "ping-interval = 100\n");
    set_variable("config", fixture->file);
    RUN(fixture, NULL);
    expect_option(fixture, "ping-interval", "100");
    set_variable("ping-interval", "200");
    RUN(fixture, NULL);
    expect_option(fixture, "ping-interval", "200");
    RUN(fixture, "--ping-interval", "300");
    expect_option(fixture, "ping-interval", "300");
    // A wrong one that is beaten does not matter.
    set_variable("ping-interval", "wrong");
    RUN(fixture, "--ping-interval", "300");
    expect_option(fixture, "ping-interval", "300");
    set_variable("ping-interval", "");
    set_variable("config", "/nowhere");
    RUN(fixture, "--config", fixture->file);
    expect_option(fixture, "ping-interval", "100");
}

static void test_repeatable_ones(void **state)
{
    struct fixture *fixture = *state;
    RUN(fixture, "--bus", "a", "--bus", "b");
    expect_option(fixture, "bus", "a,b");
    RUN(fixture, "--cors-origin", "http://a.example", "--cors-origin=http://b.example");
    expect_option(fixture, "cors-origin", "http://a.example,http://b.example");
    assert_int_equal(fixture->options.cors_origin_count, 2);
    set_variable("cors-origin", "http://c.example,http://d.example");
    RUN(fixture, NULL);
    expect_option(fixture, "cors-origin", "http://c.example,http://d.example");
    // Sources are not mixed.
    write_file(fixture, "cors-origin = \"http://e.example\"\ncors-origin = \"http://f.example\"\n");
    RUN(fixture, "--config", fixture->file);
    expect_option(fixture, "cors-origin", "http://c.example,http://d.example");
    RUN(fixture, "--cors-origin", "http://a.example");
    expect_option(fixture, "cors-origin", "http://a.example");
    set_variable("cors-origin", "");
    RUN(fixture, "--config", fixture->file);
    expect_option(fixture, "cors-origin", "http://e.example,http://f.example");
}

// Which of two was meant, nobody knows.
static void test_one_value_twice_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    RUN(fixture, "--listen", "127.0.0.1:0", "--listen=[::1]:0");
    expect_error(fixture, "--listen: takes one value, and was given \"127.0.0.1:0\" and "
                          "\"[::1]:0\"");
    RUN(fixture, "--ping-interval", "100", "--ping-interval", "100");
    expect_error(fixture, "--ping-interval: takes one value, and was given \"100\" and \"100\"");
    RUN(fixture, "--config", "/nowhere", "--config", "/elsewhere");
    expect_error(fixture, "--config: takes one value, and was given \"/nowhere\" and "
                          "\"/elsewhere\"");
    char error[256];
    write_file(fixture, "ping-interval = 100\nping-interval = 200\n");
    RUN(fixture, "--config", fixture->file);
    snprintf(error, sizeof error,
             "%s: ping-interval: takes one value, and was given \"100\" and \"200\"",
             fixture->file);
    expect_error(fixture, error);
    // A file's are not looked at where a flag beats them.
    RUN(fixture, "--config", fixture->file, "--ping-interval", "300");
    expect_option(fixture, "ping-interval", "300");
}

static void test_too_many_of_one(void **state)
{
    enum { MOST = 64 };
    struct fixture *fixture = *state;
    const char *arguments[2 * (MOST + 1) + 1] = {0};
    for (int i = 0; i < MOST; i++) {
        arguments[2 * i] = "--bus";
        arguments[2 * i + 1] = "x";
    }
    run(fixture, arguments);
    assert_int_equal(fixture->result, OPTIONS_OK);
    assert_int_equal(strlen(fixture->options.bus), 2 * MOST - 1);
    arguments[2 * MOST] = "--bus";
    arguments[2 * MOST + 1] = "x";
    run(fixture, arguments);
    expect_error(fixture, "--bus: at most 64 of them");
}

// ---- Wrong ones

static void test_wrong_flags(void **state)
{
    static const struct {
        const char *arguments[3];
        const char *error;
    } cases[] = {
        {{"--nothing"}, "--nothing is no option; see --help"},
        {{"--nothing=1"}, "--nothing=1 is no option; see --help"},
        {{"-x"}, "-x is no option; see --help"},
        {{"word"}, "word is no option; see --help"},
        {{"--ping-interval", "10", "word"}, "word is no option; see --help"},
        {{"--", "word"}, "word is no option; see --help"},
        {{"--ping", "10"}, "--ping is no option; see --help"}, // two begin so
        {{"--help=x"}, "--help=x is no option; see --help"},
        {{"--listen"}, "--listen needs a value"},
        {{"--listen", "80"}, "--listen: \"80\": not HOST:PORT, [IPV6]:PORT or unix:PATH"},
        {{"--listen", "h:99999"},
         "--listen: \"h:99999\": the port is not a number from 0 to 65535"},
        {{"--listen", "unix:"}, "--listen: \"unix:\": the path is empty"},
        {{"--path", "x"},
         "--path takes a name that starts with / and has no ? # , or space, not "
         "\"x\""},
        {{"--path", ""},
         "--path takes a name that starts with / and has no ? # , or space, not "
         "\"\""},
        {{"--namespace", "/a?b"},
         "--namespace takes a name that starts with / and has no ? # , or "
         "space, not \"/a?b\""},
        {{"--namespace", "/a,b"},
         "--namespace takes a name that starts with / and has no ? # , or "
         "space, not \"/a,b\""},
        {{"--cors-origin", "app.example"},
         "--cors-origin: 'app.example' is no origin (SCHEME://HOST[:PORT], null, or *)"},
        {{"--directory-mode", "0670"},
         "--directory-mode takes an octal mode from 0700 to 0777, not \"0670\""},
        {{"--directory-mode", "rwx"},
         "--directory-mode takes an octal mode from 0700 to 0777, not \"rwx\""},
        {{"--directory-mode", "01770"},
         "--directory-mode takes an octal mode from 0700 to 0777, not \"01770\""},
        {{"--directory-mode", "0780"},
         "--directory-mode takes an octal mode from 0700 to 0777, not \"0780\""},
        {{"--directory-mode", ""},
         "--directory-mode takes an octal mode from 0700 to 0777, not \"\""},
        {{"--ping-interval", "9"}, "--ping-interval takes " TIMES ", not \"9\""},
        {{"--ping-interval", "86400001"}, "--ping-interval takes " TIMES ", not \"86400001\""},
        {{"--ping-timeout", "ten"}, "--ping-timeout takes " TIMES ", not \"ten\""},
        {{"--ping-timeout", ""}, "--ping-timeout takes " TIMES ", not \"\""},
        {{"--connect-timeout", "1000us"}, "--connect-timeout takes " TIMES ", not \"1000us\""},
        {{"--connect-timeout", " 1000"}, "--connect-timeout takes " TIMES ", not \" 1000\""},
        {{"--max-payload", "-1000"}, "--max-payload takes " SIZES ", not \"-1000\""},
        {{"--max-payload", "99999999999999999999"},
         "--max-payload takes " SIZES ", not \"99999999999999999999\""},
        {{"--workers", "0"}, "--workers takes a number from 1 to 64, not \"0\""},
        {{"--workers", "65"}, "--workers takes a number from 1 to 64, not \"65\""},
        {{"--workers", "auto"}, "--workers takes a number from 1 to 64, not \"auto\""},
        {{"--max-sessions-per-client", "0"},
         "--max-sessions-per-client takes a number from 1 to 1000000, not \"0\""},
        {{"--presence", "0"},
         "--presence takes always, never or a number from 1 to 1000000, not \"0\""},
        {{"--presence", "sometimes"},
         "--presence takes always, never or a number from 1 to 1000000, not \"sometimes\""},
        {{"--log-level", "loud"}, "--log-level takes error, warning, info or debug, not \"loud\""},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        RUN(fixture, cases[i].arguments[0], cases[i].arguments[1], cases[i].arguments[2]);
        expect_error(fixture, cases[i].error);
    }
}

static void test_names_that_are_too_long(void **state)
{
    struct fixture *fixture = *state;
    char name[300];
    memset(name, 'x', sizeof name);
    name[0] = '/';
    name[256] = '\0';
    RUN(fixture, "--namespace", name);
    expect_option(fixture, "namespace", name);
    name[256] = 'x';
    name[257] = '\0';
    RUN(fixture, "--namespace", name);
    expect_error(fixture, "--namespace takes a name of at most 256 bytes");
    RUN(fixture, "--path", name);
    expect_error(fixture, "--path takes a name of at most 256 bytes");
}

static void test_wrong_variables(void **state)
{
    struct fixture *fixture = *state;
    set_variable("max-sessions-per-client", "none");
    RUN(fixture, NULL);
    expect_error(fixture, "TALUS_GATEWAY_MAX_SESSIONS_PER_CLIENT takes a number from 1 to 1000000, "
                          "not \"none\"");
    set_variable("max-sessions-per-client", "");
    set_variable("cors-origin", "*,a b");
    RUN(fixture, NULL);
    expect_error(fixture, "TALUS_GATEWAY_CORS_ORIGIN: 'a b' is no origin (SCHEME://HOST[:PORT], "
                          "null, or *)");
}

// Runs with a file of that text, and expects FILE followed by the error.
static void expect_file_error(struct fixture *fixture, const char *text, const char *error)
{
    char expected[512];
    write_file(fixture, text);
    RUN(fixture, "--config", fixture->file);
    snprintf(expected, sizeof expected, "%s%s", fixture->file, error);
    expect_error(fixture, expected);
}

static void expect_form_error(struct fixture *fixture, const char *text, int line)
{
    char error[96];
    snprintf(error, sizeof error,
             ", line %d: not of the form NAME = VALUE, from the first column on", line);
    expect_file_error(fixture, text, error);
}

static void test_wrong_files(void **state)
{
    struct fixture *fixture = *state;
    char expected[256];
    expect_file_error(fixture, "ping-interval = 5\n", ": ping-interval takes " TIMES ", not \"5\"");
    expect_file_error(fixture, "ping-intervall = 50\n",
                      ": ping-intervall is no option; see --help");
    expect_file_error(fixture, "config = \"x\"\n", ": config is no option; see --help");
    expect_file_error(fixture, "listen\n    port = 80\n",
                      ": listen has indented lines below it, and nothing belongs there");
    expect_file_error(fixture, "ping-interval = 50\n!\n",
                      ", line 2: not of the form NAME = VALUE, from the first column on");
    expect_form_error(fixture, "ping-interval = 'x\n", 1);
    expect_form_error(fixture, "\nping-interval = \"x\" y\n", 2);
    expect_form_error(fixture, "ping-interval 50\n", 1);
    expect_form_error(fixture, "# comment\n  ping-interval = 50\n", 2);
    expect_form_error(fixture, "    ping-interval = 50\n", 1);
    expect_form_error(fixture, "/ping-interval = 50\n", 1);
    expect_form_error(fixture, "ping-interval/ = 50\n", 1);
    char long_line[1200];
    snprintf(long_line, sizeof long_line, "listen = %01100d\n", 0);
    expect_form_error(fixture, long_line, 1);
    unlink(fixture->file);
    RUN(fixture, "--config", fixture->file);
    snprintf(expected, sizeof expected, "cannot read %s: %s", fixture->file, strerror(ENOENT));
    expect_error(fixture, expected);
    RUN(fixture, "--config", fixture->folder);
    snprintf(expected, sizeof expected, "cannot read %s: %s", fixture->folder, strerror(EISDIR));
    expect_error(fixture, expected);
    set_variable("config", fixture->file);
    RUN(fixture, NULL);
    snprintf(expected, sizeof expected, "cannot read %s: %s", fixture->file, strerror(ENOENT));
    expect_error(fixture, expected);
}

static void test_file_with_a_long_name(void **state)
{
    struct fixture *fixture = *state;
    char folder[300];
    char file[320];
    char expected[512];
    snprintf(folder, sizeof folder, "%s/%0200d", fixture->folder, 0);
    snprintf(file, sizeof file, "%s/x", folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    FILE *stream = fopen(file, "w");
    assert_non_null(stream);
    fputs("ping-interval = 5\n", stream);
    fclose(stream);
    RUN(fixture, "--config", file);
    snprintf(expected, sizeof expected, "%s: ping-interval takes " TIMES ", not \"5\"", file);
    expect_error(fixture, expected);
    unlink(file);
    rmdir(folder);
}

// ---- Help

static bool is_tested(const char *name, size_t size)
{
    for (size_t i = 0; i < VALUES; i++)
        if (strlen(values[i].name) == size && strncmp(values[i].name, name, size) == 0)
            return true;
    return strncmp("config", name, size) == 0 || strncmp("version", name, size) == 0 ||
           strncmp("help", name, size) == 0;
}

static void test_help_has_every_option(void **state)
{
    struct fixture *fixture = *state;
    char start[64];
    RUN(fixture, "--help");
    assert_int_equal(fixture->result, OPTIONS_DONE);
    assert_string_equal(fixture->errors, "");
    for (size_t i = 0; i < VALUES; i++) {
        snprintf(start, sizeof start, "\n  --%s ", values[i].name);
        assert_non_null(strstr(fixture->output, start));
    }
    // And none that is not tested here.
    unsigned count = 0;
    for (const char *at = fixture->output; (at = strstr(at, "\n  --")); count++) {
        at += strlen("\n  --");
        assert_true(is_tested(at, strcspn(at, " ")));
    }
    assert_true(count > 3);
    assert_non_null(strstr(fixture->output, "(default 127.0.0.1:3000)\n"));
}

static void test_help_fits_on_the_screen(void **state)
{
    struct fixture *fixture = *state;
    RUN(fixture, "--help");
    unsigned columns = 0;
    for (const char *at = fixture->output; *at; at++) {
        bool is_start = ((unsigned char)*at & 0xc0) != 0x80; // of a character
        columns = *at == '\n' ? 0 : columns + is_start;
        assert_true(columns <= 100);
        assert_false(at[0] == ' ' && at[1] == '\n');
    }
    assert_int_equal(fixture->output[strlen(fixture->output) - 1], '\n');
}

static void test_version(void **state)
{
    struct fixture *fixture = *state;
    RUN(fixture, "--version", "--nothing");
    assert_int_equal(fixture->result, OPTIONS_DONE);
    assert_string_equal(fixture->output, "talus-gateway " TALUS_VERSION "\n");
    assert_string_equal(fixture->errors, "");
}

// ---- Memory

// The C library's own calls malloc where no wrapper stands before it.
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

static void test_memory_runs_out(void **state)
{
    struct fixture *fixture = *state;
    const char *const arguments[] = {"--listen", "127.0.0.1:1", "--bus", "a", "--bus",
                                     "b",        "--path",      "/x",    NULL};
    set_variable("cors-origin", "http://a.example,http://b.example");
    set_variable("publish", "ipc:///x/*");
    unsigned allocation = 0;
    bool has_failed;
    do {
        faults_fail_allocation_after(allocation++);
        run(fixture, arguments);
        has_failed = faults_stop();
        if (has_failed)
            expect_error(fixture, strstr(fixture->errors, "CORS")
                                      ? "TALUS_GATEWAY_CORS_ORIGIN: out of memory"
                                      : "out of memory");
    } while (has_failed);
    assert_int_equal(fixture->result, OPTIONS_OK);
    assert_true(allocation > 15);
}

#define options_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        options_test(test_defaults),
        options_test(test_each_by_flag),
        options_test(test_each_by_variable),
        options_test(test_each_by_file),
        options_test(test_flag_beats_variable_beats_file),
        options_test(test_repeatable_ones),
        options_test(test_one_value_twice_is_an_error),
        options_test(test_too_many_of_one),
        options_test(test_wrong_flags),
        options_test(test_names_that_are_too_long),
        options_test(test_wrong_variables),
        options_test(test_wrong_files),
        options_test(test_file_with_a_long_name),
        options_test(test_help_has_every_option),
        options_test(test_help_fits_on_the_screen),
        options_test(test_version),
        options_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
