// SPDX-License-Identifier: MIT
// A subscriber of the chaos program:
//   chaos_subscriber ENDPOINTS FILE SESSION…
// joins the sessions (- is everybody), takes no event that is larger than MAX_BODY, and writes what
// it gets to FILE, a JSON array a line, as the clients' logs have it (support/consumer.mjs).
// Standard output: "ready"; at the end of standard input, which ends it, "healed EVENTS gaps GAPS".

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <talus.h>
#include <time.h>
#include <unistd.h>

enum { MAX_BODY = 4096 }; // bytes; less than some events have: each is a gap of its own

static FILE *out;

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
        fprintf(out, "[%.3f,\"joined\",\"%s\",\"%s\"]\n", now, delivery->session, delivery->newest);
    } else if (delivery->kind == TALUS_DELIVERY_GAP) {
        fprintf(out, "[%.3f,\"gap\",\"%s\",\"%s\",\"%s\",\"%s\"]\n", now, delivery->session,
                delivery->after, delivery->first, talus_gap_reason_name(delivery->reason));
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

static int run(talus_subscriber_t *bus)
{
    struct pollfd watched[] = {
        {.fd = STDIN_FILENO, .events = POLLIN},
        {.fd = talus_subscriber_descriptor(bus), .events = POLLIN},
    };
    for (;;) {
        if (poll(watched, 2, -1) < 0 && errno != EINTR)
            return TALUS_ESYSTEM;
        int error = receive_all(bus);
        if (error || watched[0].revents)
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
    if (argc < 4 || !(out = fopen(argv[2], "a"))) {
        fprintf(stderr, "usage: chaos_subscriber ENDPOINTS FILE SESSION…\n");
        return 2;
    }
    int error = talus_subscriber_new(&bus, argv[1], &options);
    for (int i = 3; i < argc && !error; i++) {
        const char *session = strcmp(argv[i], "-") == 0 ? "" : argv[i];
        fprintf(out, "[%.3f,\"ask\",\"%s\"]\n", milliseconds(), session);
        error = talus_subscriber_join(bus, session);
    }
    if (!error) {
        printf("ready\n");
        fflush(stdout);
        error = run(bus);
    }
    if (error) {
        fprintf(stderr, "chaos_subscriber: %s\n", talus_strerror(error));
    } else {
        talus_subscriber_stats(bus, &stats);
        printf("healed %" PRIu64 " gaps %" PRIu64 "\n", stats.healed, stats.gaps);
    }
    talus_subscriber_destroy(&bus);
    fclose(out);
    return error ? 1 : 0;
}
