// SPDX-License-Identifier: MIT
// A subscriber of the chaos program:
//   chaos_subscriber ENDPOINTS FILE MESSAGES SESSION…
// joins the sessions (- is everybody), takes no event that is larger than MAX_BODY, and writes what
// it gets to FILE, a JSON array a line, as the clients' logs have it (support/consumer.mjs).
// MESSAGES is its receive high-water mark (0: the default).
//
// Standard input: "stand MS" has it receive nothing for so long. Standard output: "ready" when all
// sessions are live; at the end of standard input, which ends it, "healed EVENTS gaps GAPS".

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <talus.h>
#include <time.h>
#include <unistd.h>

enum { MAX_BODY = 4096 }; // bytes; less than some events have: each is a gap of its own

static FILE *out;
static int waited_for; // sessions that were joined and are not live yet

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void note(const talus_delivery_t *delivery)
{
    double now = milliseconds();
    if (delivery->kind == TALUS_DELIVERY_LIVE) {
        fprintf(out, "[%.3f,\"joined\",\"%s\",\"%s\"]\n", now, delivery->session,
                delivery->live.newest);
        if (--waited_for == 0) {
            printf("ready\n");
            fflush(stdout);
        }
    } else if (delivery->kind == TALUS_DELIVERY_GAP) {
        fprintf(out, "[%.3f,\"gap\",\"%s\",\"%s\",\"%s\",\"%s\"]\n", now, delivery->session,
                delivery->gap.after, delivery->gap.first,
                talus_gap_reason_name(delivery->gap.reason));
    } else if (delivery->kind == TALUS_DELIVERY_EVENT) {
        char text[24] = "null";
        talus_value_t number;
        if (talus_event_field(delivery->event, "n", &number) == 0)
            snprintf(text, sizeof text, "%" PRIu64, number.as.u64);
        fprintf(out, "[%.3f,\"event\",\"%s\",\"%s\",%s]\n", now, delivery->session,
                delivery->event->id, text);
    }
}

static int receive_all(talus_subscriber_t *bus)
{
    const talus_delivery_t *delivery;
    int error;
    while ((error = talus_subscriber_receive(bus, 0, &delivery)) == 0)
        note(delivery);
    fflush(out);
    return error == TALUS_ETIMEOUT ? 0 : error;
}

// Does what the lines of standard input say: gives when it receives again, in milliseconds.
// Returns false at the end of them.
static bool obey(double *stands_until)
{
    static char text[256];
    static size_t size;
    ssize_t added = read(STDIN_FILENO, text + size, sizeof text - 1 - size);
    if (added <= 0)
        return false;
    size += (size_t)added;
    text[size] = '\0';
    char *line = text;
    for (char *end; (end = strchr(line, '\n')); line = end + 1) {
        int duration;
        if (sscanf(line, "stand %d", &duration) == 1)
            *stands_until = milliseconds() + duration;
    }
    size = strlen(line);
    memmove(text, line, size);
    return true;
}

static int run(talus_subscriber_t *bus)
{
    double stands_until = 0;
    struct pollfd watched[] = {
        {.fd = STDIN_FILENO, .events = POLLIN},
        {.fd = talus_subscriber_descriptor(bus), .events = POLLIN},
    };
    for (;;) {
        double rest = stands_until - milliseconds();
        bool stands = rest > 0;
        if (poll(watched, stands ? 1 : 2, stands ? (int)rest + 1 : -1) < 0 && errno != EINTR)
            return TALUS_ESYSTEM;
        bool is_over = watched[0].revents && !obey(&stands_until);
        int error = stands && !is_over ? 0 : receive_all(bus);
        if (error || is_over)
            return error;
    }
}

int main(int argc, char **argv)
{
    talus_subscriber_t *bus = NULL;
    talus_subscriber_stats_t stats;
    talus_subscriber_options_t options;
    talus_subscriber_options_init(&options);
    options.max_body = MAX_BODY;
    if (argc < 5 || !(out = fopen(argv[2], "a"))) {
        fprintf(stderr, "usage: chaos_subscriber ENDPOINTS FILE MESSAGES SESSION…\n");
        return 2;
    }
    if (strcmp(argv[3], "0") != 0)
        options.receive_high_water_mark = (int)strtol(argv[3], NULL, 10);
    talus_error_t error = talus_subscriber_new(&bus, argv[1], &options);
    waited_for = argc - 4;
    for (int i = 4; i < argc && !error; i++) {
        const char *session = strcmp(argv[i], "-") == 0 ? "" : argv[i];
        fprintf(out, "[%.3f,\"ask\",\"%s\"]\n", milliseconds(), session);
        error = talus_subscriber_join(bus, session);
    }
    if (!error)
        error = run(bus);
    if (error) {
        fprintf(stderr, "chaos_subscriber: %s\n", talus_strerror(error));
    } else {
        talus_subscriber_stats(bus, &stats);
        printf("healed %" PRIu64 " gaps %" PRIu64 "\n", stats.repaired, stats.gaps);
    }
    talus_subscriber_destroy(&bus);
    fclose(out);
    return error ? 1 : 0;
}
