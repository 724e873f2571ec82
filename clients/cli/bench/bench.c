// SPDX-License-Identifier: MIT
// `talus bench`: finds what to put under load, and hands it the rest of the command line.
#include "clients/cli/bench/bench.h"

#include <stdio.h>
#include <string.h>

#include "clients/cli/commands.h"
#include "clients/cli/report.h"

static const command_t *const subjects[] = {&bench_gateway_command, &bench_bus_command};

static int run_bench(int argc, char **argv)
{
    int operands;
    for (size_t i = 0; argc > 1 && i < sizeof(subjects) / sizeof(subjects[0]); i++) {
        // "bench gateway": what stands behind the space is the word on the command line.
        if (strcmp(strchr(subjects[i]->name, ' ') + 1, argv[1]) == 0) {
            report_command(subjects[i]->name);
            return subjects[i]->run(argc - 1, argv + 1);
        }
    }
    options_result_t parsed = options_parse(&bench_command, argc, argv, NULL, &operands);
    if (parsed == OPTIONS_HELP)
        return EXIT_DONE;
    if (parsed == OPTIONS_PARSED)
        report("no bench \"%s\": there are gateway and bus (see talus bench --help)",
               argv[operands]);
    return EXIT_USAGE;
}

const command_t bench_command = {
    .name = "bench",
    .usage = "gateway|bus [OPTION]…",
    .summary = "Measure a Socket.IO server, or the bus, under load.",
    .details = "talus bench gateway --help and talus bench bus --help tell more.\n"
               "\n"
               "Examples:\n"
               "  talus bench gateway --clients 1000 --rate 100\n"
               "  talus bench gateway --clients 1000 --rate max --burst 16 --json\n"
               "  talus bench bus",
    .min_operands = 1,
    .max_operands = 1,
    .operands = "gateway or bus",
    .run = run_bench,
};
