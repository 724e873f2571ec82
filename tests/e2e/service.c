// SPDX-License-Identifier: MIT
// A small service on libtalus for the end-to-end tests. It obeys lines on standard input:
//   typed SESSION                all fourteen typed events, in the order of the table
//   emit SESSION TYPE NUMBER     one event with the payload {"n": NUMBER}; SESSION - is everybody
//   skip SESSION TYPE CLIENT     one event that CLIENT is not to receive
//   binary SESSION TYPE          one event with the payload {"bytes": <5 bytes>}
//   large SESSION TYPE BYTES     one event with a string of so many bytes as its payload
//   flood SESSION COUNT RATE     COUNT events "tick" {"n": 1…} at RATE a second (0: at once)
// and answers each event with its id on a line of standard output. It is ready once the bus has a
// subscriber that is; then it prints "ready ORIGIN".

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <talus.h>
#include <time.h>

static talus_broadcaster_t *bus;

static void say(talus_error_t error, const talus_event_id_t *id)
{
    if (error)
        printf("error %s\n", talus_error_name(error));
    else
        printf("id %s\n", id->text);
}

static int emit(const char *session, const char *type, const void *data, size_t size,
                const char *except, talus_event_id_t *id)
{
    const talus_emit_t event = {
        .session = strcmp(session, "-") == 0 ? NULL : session,
        .type = type,
        .data = data,
        .data_size = size,
        .except = except,
    };
    return talus_emit(bus, &event, id);
}

// {"n": number}
static size_t encode_number(unsigned char out[16], unsigned long number)
{
    memcpy(out, "\x81\xa1n\xce", 4);
    for (int i = 0; i < 4; i++)
        out[4 + i] = (unsigned char)(number >> (24 - 8 * i));
    return 8;
}

static void typed(const char *session)
{
    talus_event_id_t id;
    const talus_value_t was = talus_double(1.5);
    const talus_value_t is = talus_msgpack("\x93\x01\xa1x\xc0", 5); // [1, "x", null]
    say(talus_emit_node_created(bus, session, "n1", NULL, "blur", "Größe \"A\"", &id), &id);
    say(talus_emit_node_deleted(bus, session, "n1", &id), &id);
    say(talus_emit_node_updated(bus, session, "n1", &id), &id);
    say(talus_emit_node_linked(bus, session, "n0", "n1", &id), &id);
    say(talus_emit_node_unlinked(bus, session, "n0", "n1", &id), &id);
    say(talus_emit_property_changed(bus, session, "n1", "radius", was, is, &id), &id);
    say(talus_emit_property_deleted(bus, session, "n1", "radius", &id), &id);
    say(talus_emit_command_executing(bus, session, "c1", "create", &id), &id);
    say(talus_emit_command_executed(bus, session, "c1", false, "no such node", &id), &id);
    say(talus_emit_undo(bus, session, "c1", &id), &id);
    say(talus_emit_redo(bus, session, "c1", &id), &id);
    say(talus_emit_session_connected(bus, session, "someone", &id), &id);
    say(talus_emit_session_disconnected(bus, session, "someone", &id), &id);
    say(talus_emit_external_template_update(bus, session, "t1", &id), &id);
}

// BYTES: up to 2^32 - 1.
static int large(const char *session, const char *type, size_t size, talus_event_id_t *id)
{
    unsigned char *data = malloc(size + 5);
    if (!data)
        return TALUS_ENOMEM;
    data[0] = 0xdb;
    for (int i = 0; i < 4; i++)
        data[1 + i] = (unsigned char)(size >> (24 - 8 * i));
    memset(data + 5, 'x', size);
    talus_error_t error = emit(session, type, data, size + 5, NULL, id);
    free(data);
    return error;
}

static void flood(const char *session, unsigned long count, unsigned long rate)
{
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    for (unsigned long i = 1; i <= count; i++) {
        unsigned char data[16];
        talus_event_id_t id;
        size_t size = encode_number(data, i);
        talus_error_t error;
        while ((error = emit(session, "tick", data, size, NULL, &id)) == TALUS_EQUEUEFULL)
            if (talus_broadcaster_flush(bus, 1000) != 0)
                break;
        if (error)
            say(error, &id);
        if (rate == 0)
            continue;
        due.tv_nsec += (long)(1000000000 / rate);
        due.tv_sec += due.tv_nsec / 1000000000;
        due.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    }
    printf("flooded %lu\n", count);
}

static void obey(const char *verb, const char *session, const char *third, const char *fourth)
{
    talus_event_id_t id;
    unsigned char data[16];
    if (strcmp(verb, "typed") == 0)
        typed(session);
    else if (strcmp(verb, "emit") == 0)
        say(emit(session, third, data, encode_number(data, strtoul(fourth, NULL, 10)), NULL, &id),
            &id);
    else if (strcmp(verb, "large") == 0)
        say(large(session, third, strtoul(fourth, NULL, 10), &id), &id);
    else if (strcmp(verb, "skip") == 0)
        say(emit(session, third, NULL, 0, fourth, &id), &id);
    else if (strcmp(verb, "binary") == 0)
        say(emit(session, third,
                 "\x81\xa5"
                 "bytes\xc4\x05\x00\x01\xff\x80\x7f",
                 14, NULL, &id),
            &id);
    else if (strcmp(verb, "flood") == 0)
        flood(session, strtoul(third, NULL, 10), strtoul(fourth, NULL, 10));
    else
        printf("error what is %s?\n", verb);
}

int main(void)
{
    char line[512];
    talus_error_t error = talus_broadcaster_new(&bus, NULL, NULL);
    if (!error)
        error = talus_broadcaster_wait_subscribers(bus, 1, 10000, NULL);
    if (error) {
        fprintf(stderr, "e2e_service: %s\n", talus_strerror(error));
        return 1;
    }
    printf("ready %s\n", talus_broadcaster_origin(bus));
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        char verb[32] = "";
        char session[160] = "";
        char third[128] = "";
        char fourth[64] = "";
        sscanf(line, "%31s %159s %127s %63s", verb, session, third, fourth);
        obey(verb, session, third, fourth);
        fflush(stdout);
    }
    talus_broadcaster_destroy(&bus);
    return 0;
}
