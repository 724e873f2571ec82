// SPDX-License-Identifier: MIT
// A service of the chaos program that emits by itself until it is told to pause, or killed:
//   chaos_broadcaster ENDPOINT FILE SEED RATE HISTORY SESSIONS
// emits about RATE events a second, alone and in bursts, to the sessions s-0… and now and then to
// everybody. ENDPOINT - is the default bus; HISTORY is history_events.
//
// FILE gets a line `SEQ SESSION MICROSECONDS` for each event that talus_emit took, written at once,
// so that it outlives a kill: at most the last event is not in it. The time is from before the
// call. Standard output: "ready ORIGIN ENDPOINT"; after the line "pause" on standard input
// "paused EMITTED REPLAYED". The end of standard input ends it.

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <talus.h>
#include <time.h>
#include <unistd.h>

enum { BURST_MAX = 40, EVERYBODY_PERCENT = 5, BURST_PERCENT = 8 };

static talus_broadcaster_t *bus;
static int log_file = -1;
static uint64_t random_state;
static unsigned session_count;
static double rate;

// splitmix64
static uint64_t next_random(void)
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static unsigned below(unsigned limit)
{
    return (unsigned)(next_random() % limit);
}

static uint64_t microseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

// {"session_id": session, "n": number}
static size_t encode(unsigned char *out, const char *session, uint64_t number)
{
    size_t size = 0;
    size_t length = strlen(session);
    memcpy(out, "\x82\xaasession_id\xd9", 13);
    size = 13;
    out[size++] = (unsigned char)length;
    memcpy(out + size, session, length);
    size += length;
    memcpy(out + size, "\xa1n\xcf", 3);
    size += 3;
    for (int shift = 56; shift >= 0; shift -= 8)
        out[size++] = (unsigned char)(number >> shift);
    return size;
}

static int emit_one(void)
{
    static uint64_t emitted;
    char session[16] = "";
    unsigned char payload[64];
    char line[128];
    talus_event_id_t id;
    if (below(100) >= EVERYBODY_PERCENT)
        snprintf(session, sizeof session, "s-%u", below(session_count));
    const talus_emit_t event = {
        .session = session,
        .type = "step",
        .data = payload,
        .data_size = encode(payload, session, emitted + 1),
    };
    uint64_t now = microseconds(CLOCK_REALTIME);
    int error = talus_emit(bus, &event, &id);
    if (error)
        return error == TALUS_EQUEUEFULL ? 0 : error;
    emitted++;
    int size = snprintf(line, sizeof line, "%s %s %" PRIu64 "\n", strchr(id.text, '.') + 1,
                        session[0] ? session : "-", now);
    return write(log_file, line, (size_t)size) == size ? 0 : TALUS_ESYSTEM;
}

// Emits what is due now; gives when the next is.
static int emit_due(uint64_t *due)
{
    unsigned burst = below(100) < BURST_PERCENT ? 2 + below(BURST_MAX - 1) : 1;
    for (unsigned i = 0; i < burst; i++) {
        int error = emit_one();
        if (error)
            return error;
    }
    *due += (uint64_t)(burst * 1e6 / rate * (below(1000) + 1) / 500);
    return 0;
}

static void say_paused(void)
{
    talus_broadcaster_stats_t stats;
    if (talus_broadcaster_flush(bus, 10000) != 0)
        fprintf(stderr, "chaos_broadcaster: not everything has left\n");
    talus_broadcaster_stats(bus, &stats);
    printf("paused %" PRIu64 " %" PRIu64 "\n", stats.emitted, stats.replay_events);
    fflush(stdout);
}

// Emits until standard input ends.
static int run(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    bool is_paused = false;
    uint64_t due = microseconds(CLOCK_MONOTONIC);
    for (;;) {
        uint64_t now = microseconds(CLOCK_MONOTONIC);
        int wait = -1;
        if (!is_paused)
            wait = due > now ? (int)((due - now + 999) / 1000) : 0;
        if (poll(&input, 1, wait) > 0) {
            char text[64];
            if (read(STDIN_FILENO, text, sizeof text) <= 0)
                return 0;
            is_paused = true;
            say_paused();
        }
        if (!is_paused && microseconds(CLOCK_MONOTONIC) >= due) {
            int error = emit_due(&due);
            if (error)
                return error;
        }
    }
}

int main(int argc, char **argv)
{
    talus_broadcaster_options_t options;
    if (argc != 7) {
        fprintf(stderr, "usage: chaos_broadcaster ENDPOINT FILE SEED RATE HISTORY SESSIONS\n");
        return 2;
    }
    talus_broadcaster_options_init(&options);
    random_state = strtoull(argv[3], NULL, 10);
    rate = strtod(argv[4], NULL);
    options.history_events = strtoul(argv[5], NULL, 10);
    session_count = (unsigned)strtoul(argv[6], NULL, 10);
    log_file = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log_file < 0 || rate <= 0 || session_count == 0) {
        fprintf(stderr, "chaos_broadcaster: %s: %s\n", argv[2], strerror(errno));
        return 2;
    }
    int error = talus_broadcaster_new(&bus, strcmp(argv[1], "-") == 0 ? NULL : argv[1], &options);
    if (!error) {
        printf("ready %s %s\n", talus_broadcaster_origin(bus), talus_broadcaster_endpoint(bus));
        fflush(stdout);
        error = run();
    }
    talus_broadcaster_destroy(&bus);
    close(log_file);
    if (error)
        fprintf(stderr, "chaos_broadcaster: %s\n", talus_strerror(error));
    return error ? 1 : 0;
}
