// SPDX-License-Identifier: MIT
// `talus bench bus`: what an emit call costs, and how fast messages pass from one publisher to one
// subscriber, through libtalus and through bare libzmq.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/cli/bench/bench.h"
#include "clients/cli/bench/bus_case.h"
#include "clients/cli/report.h"

enum { TRANSPORTS = 3, LIBRARIES = 2, FOLDER_MAX = 128, WINDOW_MAX = 60000 };

static const char *const transport_names[TRANSPORTS] = {"inproc", "ipc", "tcp"};
static const bus_library_t *const libraries[LIBRARIES] = {&bus_libzmq, &bus_libtalus};

typedef struct bus_values {
    double seconds, rate;
    uint64_t window;
    bool is_json;
} bus_values_t;

typedef struct bus_figures {
    double alone, subscribed; // seconds an emit call
    bus_result_t results[TRANSPORTS][LIBRARIES];
} bus_figures_t;

static void name_endpoint(char out[BUS_ENDPOINT_MAX], const char *folder, int transport,
                          const char *name)
{
    if (transport == 0)
        snprintf(out, BUS_ENDPOINT_MAX, "inproc://bench-%s", name);
    else if (transport == 1)
        snprintf(out, BUS_ENDPOINT_MAX, "ipc://%s/%s", folder, name);
    else
        snprintf(out, BUS_ENDPOINT_MAX, "tcp://127.0.0.1:*");
}

static bool measure(const bus_values_t *values, const char *folder, bus_figures_t *figures)
{
    const bus_plan_t plan = {
        .seconds = values->seconds, .rate = values->rate, .window = values->window};
    char endpoint[BUS_ENDPOINT_MAX];
    name_endpoint(endpoint, folder, 1, "emit");
    if (!bus_case_emit(endpoint, false, &plan, &figures->alone) ||
        !bus_case_emit(endpoint, true, &plan, &figures->subscribed))
        return false;
    for (int i = 0; i < TRANSPORTS; i++) {
        for (int j = 0; j < LIBRARIES; j++) {
            name_endpoint(endpoint, folder, i, libraries[j]->name);
            if (!bus_case_run(libraries[j], endpoint, &plan, &figures->results[i][j])) {
                report("%s over %s could not be measured", libraries[j]->name, transport_names[i]);
                return false;
            }
        }
    }
    return true;
}

static void print_figures(const bus_figures_t *figures)
{
    printf("emit, one thread, flat out: %.3f µs a call without a subscriber, %.3f µs with one\n\n",
           figures->alone * 1e6, figures->subscribed * 1e6);
    printf("one publisher to one subscriber, %d bytes\n", BUS_PAYLOAD);
    // Columns by hand: printf counts the bytes of a µ.
    puts("over    with        messages/s   ratio  sender µs  receiver µs   p50 ms   p99 ms     "
         "lost");
    for (int i = 0; i < TRANSPORTS; i++) {
        for (int j = 0; j < LIBRARIES; j++) {
            const bus_result_t *result = &figures->results[i][j];
            double base = figures->results[i][0].messages_per_second;
            printf("%-8s%-10s%12.0f%8.2f%11.3f%13.3f%9.3f%9.3f%9" PRIu64 "\n", transport_names[i],
                   libraries[j]->name, result->messages_per_second,
                   result->messages_per_second / base, result->sender_cpu * 1e6,
                   result->receiver_cpu * 1e6, result->p50 * 1e3, result->p99 * 1e3, result->lost);
        }
    }
}

static void print_json(const bus_figures_t *figures)
{
    printf("{\"size\":%d,\"emit\":{\"alone_us\":%.6g,\"subscribed_us\":%.6g},\"rows\":[",
           BUS_PAYLOAD, figures->alone * 1e6, figures->subscribed * 1e6);
    for (int i = 0; i < TRANSPORTS; i++) {
        for (int j = 0; j < LIBRARIES; j++) {
            const bus_result_t *result = &figures->results[i][j];
            printf("%s{\"transport\":\"%s\",\"library\":\"%s\",\"messages_per_second\":%.6g,"
                   "\"sender_cpu_us\":%.6g,\"receiver_cpu_us\":%.6g,\"p50_ms\":%.6g,"
                   "\"p90_ms\":%.6g,\"p99_ms\":%.6g,\"max_ms\":%.6g,\"sent\":%" PRIu64
                   ",\"lost\":%" PRIu64 ",\"out_of_order\":%" PRIu64 "}",
                   i + j == 0 ? "" : ",", transport_names[i], libraries[j]->name,
                   result->messages_per_second, result->sender_cpu * 1e6,
                   result->receiver_cpu * 1e6, result->p50 * 1e3, result->p90 * 1e3,
                   result->p99 * 1e3, result->max * 1e3, result->sent, result->lost,
                   result->misplaced);
        }
    }
    puts("]}");
}

static int check_losses(const bus_figures_t *figures)
{
    int status = EXIT_DONE;
    for (int i = 0; i < TRANSPORTS; i++) {
        for (int j = 0; j < LIBRARIES; j++) {
            const bus_result_t *result = &figures->results[i][j];
            if (result->lost == 0 && result->misplaced == 0)
                continue;
            report("%s over %s: %" PRIu64 " messages are missing and %" PRIu64 " came out of order",
                   libraries[j]->name, transport_names[i], result->lost, result->misplaced);
            status = EXIT_FAILED;
        }
    }
    return status;
}

static int run_in(const bus_values_t *values, const char *folder)
{
    static bus_figures_t figures;
    if (!measure(values, folder, &figures))
        return EXIT_FAILED;
    if (values->is_json)
        print_json(&figures);
    else
        print_figures(&figures);
    return check_losses(&figures);
}

// The sockets' files are removed by those who made them, but for a bare one that was killed.
static void remove_folder(const char *folder)
{
    static const char *const names[] = {"emit", "libzmq", "libtalus"};
    char path[FOLDER_MAX + 16];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    if (rmdir(folder) != 0)
        report("cannot remove %s: %s", folder, strerror(errno));
}

static int run_bench_bus(int argc, char **argv)
{
    bus_values_t values = {.seconds = 2, .rate = 1000, .window = 20000};
    char folder[FOLDER_MAX];
    const char *parent = getenv("TMPDIR");
    int operands;
    options_result_t parsed = options_parse(&bench_bus_command, argc, argv, &values, &operands);
    if (parsed != OPTIONS_PARSED)
        return parsed == OPTIONS_HELP ? EXIT_DONE : EXIT_USAGE;
    int size = snprintf(folder, sizeof(folder), "%s/talus-bench-XXXXXX",
                        parent && parent[0] ? parent : "/tmp");
    if (size >= (int)sizeof(folder) || !mkdtemp(folder)) {
        report("cannot make a folder for sockets: %s",
               size >= (int)sizeof(folder) ? "TMPDIR is too long" : strerror(errno));
        return EXIT_FAILED;
    }
    int status = run_in(&values, folder);
    remove_folder(folder);
    return status;
}

static const option_spec_t options[] = {
    {.name = "seconds",
     .kind = OPTION_TIME,
     .offset = offsetof(bus_values_t, seconds),
     .argument = "SECONDS",
     .min = 0.1,
     .max = 600,
     .help = "How long each measurement takes; there are fourteen. Default: 2."},
    {.name = "rate",
     .kind = OPTION_DECIMAL,
     .offset = offsetof(bus_values_t, rate),
     .argument = "MESSAGES",
     .unit = "messages a second",
     .min = 1,
     .max = 100000,
     .help = "Messages a second while latency is measured. Default: 1000."},
    {.name = "window",
     .kind = OPTION_INTEGER,
     .offset = offsetof(bus_values_t, window),
     .argument = "N",
     .unit = "messages",
     .min = 1,
     .max = WINDOW_MAX,
     .help = "Messages that the sender may be ahead, so that nothing is lost. Default: 20000."},
    {.name = "json",
     .kind = OPTION_FLAG,
     .offset = offsetof(bus_values_t, is_json),
     .help = "Print one line of JSON."},
};

const command_t bench_bus_command = {
    .name = "bench bus",
    .usage = "[OPTION]…",
    .summary = "Measure the bus: libtalus beside bare libzmq, one publisher to one subscriber.",
    .details =
        "It uses a bus of its own. An emit call is timed in bursts of 10,000 that its queue holds, "
        "and the median burst is reported. Then one sender and one receiver, two processes "
        "(over inproc two threads), pass messages flat out, and at a steady rate for the latency. "
        "CPU time is "
        "of "
        "each side for each message. Any loss makes the exit status 1.",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .max_operands = 0,
    .run = run_bench_bus,
};
