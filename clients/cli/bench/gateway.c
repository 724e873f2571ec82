// SPDX-License-Identifier: MIT
// `talus bench gateway`: connects clients to a Socket.IO server, emits events into their rooms, and
// tells what came, when, and what it cost the server.
//
// The phases of a run: connect everybody; be idle, for the memory; warm up; measure; drain.
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <talus.h>

#include "clients/cli/bench/bench.h"
#include "clients/cli/bench/fleet.h"
#include "clients/cli/bench/process.h"
#include "clients/cli/bench/result.h"
#include "clients/cli/clock.h"
#include "clients/cli/endpoint.h"
#include "clients/cli/report.h"
#include "clients/cli/signals.h"

#define IDLE_SECONDS  0.3
#define DRAIN_SECONDS 30.0
#define DRAIN_QUIET   3.0  // seconds without a delivery after which the rest counts as lost
#define LOOK_SECONDS  0.05 // between two looks at signals and deadlines

enum { READY_MS = 10000, CLIENTS_MAX = 1000000, EVENTS_MAX = 1000000 };

typedef struct gateway_values {
    option_list_t buses;
    const char *url, *emit_to, *rate, *name, *session;
    uint64_t clients, rooms, burst, window, size, process;
    double seconds, warmup, connect_timeout;
    int transport;
    bool is_json;
} gateway_values_t;

typedef struct bench {
    const gateway_values_t *values;
    emitter_plan_t plan;
    target_t target;
    sink_t *sink;
    emitter_t *emitter;
    fleet_t fleet;
    result_t result;
    int signals;
} bench_t;

static double own_cpu(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static uint64_t expected(const bench_t *bench)
{
    return emitter_deliveries(&bench->plan, emitter_count(bench->emitter));
}

static bool has_everybody(const bench_t *bench)
{
    return bench->fleet.counts.live == bench->plan.clients || bench->fleet.counts.gone > 0;
}

static bool has_everything(const bench_t *bench)
{
    return bench->fleet.counts.in_place >= expected(bench);
}

// Turns the loop until `deadline`, or `is_done` (if not NULL) says so. False: a signal came, or
// something failed (reported).
static bool turn_until(bench_t *bench, double deadline, bool (*is_done)(const bench_t *))
{
    double look = 0;
    for (;;) {
        double now = clock_now();
        if (now >= look) {
            look = now + LOOK_SECONDS;
            if (signals_pending(bench->signals)) {
                report("interrupted");
                return false;
            }
            if (emitter_has_failed(bench->emitter))
                return false;
        }
        if (now >= deadline || (is_done && is_done(bench)))
            return true;
        fleet_connect_more(&bench->fleet);
        int wait_ms = clock_left_ms(deadline < look ? deadline : look);
        if (!fleet_turn(&bench->fleet, wait_ms))
            return false;
        emitter_delivered(bench->emitter, bench->fleet.counts.events);
    }
}

static bool read_memory(bench_t *bench, process_memory_t *memory)
{
    if (bench->result.server == 0 || process_memory(bench->result.server, memory))
        return true;
    report("cannot read the memory of process %ld: %s", (long)bench->result.server,
           strerror(errno));
    return false;
}

static bool connect_all(bench_t *bench)
{
    const fleet_counts_t *counts = &bench->fleet.counts;
    double start = clock_now();
    if (!read_memory(bench, &bench->result.before) ||
        !turn_until(bench, start + bench->values->connect_timeout, has_everybody))
        return false;
    bench->result.connect = clock_now() - start;
    if (counts->live < bench->plan.clients) {
        report("%zu of %" PRIu64 " clients joined%s%s", counts->live, bench->plan.clients,
               counts->gone ? "; " : " in time", bench->fleet.reason);
        return false;
    }
    return turn_until(bench, clock_now() + IDLE_SECONDS, NULL) &&
           read_memory(bench, &bench->result.after);
}

// Waits for what is on its way, as long as something comes.
static bool drain(bench_t *bench)
{
    double deadline = clock_now() + DRAIN_SECONDS;
    while (clock_now() < deadline && !has_everything(bench)) {
        uint64_t before = bench->fleet.counts.events;
        if (!turn_until(bench, clock_now() + DRAIN_QUIET, has_everything))
            return false;
        if (bench->fleet.counts.events == before)
            break;
    }
    return true;
}

static bool measure(bench_t *bench)
{
    result_t *result = &bench->result;
    fleet_t *fleet = &bench->fleet;
    if (sink_wait_ready(bench->sink, READY_MS) != EXIT_DONE || !emitter_start(bench->emitter) ||
        !turn_until(bench, clock_now() + bench->values->warmup, NULL))
        return false;
    double start = clock_now(), server_start = process_cpu(result->server), own_start = own_cpu();
    uint64_t delivered = fleet->counts.events, emitted = emitter_count(bench->emitter);
    fleet->measure_from = emitter_time(bench->emitter);
    if (!turn_until(bench, start + bench->values->seconds, NULL))
        return false;
    result->seconds = clock_now() - start;
    result->measured_deliveries = fleet->counts.events - delivered;
    result->bench_cpu = own_cpu() - own_start;
    emitter_stop(bench->emitter);
    result->measured_emitted = emitter_count(bench->emitter) - emitted;
    if (!drain(bench))
        return false;
    double server_end = process_cpu(result->server);
    result->server_cpu =
        result->server && server_start >= 0 && server_end >= 0 ? server_end - server_start : -1;
    result->drained_deliveries = fleet->counts.events - delivered;
    return true;
}

static int conclude(bench_t *bench)
{
    result_t *result = &bench->result;
    fleet_t *fleet = &bench->fleet;
    result->emitted = emitter_count(bench->emitter);
    result->deliveries = fleet->counts.events;
    result->waits = emitter_waits(bench->emitter);
    result->others = fleet->counts.others;
    result->reads = fleet->counts.reads;
    result->gone = fleet->counts.gone;
    result->latency = &fleet->latency;
    for (size_t i = 0; i < bench->plan.clients; i++) {
        order_end(&fleet->clients[i].order, bench->plan.rooms, result->emitted);
        result->lost += fleet->clients[i].order.lost;
        result->misplaced += fleet->clients[i].order.misplaced;
    }
    if (bench->values->is_json)
        result_print_json(result);
    else
        result_print(result);
    if (result->gone)
        report("%" PRIu64 " clients were lost; %s", result->gone, fleet->reason);
    if (result->lost || result->misplaced)
        report("%" PRIu64 " deliveries are missing and %" PRIu64 " came out of order", result->lost,
               result->misplaced);
    return result->gone || result->lost || result->misplaced ? EXIT_FAILED : EXIT_DONE;
}

static int run_with_sink(bench_t *bench)
{
    static const transport_t *const transports[] = {&websocket_transport, &polling_transport};
    const gateway_values_t *values = bench->values;
    const transport_t *transport = transports[values->transport];
    int status = EXIT_FAILED;
    bench->emitter = emitter_new(&bench->plan, bench->sink);
    if (!bench->emitter)
        return EXIT_FAILED;
    bench->result.transport = transport->name;
    if (fleet_init(&bench->fleet, &bench->target, transport, &bench->plan, bench->emitter,
                   values->name, sink_origin(bench->sink))) {
        if (connect_all(bench) && measure(bench))
            status = conclude(bench);
        emitter_destroy(&bench->emitter);
        fleet_fini(&bench->fleet);
    }
    emitter_destroy(&bench->emitter);
    return status;
}

static sink_t *open_sink(const gateway_values_t *values, int *status)
{
    char endpoint[ENDPOINT_MAX];
    if (values->emit_to)
        return sink_open_server(values->emit_to, values->size, status);
    *status = endpoint_resolve(&values->buses, false, endpoint);
    return *status == EXIT_DONE ? sink_open_bus(endpoint, values->size, status) : NULL;
}

static int run(bench_t *bench)
{
    const gateway_values_t *values = bench->values;
    int status = EXIT_FAILED;
    bench->result.plan = &bench->plan;
    bench->result.size = values->size;
    bench->result.server =
        values->process ? (pid_t)values->process : process_of_port(bench->target.port);
    bench->signals = signals_open();
    if (bench->signals < 0)
        return EXIT_FAILED;
    bench->sink = open_sink(values, &status);
    if (bench->sink)
        status = run_with_sink(bench);
    sink_close(&bench->sink);
    signals_close(bench->signals);
    return status;
}

// Reads --rate, and what depends on several options.
static bool make_plan(const gateway_values_t *values, emitter_plan_t *plan)
{
    char *end;
    *plan = (emitter_plan_t){.session = values->session,
                             .rooms = values->rooms,
                             .clients = values->clients,
                             .burst = values->burst,
                             .window = values->window ? values->window : 2 * values->burst};
    if (strcmp(values->rate, "max") != 0) {
        plan->rate = strtod(values->rate, &end);
        if (*end || !(plan->rate >= 0.01 && plan->rate <= EVENTS_MAX)) {
            report("--rate takes events a second, from 0.01 to %d, or max, not \"%s\"", EVENTS_MAX,
                   values->rate);
            return false;
        }
    }
    if (plan->rooms > plan->clients)
        report("there are more --rooms than --clients");
    else if (plan->window < plan->burst)
        report("--window is smaller than --burst");
    else if (values->name[0] != '/' || strlen(values->name) > PACKET_NAMESPACE_MAX ||
             strpbrk(values->name, ",\"\\"))
        report("--namespace takes /NAME, not \"%s\"", values->name);
    else if (talus_session_check(values->session, strlen(values->session)) != 0 ||
             strlen(values->session) > 64)
        report("--session takes 1 to 64 of A-Z a-z 0-9 . _ : @ -, not \"%s\"", values->session);
    else
        return true;
    return false;
}

static int run_bench_gateway(int argc, char **argv)
{
    gateway_values_t values = {.url = "http://127.0.0.1:3000",
                               .rate = "100",
                               .name = "/graph",
                               .session = "bench",
                               .clients = 100,
                               .rooms = 1,
                               .burst = 1,
                               .size = 200,
                               .seconds = 5,
                               .warmup = 1,
                               .connect_timeout = 60};
    int operands;
    options_result_t parsed = options_parse(&bench_gateway_command, argc, argv, &values, &operands);
    if (parsed != OPTIONS_PARSED)
        return parsed == OPTIONS_HELP ? EXIT_DONE : EXIT_USAGE;
    bench_t *bench = calloc(1, sizeof(*bench)); // the histogram is some tens of kilobytes
    if (!bench) {
        report("out of memory");
        return EXIT_FAILED;
    }
    bench->values = &values;
    int status = make_plan(&values, &bench->plan) && target_parse(&bench->target, values.url)
                     ? run(bench)
                     : EXIT_USAGE;
    free(bench);
    return status;
}

static const char *const transport_names[] = {"websocket", "polling", NULL};

static const option_spec_t options[] = {
    {.name = "url",
     .kind = OPTION_TEXT,
     .offset = offsetof(gateway_values_t, url),
     .argument = "URL",
     .help = "The server, on this machine. Default: http://127.0.0.1:3000, and /socket.io/ there."},
    {.name = "bus",
     .kind = OPTION_LIST,
     .offset = offsetof(gateway_values_t, buses),
     .argument = "ENDPOINT",
     .help =
         "Emit there: ipc://DIRECTORY/* or a ZeroMQ endpoint, which is bound unless > before it "
         "says to connect. May be repeated. Default: $TALUS_BUS, else the user's bus "
         "directory."},
    {.name = "emit-to",
     .kind = OPTION_TEXT,
     .offset = offsetof(gateway_values_t, emit_to),
     .argument = "ADDRESS",
     .help =
         "Instead of a bus, hand the events to a reference server: unix:PATH or HOST:PORT takes "
         "lines ROOM JSON, zmq:ENDPOINT is a bare PUB socket that sends both as frames."},
    {.name = "clients",
     .kind = OPTION_INTEGER,
     .offset = offsetof(gateway_values_t, clients),
     .argument = "N",
     .unit = "clients",
     .min = 1,
     .max = CLIENTS_MAX,
     .help = "How many connect. Default: 100."},
    {.name = "rooms",
     .kind = OPTION_INTEGER,
     .offset = offsetof(gateway_values_t, rooms),
     .argument = "N",
     .unit = "rooms",
     .min = 1,
     .max = CLIENTS_MAX,
     .help = "Rooms that they spread over; events go to each in turn. Default: 1."},
    {.name = "rate",
     .kind = OPTION_TEXT,
     .offset = offsetof(gateway_values_t, rate),
     .argument = "EVENTS|max",
     .help = "Events a second, or as fast as they are delivered. Default: 100."},
    {.name = "burst",
     .kind = OPTION_INTEGER,
     .offset = offsetof(gateway_values_t, burst),
     .argument = "N",
     .unit = "events",
     .min = 1,
     .max = EVENTS_MAX,
     .help = "Events emitted at once. Default: 1."},
    {.name = "window",
     .kind = OPTION_INTEGER,
     .offset = offsetof(gateway_values_t, window),
     .argument = "N",
     .unit = "events",
     .min = 1,
     .max = EVENTS_MAX,
     .help = "With --rate max: events that may be on their way at once. Default: two bursts."},
    {.name = "size",
     .kind = OPTION_SIZE,
     .offset = offsetof(gateway_values_t, size),
     .argument = "BYTES",
     .min = PACKET_PAYLOAD_MIN,
     .max = SINK_PAYLOAD_MAX,
     .help = "Of each event's payload, as JSON. Default: 200."},
    {.name = "transport",
     .kind = OPTION_CHOICE,
     .offset = offsetof(gateway_values_t, transport),
     .argument = "NAME",
     .choices = transport_names,
     .help = "websocket (default) or polling."},
    {.name = "seconds",
     .kind = OPTION_TIME,
     .offset = offsetof(gateway_values_t, seconds),
     .argument = "SECONDS",
     .min = 0.1,
     .max = 3600,
     .help = "How long to measure. Default: 5."},
    {.name = "warmup",
     .kind = OPTION_TIME,
     .offset = offsetof(gateway_values_t, warmup),
     .argument = "SECONDS",
     .min = 0,
     .max = 3600,
     .help = "How long to emit before that. Default: 1."},
    {.name = "connect-timeout",
     .kind = OPTION_TIME,
     .offset = offsetof(gateway_values_t, connect_timeout),
     .argument = "SECONDS",
     .min = 0.1,
     .max = 3600,
     .help = "How long connecting and joining may take. Default: 60."},
    {.name = "namespace",
     .kind = OPTION_TEXT,
     .offset = offsetof(gateway_values_t, name),
     .argument = "NAME",
     .help = "The namespace of the rooms. Default: /graph."},
    {.name = "session",
     .kind = OPTION_TEXT,
     .offset = offsetof(gateway_values_t, session),
     .argument = "ID",
     .help = "The rooms are the sessions ID-0, ID-1 and so on. Default: bench."},
    {.name = "pid",
     .kind = OPTION_INTEGER,
     .offset = offsetof(gateway_values_t, process),
     .argument = "PID",
     .min = 1,
     .max = INT_MAX,
     .help = "The server's process, for its CPU time and memory. Default: the one that listens on "
             "the port."},
    {.name = "json",
     .kind = OPTION_FLAG,
     .offset = offsetof(gateway_values_t, is_json),
     .help = "Print one line of JSON."},
};

const command_t bench_gateway_command = {
    .name = "bench gateway",
    .usage = "[OPTION]…",
    .summary = "Measure the gateway, or another Socket.IO server, with many clients.",
    .details =
        "Connects the clients, joins them to their rooms, emits events, and checks that each "
        "client "
        "gets each event of its room, once and in order: if not, the exit status is 1. Latency is "
        "from the emit call to the client's read, on one clock. CPU time is the server's whole "
        "process, over all deliveries of the measured time. With many "
        "clients in few rooms, start the gateway with --presence never: otherwise each join is "
        "sent to the whole room.\n"
        "\n"
        "Examples:\n"
        "  talus bench gateway --clients 1000 --rate 100\n"
        "  talus bench gateway --clients 10000 --rooms 1000 --rate max --burst 16 --json",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .max_operands = 0,
    .run = run_bench_gateway,
};
