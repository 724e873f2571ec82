// SPDX-License-Identifier: MIT
// `talus demo`: plays a scenario onto the bus, at a steady rate.
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <talus.h>

#include "clients/cli/clock.h"
#include "clients/cli/commands.h"
#include "clients/cli/demo/scenario.h"
#include "clients/cli/endpoint.h"
#include "clients/cli/report.h"
#include "clients/cli/signals.h"
#include "common/random.h"

#define SEED_MAX 4294967295.0

enum { SLICE_MS = 50, FLUSH_MS = 5000 };

typedef struct demo_values {
    option_list_t buses;
    const char *session;
    double rate;    // events a second
    double wait;    // seconds
    uint64_t count; // 0: no end
    uint64_t seed;  // above SEED_MAX: one of the demo's choice
    unsigned directory_mode;
} demo_values_t;

typedef struct demo {
    const demo_values_t *values;
    talus_broadcaster_t *broadcaster;
    int signals;
    scenario_t scenario;
    uint64_t emitted;
    double start; // the moment at which, at this rate, none had been emitted
} demo_t;

// Who lives on the bus shall see the beginning; nobody need be there.
static int wait_for_subscribers(demo_t *demo)
{
    double deadline = clock_now() + demo->values->wait;
    for (;;) {
        int left = clock_left_ms(deadline);
        talus_error_t error = talus_broadcaster_wait_subscribers(
            demo->broadcaster, 1, left < SLICE_MS ? left : SLICE_MS, NULL);
        if (error == 0 || left <= SLICE_MS || signals_pending(demo->signals))
            return EXIT_DONE;
        if (error != TALUS_ETIMEOUT && error != TALUS_ENOSUBSCRIBER) {
            report("cannot wait for subscribers: %s", talus_strerror(error));
            return EXIT_FAILED;
        }
    }
}

static bool is_complete(const demo_t *demo)
{
    return demo->values->count > 0 && demo->emitted == demo->values->count;
}

// Emits what is due. A full queue is tried again at the next turn.
static int emit_due(demo_t *demo)
{
    double due = floor((clock_now() - demo->start) * demo->values->rate);
    while ((double)demo->emitted < due && !is_complete(demo)) {
        const demo_event_t *event = scenario_next(&demo->scenario);
        talus_error_t error = demo_event_emit(event, demo->broadcaster, demo->values->session);
        if (error == TALUS_EQUEUEFULL)
            break;
        if (error) {
            report("cannot emit: %s", talus_strerror(error));
            return EXIT_FAILED;
        }
        scenario_advance(&demo->scenario);
        demo->emitted++;
    }
    // After a pause (of the machine, or of the queue) the rate goes on; it does not catch up.
    if (due - (double)demo->emitted > demo->values->rate)
        demo->start = clock_now() - (double)demo->emitted / demo->values->rate;
    return EXIT_DONE;
}

static int play(demo_t *demo)
{
    demo->start = clock_now();
    while (!is_complete(demo)) {
        double next = demo->start + (double)(demo->emitted + 1) / demo->values->rate;
        struct pollfd watched = {.fd = demo->signals, .events = POLLIN};
        int ready = poll(&watched, 1, clock_left_ms(next));
        if (ready < 0 && errno != EINTR) {
            report("cannot wait: %s", strerror(errno));
            return EXIT_FAILED;
        }
        if (ready > 0)
            return EXIT_DONE;
        int status = emit_due(demo);
        if (status != EXIT_DONE)
            return status;
    }
    return EXIT_DONE;
}

static int finish(demo_t *demo)
{
    talus_error_t error = talus_broadcaster_flush(demo->broadcaster, FLUSH_MS);
    report("%" PRIu64 " events were emitted", demo->emitted);
    if (error)
        report("not everything could be handed over: %s", talus_strerror(error));
    return error ? EXIT_FAILED : EXIT_DONE;
}

static int run_on(demo_t *demo, const char *endpoint, uint64_t seed)
{
    talus_broadcaster_options_t options;
    talus_broadcaster_options_init(&options);
    options.directory_mode = demo->values->directory_mode;
    talus_error_t error = talus_broadcaster_new(&demo->broadcaster, endpoint, &options);
    if (error)
        return report_bus_error("publish", endpoint, error);
    scenario_init(&demo->scenario, seed);
    // A bus directory is named as the others name it, not by the socket of this one in it.
    report("playing session \"%s\" on %s with --seed %" PRIu64 "; Ctrl-C ends it",
           demo->values->session,
           endpoint_is_directory(endpoint) ? endpoint
                                           : talus_broadcaster_endpoint(demo->broadcaster),
           seed);
    int status = wait_for_subscribers(demo);
    if (status == EXIT_DONE)
        status = play(demo);
    if (status == EXIT_DONE)
        status = finish(demo);
    talus_broadcaster_destroy(&demo->broadcaster);
    return status;
}

static uint64_t choose_seed(const demo_values_t *values)
{
    uint32_t seed = 0;
    if ((double)values->seed <= SEED_MAX)
        return values->seed;
    // Of no consequence if it fails: the demo then plays the story of seed 0.
    return tl_random_bytes(&seed, sizeof(seed)) ? seed : 0;
}

static int run_demo(int argc, char **argv)
{
    demo_values_t values = {
        .session = "demo", .rate = 4, .wait = 0.5, .seed = UINT64_MAX, .directory_mode = 0700};
    char endpoint[ENDPOINT_MAX];
    int operands;
    options_result_t parsed = options_parse(&demo_command, argc, argv, &values, &operands);
    if (parsed != OPTIONS_PARSED)
        return parsed == OPTIONS_HELP ? EXIT_DONE : EXIT_USAGE;
    if (talus_session_check(values.session, strlen(values.session)) != 0) {
        report("--session takes a session id (1 to %d of A-Z a-z 0-9 . _ : @ -), not \"%s\"",
               TALUS_SESSION_MAX, values.session);
        return EXIT_USAGE;
    }
    int status = endpoint_resolve(&values.buses, false, endpoint);
    if (status != EXIT_DONE)
        return status;
    demo_t *demo = calloc(1, sizeof(*demo)); // the history alone is some hundred kilobytes
    if (!demo) {
        report("out of memory");
        return EXIT_FAILED;
    }
    demo->values = &values;
    demo->signals = signals_open();
    status = demo->signals < 0 ? EXIT_FAILED : run_on(demo, endpoint, choose_seed(&values));
    signals_close(demo->signals);
    free(demo);
    return status;
}

static const option_spec_t options[] = {
    {.name = "bus",
     .kind = OPTION_LIST,
     .offset = offsetof(demo_values_t, buses),
     .argument = "ENDPOINT",
     .help = "Endpoint to publish on, repeatable: ipc://DIRECTORY/* or a ZeroMQ endpoint, which is "
             "bound, or connected to if it starts with >. Default: $TALUS_BUS, else the user's bus "
             "directory."},
    {.name = "directory-mode",
     .kind = OPTION_MODE,
     .offset = offsetof(demo_values_t, directory_mode),
     .argument = "MODE",
     .help = "Octal mode of a bus directory that this command creates: 0770 for a group. "
             "Default: 0700."},
    {.name = "session",
     .kind = OPTION_TEXT,
     .offset = offsetof(demo_values_t, session),
     .argument = "ID",
     .help = "The session to play. Default: demo."},
    {.name = "rate",
     .kind = OPTION_DECIMAL,
     .offset = offsetof(demo_values_t, rate),
     .argument = "EVENTS",
     .unit = "events a second",
     .min = 0.01,
     .max = 1e5,
     .help = "Events a second, fractions allowed. Default: 4."},
    {.name = "count",
     .kind = OPTION_INTEGER,
     .offset = offsetof(demo_values_t, count),
     .argument = "N",
     .min = 1,
     .max = 1e12,
     .help = "End after N events."},
    {.name = "seed",
     .kind = OPTION_INTEGER,
     .offset = offsetof(demo_values_t, seed),
     .argument = "N",
     .min = 0,
     .max = SEED_MAX,
     .help = "The same seed plays the same events. Default: a random one, which is printed."},
    {.name = "wait-subscriber",
     .kind = OPTION_TIME,
     .offset = offsetof(demo_values_t, wait),
     .argument = "SECONDS",
     .min = 0,
     .max = 1e6,
     .help = "How long to wait at first for running subscribers; the demo plays with or without "
             "them. Default: 0.5."},
};

const command_t demo_command = {
    .name = "demo",
    .usage = "[OPTION]…",
    .summary = "Play a lively editing session, with every typed event.",
    .details = "Editors come and go, create nodes, link them, set their properties, undo and redo. "
               "Without --count it plays until Ctrl-C.\n"
               "\n"
               "Examples:\n"
               "  talus demo\n"
               "  talus demo --rate 50 --count 1000 --seed 7",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .max_operands = 0,
    .run = run_demo,
};
