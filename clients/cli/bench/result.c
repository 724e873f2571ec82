// SPDX-License-Identifier: MIT
#include "clients/cli/bench/result.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

enum { BAR_COLUMNS = 40 };

double result_cpu_per_delivery(const result_t *result)
{
    if (result->server_cpu < 0 || result->drained_deliveries == 0)
        return -1;
    return result->server_cpu * 1e6 / (double)result->drained_deliveries;
}

static double bytes_per_client(const result_t *result, uint64_t before, uint64_t after)
{
    return ((double)after - (double)before) / (double)result->plan->clients;
}

static double quantile_ms(const result_t *result, double quantile)
{
    return (double)histogram_quantile(result->latency, quantile) / 1e6;
}

static void print_plan(const result_t *result)
{
    const emitter_plan_t *plan = result->plan;
    printf("%" PRIu64 " clients in %" PRIu64 " room%s over %s, ", plan->clients, plan->rooms,
           plan->rooms == 1 ? "" : "s", result->transport);
    if (plan->rate > 0)
        printf("%g events/s", plan->rate);
    else
        printf("as fast as they are delivered (%" PRIu64 " on their way at most)", plan->window);
    if (plan->burst > 1)
        printf(" in bursts of %" PRIu64, plan->burst);
    printf(", %" PRIu64 " bytes\n\n", result->size);
}

// From the smallest power of two that holds a value up to the largest.
static void print_histogram(const histogram_t *histogram)
{
    uint64_t before = 0;
    for (unsigned bits = 10; before < histogram->count && bits <= HISTOGRAM_BITS; bits++) {
        uint64_t below = histogram_below(histogram, bits);
        double share = (double)(below - before) / (double)histogram->count;
        if (below > 0) {
            printf("  < %10.3f ms  %6.2f %% ", (double)((uint64_t)1 << bits) / 1e6, share * 100);
            for (int i = 0; i < (int)(share * BAR_COLUMNS + 0.5); i++)
                fputs("█", stdout);
            putchar('\n');
        }
        before = below;
    }
}

static void print_server(const result_t *result)
{
    if (result->server_cpu < 0) {
        puts("server CPU   not known: its process was not found (see --pid)");
        return;
    }
    printf("memory       %.2f KB a client (%.2f KB of it anonymous); %.1f MB in all\n",
           bytes_per_client(result, result->before.resident, result->after.resident) / 1000,
           bytes_per_client(result, result->before.anonymous, result->after.anonymous) / 1000,
           (double)result->after.resident / 1e6);
    printf("server CPU   %.3f µs a delivery, %.0f %% of a core (process %ld)\n",
           result_cpu_per_delivery(result), result->server_cpu / result->seconds * 100,
           (long)result->server);
}

void result_print(const result_t *result)
{
    print_plan(result);
    printf("connected    in %.3f s: %.0f clients a second\n", result->connect,
           (double)result->plan->clients / result->connect);
    printf("emitted      %" PRIu64 " events in %.2f s: %.0f a second\n", result->measured_emitted,
           result->seconds, (double)result->measured_emitted / result->seconds);
    printf("delivered    %" PRIu64 ": %.0f a second\n", result->measured_deliveries,
           (double)result->measured_deliveries / result->seconds);
    printf("order        %" PRIu64 " lost, %" PRIu64 " out of order, %" PRIu64 " clients gone\n",
           result->lost, result->misplaced, result->gone);
    printf("latency      p50 %.3f ms, p90 %.3f ms, p99 %.3f ms, max %.3f ms\n",
           quantile_ms(result, 0.5), quantile_ms(result, 0.9), quantile_ms(result, 0.99),
           (double)result->latency->max / 1e6);
    print_server(result);
    printf("bench CPU    %.0f %% of a core\n", result->bench_cpu / result->seconds * 100);
    if (result->waits)
        printf("queue full   %" PRIu64 " times\n", result->waits);
    puts("\nlatency");
    print_histogram(result->latency);
}

static void print_optional(const char *name, bool is_known, double value)
{
    if (is_known)
        printf(",\"%s\":%.6g", name, value);
    else
        printf(",\"%s\":null", name);
}

static void print_json_server(const result_t *result)
{
    bool is_known = result->server_cpu >= 0;
    print_optional("server_pid", is_known, (double)result->server);
    print_optional("server_cpu_us_per_delivery", result_cpu_per_delivery(result) >= 0,
                   result_cpu_per_delivery(result));
    print_optional("server_cpu_share", is_known, result->server_cpu / result->seconds);
    print_optional("server_rss_bytes", is_known, (double)result->after.resident);
    print_optional("rss_bytes_per_client", is_known,
                   bytes_per_client(result, result->before.resident, result->after.resident));
    print_optional("anonymous_bytes_per_client", is_known,
                   bytes_per_client(result, result->before.anonymous, result->after.anonymous));
}

void result_print_json(const result_t *result)
{
    const emitter_plan_t *plan = result->plan;
    const histogram_t *latency = result->latency;
    printf("{\"transport\":\"%s\",\"clients\":%" PRIu64 ",\"rooms\":%" PRIu64
           ",\"rate\":%g,\"burst\":%" PRIu64 ",\"window\":%" PRIu64 ",\"size\":%" PRIu64,
           result->transport, plan->clients, plan->rooms, plan->rate, plan->burst, plan->window,
           result->size);
    printf(",\"seconds\":%.6g,\"connect_seconds\":%.6g,\"connects_per_second\":%.6g",
           result->seconds, result->connect, (double)plan->clients / result->connect);
    printf(",\"emitted\":%" PRIu64 ",\"delivered\":%" PRIu64 ",\"events_per_second\":%.6g"
           ",\"deliveries_per_second\":%.6g",
           result->emitted, result->deliveries, (double)result->measured_emitted / result->seconds,
           (double)result->measured_deliveries / result->seconds);
    printf(",\"lost\":%" PRIu64 ",\"out_of_order\":%" PRIu64 ",\"clients_gone\":%" PRIu64
           ",\"queue_full\":%" PRIu64 ",\"other_packets\":%" PRIu64 ",\"reads\":%" PRIu64,
           result->lost, result->misplaced, result->gone, result->waits, result->others,
           result->reads);
    print_json_server(result);
    printf(",\"bench_cpu_share\":%.6g", result->bench_cpu / result->seconds);
    printf(",\"latency_ms\":{\"count\":%" PRIu64
           ",\"p50\":%.6g,\"p90\":%.6g,\"p99\":%.6g,\"max\":%.6g},\"histogram\":[",
           latency->count, quantile_ms(result, 0.5), quantile_ms(result, 0.9),
           quantile_ms(result, 0.99), (double)latency->max / 1e6);
    // Pairs of an upper bound in milliseconds and how many values lie below it.
    uint64_t before = 0;
    for (unsigned bits = 10; bits <= HISTOGRAM_BITS && before < latency->count; bits++) {
        before = histogram_below(latency, bits);
        printf("%s[%.6g,%" PRIu64 "]", bits == 10 ? "" : ",", (double)((uint64_t)1 << bits) / 1e6,
               before);
    }
    puts("]}");
}
