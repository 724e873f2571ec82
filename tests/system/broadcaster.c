// SPDX-License-Identifier: MIT
// A service of the chaos program that emits by itself until it is told to pause, or killed:
//   chaos_broadcaster ENDPOINT FILE SEED RATE HISTORY QUEUE SOLO SESSIONS [EVENTS END]
// emits about RATE events a second, alone and in bursts, small ones and now and then a large one,
// to the sessions s-0…, seldom to q-0…, to the session SOLO (-: none), which it has for itself, and
// to everybody. With EVENTS it lives only to emit so many at once, and to end: in good order
// ("end"), or by SIGKILL ("kill"). ENDPOINT - is the default bus; HISTORY is history_events, QUEUE
// queue_events (0: the default).
//
// FILE gets a line `SEQ SESSION MICROSECONDS N` for each event that talus_emit took, written at
// once, so that it outlives a kill: at most the last event is not in it. N is the payload's number;
// the time is from before the call. What the full queue refused is `refused SESSION MICROSECONDS
// N`: no event, so no other event's payload has that N.
//
// Standard output: "ready ORIGIN ENDPOINT"; after the line "pause" on standard input
// "paused EMITTED REPLAYED"; "burst COUNT BYTES SESSION" emits so many at once. The end of standard
// input ends it.

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <talus.h>
#include <time.h>
#include <unistd.h>

enum {
    BURST_MAX = 40,
    EVERYBODY_PERCENT = 5,
    SOLO_PERCENT = 15,
    QUIET_PERCENT = 3,
    QUIET_SESSIONS = 4,
    BURST_PERCENT = 8,
    LARGE_PERCENT = 1,
    LARGE_BYTES = 6000,
    PADDING_MAX = 64 << 10, // bytes
    PAYLOAD_MAX = PADDING_MAX + 64,
};

static talus_broadcaster_t *bus;
static int log_file = -1;
static uint64_t random_state;
static unsigned session_count;
static double rate;
static const char *solo; // NULL: none

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

// {"session_id": session, "n": number, "p": padding}
static size_t encode(unsigned char *out, const char *session, uint64_t number, size_t padding)
{
    size_t size = 0;
    size_t length = strlen(session);
    memcpy(out, "\x83\xaasession_id\xd9", 13);
    size = 13;
    out[size++] = (unsigned char)length;
    memcpy(out + size, session, length);
    size += length;
    memcpy(out + size, "\xa1n\xcf", 3);
    size += 3;
    for (int shift = 56; shift >= 0; shift -= 8)
        out[size++] = (unsigned char)(number >> shift);
    memcpy(out + size, "\xa1p\xdb", 3);
    size += 3;
    for (int shift = 24; shift >= 0; shift -= 8)
        out[size++] = (unsigned char)(padding >> shift);
    memset(out + size, '.', padding);
    return size + padding;
}

// Emits, and notes what became of it.
static int emit_to(const char *session, size_t padding)
{
    static uint64_t tried;
    static unsigned char payload[PAYLOAD_MAX];
    char line[128];
    talus_event_id_t id = {"refused"};
    tried++;
    const talus_emit_t event = {
        .session = session,
        .type = "step",
        .data = payload,
        .data_size = encode(payload, session, tried, padding),
    };
    uint64_t now = microseconds(CLOCK_REALTIME);
    talus_error_t error = talus_emit(bus, &event, &id);
    if (error && error != TALUS_EQUEUEFULL)
        return error;
    const char *seq = error ? "refused" : strchr(id.text, '.') + 1;
    int size = snprintf(line, sizeof line, "%s %s %" PRIu64 " %" PRIu64 "\n", seq,
                        session[0] ? session : "-", now, tried);
    return write(log_file, line, (size_t)size) == size ? 0 : TALUS_ESYSTEM;
}

static int emit_one(void)
{
    char session[16] = "";
    unsigned choice = below(100);
    size_t padding = below(100) < LARGE_PERCENT ? LARGE_BYTES : 0;
    if (solo && choice < SOLO_PERCENT)
        return emit_to(solo, padding);
    if (choice >= 100 - EVERYBODY_PERCENT - QUIET_PERCENT && choice < 100 - EVERYBODY_PERCENT)
        snprintf(session, sizeof session, "q-%u", below(QUIET_SESSIONS));
    else if (choice < 100 - EVERYBODY_PERCENT)
        snprintf(session, sizeof session, "s-%u", below(session_count));
    return emit_to(session, padding);
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

static int burst(const char *command)
{
    unsigned count;
    unsigned padding;
    char session[16];
    if (sscanf(command, "burst %u %u %15s", &count, &padding, session) != 3 ||
        padding > PADDING_MAX)
        return TALUS_EINVAL;
    for (unsigned i = 0; i < count; i++) {
        int error = emit_to(session, padding);
        if (error)
            return error;
    }
    return 0;
}

// Does what the lines say that have come. Returns 0, an error, or 1 at the end of them.
static int obey(bool *is_paused)
{
    static char text[256];
    static size_t size;
    ssize_t added = read(STDIN_FILENO, text + size, sizeof text - 1 - size);
    if (added <= 0)
        return 1;
    size += (size_t)added;
    text[size] = '\0';
    char *line = text;
    for (char *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        int error = 0;
        if (strcmp(line, "pause") == 0) {
            *is_paused = true;
            say_paused();
        } else if (!*is_paused) {
            error = burst(line);
        }
        if (error)
            return error;
    }
    size = strlen(line);
    memmove(text, line, size);
    return 0;
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
        int error = 0;
        if (!is_paused)
            wait = due > now ? (int)((due - now + 999) / 1000) : 0;
        if (poll(&input, 1, wait) > 0)
            error = obey(&is_paused);
        else if (!is_paused && microseconds(CLOCK_MONOTONIC) >= due)
            error = emit_due(&due);
        if (error)
            return error > 0 ? 0 : error;
    }
}

// A life that is over with its last emit.
static int live_shortly(unsigned long events, bool is_killed)
{
    for (unsigned long i = 0; i < events; i++) {
        int error = emit_one();
        if (error)
            return error;
    }
    if (is_killed)
        raise(SIGKILL);
    return 0;
}

int main(int argc, char **argv)
{
    talus_broadcaster_options_t options;
    if (argc != 9 && argc != 11) {
        fprintf(stderr, "usage: chaos_broadcaster ENDPOINT FILE SEED RATE HISTORY QUEUE SOLO "
                        "SESSIONS [EVENTS END]\n");
        return 2;
    }
    talus_broadcaster_options_init(&options);
    random_state = strtoull(argv[3], NULL, 10);
    rate = strtod(argv[4], NULL);
    options.history_events = strtoul(argv[5], NULL, 10);
    if (strcmp(argv[6], "0") != 0)
        options.queue_events = strtoul(argv[6], NULL, 10);
    solo = strcmp(argv[7], "-") == 0 ? NULL : argv[7];
    session_count = (unsigned)strtoul(argv[8], NULL, 10);
    log_file = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log_file < 0 || rate <= 0 || session_count == 0) {
        fprintf(stderr, "chaos_broadcaster: %s: %s\n", argv[2], strerror(errno));
        return 2;
    }
    talus_error_t error =
        talus_broadcaster_new(&bus, strcmp(argv[1], "-") == 0 ? NULL : argv[1], &options);
    if (!error) {
        printf("ready %s %s\n", talus_broadcaster_origin(bus), talus_broadcaster_endpoint(bus));
        fflush(stdout);
        error = argc == 11 ? live_shortly(strtoul(argv[9], NULL, 10), strcmp(argv[10], "kill") == 0)
                           : run();
    }
    talus_broadcaster_destroy(&bus);
    close(log_file);
    if (error)
        fprintf(stderr, "chaos_broadcaster: %s\n", talus_strerror(error));
    return error ? 1 : 0;
}
