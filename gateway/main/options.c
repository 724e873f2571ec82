// SPDX-License-Identifier: MIT
// Every option is a row of the table below. Reading goes in two steps: the texts are gathered, each
// source overruling the weaker ones, and then each text is checked and stored, so that a message
// can name the flag, variable or line of the file where a wrong one came from.

#include "gateway/main/options.h"

#include <czmq.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <talus/version.h>

#include "common/option.h"
#include "gateway/base/random.h"
#include "gateway/main/config_file.h"
#include "gateway/transport/address.h"
#include "gateway/transport/cors.h"

#define VALUES_MAX   64              // of one option
#define NAME_SIZE    (PATH_MAX + 64) // of an option, with the file where it stands
#define TEXT_MAX     256             // bytes of a path or a namespace
#define DEFAULT_BUS  "default: $TALUS_BUS, else the user's bus directory"
#define HELP_COLUMNS 100
#define HELP_INDENT  31

enum kind {
    TEXT,
    ADDRESS,
    LIST,    // of texts, joined with commas
    ORIGINS, // separate texts, and their number
    NUMBER,
    TIME, // in milliseconds
    SIZE, // in bytes
    PRESENCE,
    MODE, // octal
    LEVEL,
    PATH,
    NAMESPACE,
};

enum source { SOURCE_NONE, SOURCE_FILE, SOURCE_VARIABLE, SOURCE_FLAG };

struct row {
    const char *name;
    const char *argument;
    const char *help;
    const char *fallback; // the default; NULL: none
    enum kind kind;
    unsigned long min; // NUMBER, TIME, SIZE
    unsigned long max;
    size_t offset;       // in struct options
    size_t count_offset; // ORIGINS
};

#define AT(member) offsetof(struct options, member)

static const struct row rows[] = {
    {"listen", "HOST:PORT",
     "where to listen; also [IPV6]:PORT and unix:PATH; port 0 means any free port",
     "127.0.0.1:3000", ADDRESS, 0, 0, AT(listen), 0},
    {"workers", "N", "event loops, each with a thread; by default one per core", NULL, NUMBER, 1,
     GW_ID_TAGS_MAX, AT(workers), 0},
    {"path", "PATH", "path of the Socket.IO endpoint", "/socket.io/", PATH, 0, 0, AT(path), 0},
    {"namespace", "NAME", "Socket.IO namespace of the sessions", "/graph", NAMESPACE, 0, 0, AT(nsp),
     0},
    {"bus", "ENDPOINT", "bus to listen on, repeatable; " DEFAULT_BUS, NULL, LIST, 0, 0, AT(bus), 0},
    {"publish", "ENDPOINT", "where to publish presence; " DEFAULT_BUS, NULL, TEXT, 0, 0,
     AT(publish), 0},
    {"directory-mode", "MODE",
     "octal mode of a bus directory that the gateway creates: 0770 for a group", "0700", MODE, 0700,
     0777, AT(directory_mode), 0},
    {"page", "FOLDER", "folder of the live page, served at /", NULL, TEXT, 0, 0, AT(page), 0},
    {"cors-origin", "ORIGIN",
     "origin whose pages may connect, repeatable; * for any, null for pages without one", NULL,
     ORIGINS, 0, 0, AT(cors_origins), AT(cors_origin_count)},
    {"ping-interval", "MS", "time between heartbeats, milliseconds", "25000", TIME, 10, 86400000,
     AT(ping_interval_ms), 0},
    {"ping-timeout", "MS", "how long a heartbeat may stay unanswered, milliseconds", "20000", TIME,
     10, 86400000, AT(ping_timeout_ms), 0},
    {"connect-timeout", "MS", "how long a client may take to connect to a namespace, milliseconds",
     "45000", TIME, 10, 86400000, AT(connect_timeout_ms), 0},
    {"max-payload", "BYTES", "largest body or message that a client may send", "1000000", SIZE,
     1000, 100000000, AT(max_payload), 0},
    {"client-queue-bytes", "BYTES",
     "how far behind a client may be before it is closed; it may reconnect", "1048576", SIZE, 1000,
     1000000000, AT(client_queue_bytes), 0},
    {"max-sessions-per-client", "N", "sessions that one client may be in", "100", NUMBER, 1,
     1000000, AT(max_sessions_per_client), 0},
    {"presence", "WHEN",
     "whether a room is told who joins and leaves: always, never, or only with up to N clients",
     "always", PRESENCE, 1, 1000000, AT(presence_limit), 0},
    {"recovery-window", "MS",
     "how long a client that lost its connection can be recovered, milliseconds; 0 disables it",
     "120000", TIME, 0, 86400000, AT(recovery_window_ms), 0},
    {"recovery-bytes", "BYTES", "events kept for connection recovery, over all sessions",
     "67108864", SIZE, 0, 1000000000000, AT(recovery_bytes), 0},
    {"log-level", "LEVEL", "error, warning, info or debug", "info", LEVEL, 0, 0, AT(log_level), 0},
};

static bool is_list(const struct row *row)
{
    return row->kind == LIST || row->kind == ORIGINS;
}

#define ROW_COUNT (sizeof rows / sizeof *rows)

struct texts {
    enum source source;
    char *values[VALUES_MAX];
    unsigned count;
};

struct reading {
    struct texts texts[ROW_COUNT];
    char *file; // of the configuration; NULL: none
};

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void complain(const char *format, ...)
{
    va_list args;

    fputs("talus-gateway: ", stderr);
    va_start(args, format);
    // Version 14 forgets the va_start above where a caller's analysis runs into this function.
    vfprintf(stderr, format, args); // NOLINT(clang-analyzer-valist.Uninitialized)
    va_end(args);
    fputs("\n", stderr);
}

static bool check_memory(bool is_there)
{
    if (!is_there)
        complain("out of memory");
    return is_there;
}

// How the user named the option there.
static const char *name_at(const struct row *row, enum source source, const struct reading *reading,
                           char *buffer, size_t size)
{
    if (source == SOURCE_FILE) {
        snprintf(buffer, size, "%s: %s", reading->file, row->name);
    } else if (source == SOURCE_VARIABLE) {
        snprintf(buffer, size, "TALUS_GATEWAY_%s", row->name);
        for (char *at = buffer; *at; at++)
            *at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
    } else {
        snprintf(buffer, size, "--%s", row->name);
    }
    return buffer;
}

// ---- Gathering

static void forget(struct texts *texts)
{
    for (unsigned i = 0; i < texts->count; i++)
        free(texts->values[i]);
    texts->count = 0;
}

// It cannot be known which of two was meant.
static bool complain_twice(const char *name, const char *first, const char *second)
{
    complain("%s: takes one value, and was given \"%s\" and \"%s\"", name, first, second);
    return false;
}

static bool add(struct reading *reading, size_t row, enum source source, const char *value)
{
    struct texts *texts = &reading->texts[row];
    char name[NAME_SIZE];
    if (source < texts->source)
        return true;
    if (source > texts->source)
        forget(texts);
    if (texts->count > 0 && !is_list(&rows[row]))
        return complain_twice(name_at(&rows[row], source, reading, name, sizeof name),
                              texts->values[0], value);
    texts->source = source;
    if (texts->count == VALUES_MAX) {
        complain("%s: at most %d of them", name_at(&rows[row], source, reading, name, sizeof name),
                 VALUES_MAX);
        return false;
    }
    texts->values[texts->count] = strdup(value);
    if (!check_memory(texts->values[texts->count] != NULL))
        return false;
    texts->count++;
    return true;
}

// Prints words, of which what does not fit goes on the next line, below the first.
static void print_words(int indent, const char *text)
{
    int column = indent;
    for (const char *word = text; *word;) {
        int size = (int)strcspn(word, " ");
        bool is_first = word == text;
        if (!is_first && column + 1 + size > HELP_COLUMNS) {
            printf("\n%*s", indent, "");
            column = indent;
            is_first = true;
        }
        column += printf("%s%.*s", is_first ? "" : " ", size, word);
        word += size + (word[size] == ' ');
    }
    printf("\n");
}

static void print_option(const char *flag, const char *help)
{
    printf("  %-*s ", HELP_INDENT - 3, flag);
    print_words(HELP_INDENT, help);
}

static void print_help(void)
{
    printf("Usage: talus-gateway [OPTION]…\n"
           "Serves the sessions of a talus bus to Socket.IO clients.\n\n");
    for (size_t i = 0; i < ROW_COUNT; i++) {
        char flag[64];
        char help[256];
        const char *fallback = rows[i].fallback;
        snprintf(flag, sizeof flag, "--%s %s", rows[i].name, rows[i].argument);
        snprintf(help, sizeof help, "%s%s%s%s", rows[i].help, fallback ? " (default " : "",
                 fallback ? fallback : "", fallback ? ")" : "");
        print_option(flag, help);
    }
    print_option("--config FILE", "file with lines such as: ping-interval = 10000");
    print_option("--version", "print the version");
    print_option("--help", "print this");
    printf("\n");
    print_words(
        0, "Each option can also be set by a variable, such as TALUS_GATEWAY_PING_INTERVAL, or "
           "in the file. A flag overrides a variable, a variable overrides the file. Only a "
           "repeatable option may be given twice in the same place. Several values of one "
           "variable are separated by commas. MS may have a unit: 500ms, 5s, 2m, 1h. So may "
           "BYTES: 64k is 64,000, 16MiB is 16,777,216.");
}

static enum options_result gather_flags(struct reading *reading, int argc, char **argv)
{
    enum { CONFIG = 1000, VERSION, HELP };
    struct option longs[ROW_COUNT + 4] = {{0}};
    for (size_t i = 0; i < ROW_COUNT; i++)
        longs[i] = (struct option){rows[i].name, required_argument, NULL, (int)i};
    longs[ROW_COUNT] = (struct option){"config", required_argument, NULL, CONFIG};
    longs[ROW_COUNT + 1] = (struct option){"version", no_argument, NULL, VERSION};
    longs[ROW_COUNT + 2] = (struct option){"help", no_argument, NULL, HELP};
    opterr = 0;
    optind = 0; // from the beginning, also when called again
    for (;;) {
        int at = optind ? optind : 1;
        int got = getopt_long(argc, argv, "+:", longs, NULL);
        if (got == -1)
            break;
        if (got == VERSION) {
            printf("talus-gateway %s\n", TALUS_VERSION);
            return OPTIONS_DONE;
        }
        if (got == HELP) {
            print_help();
            return OPTIONS_DONE;
        }
        if (got == '?' || got == ':') {
            complain(got == ':' ? "%s needs a value" : "%s is no option; see --help", argv[at]);
            return OPTIONS_BAD;
        }
        if (got == CONFIG) {
            if (reading->file) {
                complain_twice("--config", reading->file, optarg);
                return OPTIONS_BAD;
            }
            reading->file = strdup(optarg);
            if (!check_memory(reading->file != NULL))
                return OPTIONS_BAD;
        } else if (!add(reading, (size_t)got, SOURCE_FLAG, optarg)) {
            return OPTIONS_BAD;
        }
    }
    if (optind < argc) {
        complain("%s is no option; see --help", argv[optind]);
        return OPTIONS_BAD;
    }
    return OPTIONS_OK;
}

static bool gather_variables(struct reading *reading)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        char name[NAME_SIZE];
        const char *value = getenv(name_at(&rows[i], SOURCE_VARIABLE, reading, name, sizeof name));
        if (!value || value[0] == '\0') // set to nothing is not set
            continue;
        if (!is_list(&rows[i])) {
            if (!add(reading, i, SOURCE_VARIABLE, value))
                return false;
            continue;
        }
        char *copy = strdup(value);
        char *rest = NULL;
        bool is_good = check_memory(copy != NULL);
        for (char *part = copy ? strtok_r(copy, ",", &rest) : NULL; part && is_good;
             part = strtok_r(NULL, ",", &rest))
            is_good = add(reading, i, SOURCE_VARIABLE, part);
        free(copy);
        if (!is_good)
            return false;
    }
    return true;
}

static bool gather_line(struct reading *reading, zconfig_t *line)
{
    if (zconfig_child(line)) {
        complain("%s: %s has indented lines below it, and nothing belongs there", reading->file,
                 zconfig_name(line));
        return false;
    }
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (strcmp(rows[i].name, zconfig_name(line)) == 0)
            return add(reading, i, SOURCE_FILE, zconfig_value(line) ? zconfig_value(line) : "");
    complain("%s: %s is no option; see --help", reading->file, zconfig_name(line));
    return false;
}

static bool gather_file(struct reading *reading)
{
    const char *variable = getenv("TALUS_GATEWAY_CONFIG");
    if (!reading->file && (!variable || variable[0] == '\0'))
        return true;
    if (!reading->file)
        reading->file = strdup(variable);
    if (!check_memory(reading->file != NULL))
        return false;
    char error[512];
    zconfig_t *root = config_file_load(reading->file, error, sizeof error);
    if (!root) {
        complain("%s", error);
        return false;
    }
    bool is_good = true;
    for (zconfig_t *line = zconfig_child(root); line && is_good; line = zconfig_next(line))
        is_good = gather_line(reading, line);
    zconfig_destroy(&root);
    return is_good;
}

// ---- Checking and storing

// Reads a value of a kind that the command line has, too.
static bool parse_value(const struct row *row, enum tl_option_kind kind, const char *text,
                        const char *name, uint64_t *number)
{
    const struct tl_option taken = {.kind = kind, .min = (double)row->min, .max = (double)row->max};
    struct tl_option_value value;
    char why[2 * TEXT_MAX];
    if (tl_option_parse(&taken, text, &value)) {
        *number = value.integer;
        return true;
    }
    tl_option_explain(&taken, text, why, sizeof why);
    complain("%s %s", name, why);
    return false;
}

// The clients of a session up to which presence is told.
static bool parse_presence(const struct row *row, const char *text, const char *name, size_t *limit)
{
    const struct tl_option taken = {
        .kind = TL_OPTION_INTEGER, .min = (double)row->min, .max = (double)row->max};
    struct tl_option_value value = {.integer = strcmp(text, "always") == 0 ? SIZE_MAX : 0};
    bool is_word = value.integer > 0 || strcmp(text, "never") == 0;
    if (!is_word && !tl_option_parse(&taken, text, &value)) {
        complain("%s takes always, never or a number from %lu to %lu, not \"%s\"", name, row->min,
                 row->max, text);
        return false;
    }
    *limit = value.integer;
    return true;
}

static bool check_address(const char *text, const char *name)
{
    struct address address;
    const char *fault = address_parse(text, &address);
    if (fault)
        complain("%s: \"%s\": %s", name, text, fault);
    return !fault;
}

static bool check_origins(const struct texts *texts, const char *name)
{
    struct cors cors;
    char error[300];
    bool is_good =
        cors_init(&cors, (const char *const *)texts->values, texts->count, error, sizeof error);
    if (is_good)
        cors_fini(&cors);
    else
        complain("%s: %s", name, error);
    return is_good;
}

static bool store_text(const char *text, void *at)
{
    *(char **)at = strdup(text);
    return check_memory(*(char **)at != NULL);
}

static bool store_texts(const struct row *row, void *at, const struct texts *texts,
                        struct options *options)
{
    char **list = calloc(texts->count + 1, sizeof *list);
    if (!check_memory(list != NULL))
        return false;
    *(char ***)at = list;
    *(size_t *)(void *)((char *)options + row->count_offset) = texts->count;
    for (unsigned i = 0; i < texts->count; i++)
        if (!store_text(texts->values[i], &list[i]))
            return false;
    return true;
}

static bool store_joined(void *at, const struct texts *texts)
{
    size_t size = 1;
    for (unsigned i = 0; i < texts->count; i++)
        size += strlen(texts->values[i]) + 1;
    char *joined = calloc(1, size);
    if (!check_memory(joined != NULL))
        return false;
    for (unsigned i = 0; i < texts->count; i++) {
        if (i)
            strcat(joined, ",");
        strcat(joined, texts->values[i]);
    }
    *(char **)at = joined;
    return true;
}

// A path gets the slash at its end that the reference gives it.
static bool store_path(const char *text, void *at)
{
    size_t size = strlen(text);
    char *path = malloc(size + 2);
    if (!check_memory(path != NULL))
        return false;
    bool is_closed = text[size - 1] == '/';
    snprintf(path, size + 2, "%s%s", text, is_closed ? "" : "/");
    *(char **)at = path;
    return true;
}

static bool check_path(const char *text, const char *name)
{
    bool is_good = text[0] == '/' && !strpbrk(text, "?#, \t\r\n");
    if (!is_good)
        complain("%s takes a name that starts with / and has no ? # , or space, not \"%s\"", name,
                 text);
    else if (strlen(text) > TEXT_MAX)
        complain("%s takes a name of at most %d bytes", name, TEXT_MAX);
    return is_good && strlen(text) <= TEXT_MAX;
}

static bool store(const struct row *row, const struct texts *texts, const struct reading *reading,
                  struct options *options)
{
    void *at = (char *)options + row->offset;
    const char *text = texts->count ? texts->values[texts->count - 1] : row->fallback;
    char name[NAME_SIZE];
    uint64_t number = 0;
    bool is_good;
    if (!text)
        return true;
    name_at(row, texts->source, reading, name, sizeof name);
    switch (row->kind) {
    case TEXT:
        return store_text(text, at);
    case ADDRESS:
        return check_address(text, name) && store_text(text, at);
    case LIST:
        return store_joined(at, texts);
    case ORIGINS:
        return check_origins(texts, name) && store_texts(row, at, texts, options);
    case NUMBER:
        is_good = parse_value(row, TL_OPTION_INTEGER, text, name, &number);
        *(unsigned *)at = (unsigned)number;
        return is_good;
    case TIME:
        is_good = parse_value(row, TL_OPTION_MILLISECONDS, text, name, &number);
        *(unsigned *)at = (unsigned)number;
        return is_good;
    case SIZE:
        is_good = parse_value(row, TL_OPTION_BYTES, text, name, &number);
        *(size_t *)at = number;
        return is_good;
    case PRESENCE:
        return parse_presence(row, text, name, at);
    case MODE:
        is_good = parse_value(row, TL_OPTION_MODE, text, name, &number);
        *(unsigned *)at = (unsigned)number;
        return is_good;
    case LEVEL:
        if (gw_log_parse_level(text, at))
            return true;
        complain("%s takes error, warning, info or debug, not \"%s\"", name, text);
        return false;
    case PATH:
        return check_path(text, name) && store_path(text, at);
    case NAMESPACE:
        return check_path(text, name) && store_text(text, at);
    }
    return false;
}

void options_fini(struct options *options)
{
    for (size_t i = 0; i < options->cors_origin_count; i++)
        free(options->cors_origins[i]);
    free(options->cors_origins);
    free(options->listen);
    free(options->path);
    free(options->nsp);
    free(options->bus);
    free(options->publish);
    free(options->page);
    *options = (struct options){0};
}

enum options_result options_read(struct options *options, int argc, char **argv)
{
    struct reading *reading = calloc(1, sizeof *reading);
    enum options_result result = OPTIONS_BAD;
    *options = (struct options){0};
    if (!reading) {
        complain("out of memory");
        return OPTIONS_BAD;
    }
    result = gather_flags(reading, argc, argv);
    if (result == OPTIONS_OK && !(gather_variables(reading) && gather_file(reading)))
        result = OPTIONS_BAD;
    for (size_t i = 0; i < ROW_COUNT && result == OPTIONS_OK; i++)
        if (!store(&rows[i], &reading->texts[i], reading, options))
            result = OPTIONS_BAD;
    for (size_t i = 0; i < ROW_COUNT; i++)
        forget(&reading->texts[i]);
    free(reading->file);
    free(reading);
    if (result != OPTIONS_OK)
        options_fini(options);
    return result;
}
