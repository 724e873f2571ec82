// SPDX-License-Identifier: MIT
// Rooms: who is in them and what emits to them reach; their order by example (test_sio_order.c has
// it at large); what a burst costs, and the memory that rooms keep.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/session/eio_internal.h"
#include "gateway/session/sio_internal.h"
#include "tests/gateway/session/sio_harness.h"

enum { CLIENTS = 4 };

struct people {
    struct client *clients[CLIENTS];
    struct sio_socket *sockets[CLIENTS];
};

static void open_all(struct people *people, struct sio_harness *harness)
{
    for (int i = 0; i < CLIENTS; i++)
        people->sockets[i] = sio_ws_open(&people->clients[i], harness);
}

static void expect_silence(const struct people *people)
{
    for (int i = 0; i < CLIENTS; i++)
        client_expect_silence(people->clients[i]);
}

static struct sio_room *room_of(struct sio_namespace *nsp, const char *name)
{
    struct tl_node *node = tl_table_find(&nsp->rooms, name, strlen(name));
    return node ? TL_TABLE_ENTRY(node, struct sio_room, node) : NULL;
}

static struct outq *queue_of(const struct sio_socket *socket)
{
    struct transport *transport = socket->session->transport;
    return transport->ops->queue(transport);
}

static unsigned count_ranges(const struct sio_socket *socket)
{
    const struct outq *queue = queue_of(socket);
    return outq_is_empty(queue) ? 0 : 1 + queue->more_count;
}

// ---- Members

static void test_members_come_and_go(void **state)
{
    struct sio_harness *harness = *state;
    struct people people;
    open_all(&people, harness);
    assert_int_equal(sio_room_size(harness->main, "a"), 0);
    assert_false(sio_is_in(people.sockets[0], "a"));
    assert_true(sio_join(people.sockets[0], "a"));
    assert_true(sio_join(people.sockets[0], "a")); // twice is once
    assert_true(sio_join(people.sockets[1], "a"));
    assert_true(sio_join(people.sockets[0], "b"));
    assert_true(sio_is_in(people.sockets[0], "a"));
    assert_false(sio_is_in(people.sockets[1], "b"));
    assert_int_equal(sio_room_size(harness->main, "a"), 2);
    assert_int_equal(sio_room_size(harness->custom, "a"), 0);
    assert_int_equal(bed_metric(&harness->base.bed, GW_ROOMS), 2);
    sio_leave(people.sockets[0], "a");
    sio_leave(people.sockets[0], "a");
    sio_leave(people.sockets[0], "c"); // where it never was
    assert_int_equal(sio_room_size(harness->main, "a"), 1);
    sio_leave(people.sockets[1], "a");
    assert_null(room_of(harness->main, "a"));
    assert_int_equal(bed_metric(&harness->base.bed, GW_ROOMS), 1);
    client_close(people.clients[0]);
    harness_settle(&harness->base);
    assert_null(room_of(harness->main, "b"));
    assert_int_equal(bed_metric(&harness->base.bed, GW_ROOMS), 0);
}

static void test_a_socket_in_many_rooms(void **state)
{
    enum { ROOMS = 100 };
    struct sio_harness *harness = *state;
    struct client *client;
    char name[16];
    char expected[32];
    struct sio_socket *socket = sio_ws_open(&client, harness);
    for (int i = 0; i < ROOMS; i++) {
        snprintf(name, sizeof name, "room %d", i);
        assert_true(sio_join(socket, name));
    }
    for (int i = 0; i < ROOMS; i += 2) {
        snprintf(name, sizeof name, "room %d", i);
        sio_leave(socket, name);
    }
    assert_int_equal(bed_metric(&harness->base.bed, GW_ROOMS), ROOMS / 2);
    for (int i = 0; i < ROOMS; i++) {
        snprintf(name, sizeof name, "room %d", i);
        snprintf(expected, sizeof expected, "[\"%d\"]", i);
        assert_int_equal(sio_room_emit_frames(harness->main, name, expected, NULL), i % 2);
    }
    for (int i = 1; i < ROOMS; i += 2) {
        snprintf(expected, sizeof expected, "42[\"%d\"]", i);
        ws_expect(client, expected);
    }
    client_close(client);
}

// ---- Emits

typedef size_t emit_fn(struct sio_namespace *nsp, const char *room, const char *json,
                       const struct sio_socket *except);
static emit_fn *const emits[] = {sio_room_emit_json, sio_room_emit_frames};

static void test_emits_reach_members(void **state)
{
    struct sio_harness *harness = *state;
    struct people people;
    open_all(&people, harness);
    sio_join(people.sockets[0], "a");
    sio_join(people.sockets[1], "a");
    sio_join(people.sockets[1], "b");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(emits[i](harness->main, "a", "[\"all\"]", NULL), 2);
        assert_int_equal(emits[i](harness->main, "a", "[\"but 0\"]", people.sockets[0]), 1);
        assert_int_equal(emits[i](harness->main, "a", "[\"but 2\"]", people.sockets[2]), 2);
        assert_int_equal(emits[i](harness->main, "b", "[\"b\"]", people.sockets[1]), 0);
        assert_int_equal(emits[i](harness->main, "none", "[\"nobody\"]", NULL), 0);
        assert_int_equal(emits[i](harness->custom, "a", "[\"elsewhere\"]", NULL), 0);
        ws_expect(people.clients[0], "42[\"all\"]");
        ws_expect(people.clients[0], "42[\"but 2\"]");
        ws_expect(people.clients[1], "42[\"all\"]");
        ws_expect(people.clients[1], "42[\"but 0\"]");
        ws_expect(people.clients[1], "42[\"but 2\"]");
        expect_silence(&people);
    }
    // Bus events are counted as deliveries: what came by way of the room's chunk.
    assert_int_equal(bed_metric(&harness->base.bed, GW_PUBLISHED), 2 + 1 + 2);
    for (int i = 0; i < CLIENTS; i++)
        client_close(people.clients[i]);
}

static void test_emits_reach_everybody_in_the_namespace(void **state)
{
    struct sio_harness *harness = *state;
    struct people people;
    struct client *other;
    open_all(&people, harness);
    ws_handshake(&other, &harness->base, WS);
    sio_ws_enter(other, harness, "/custom");
    sio_join(people.sockets[0], "a");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(emits[i](harness->main, NULL, "[\"all\"]", NULL), CLIENTS);
        assert_int_equal(emits[i](harness->main, NULL, "[\"but 0\"]", people.sockets[0]),
                         CLIENTS - 1);
        ws_expect(people.clients[0], "42[\"all\"]");
        for (int at = 1; at < CLIENTS; at++) {
            ws_expect(people.clients[at], "42[\"all\"]");
            ws_expect(people.clients[at], "42[\"but 0\"]");
        }
        expect_silence(&people);
        client_expect_silence(other);
    }
    client_close(other);
}

static void test_several_may_be_excepted(void **state)
{
    struct sio_harness *harness = *state;
    struct people people;
    struct sio_message message = message_of("[\"x\"]");
    open_all(&people, harness);
    for (int i = 0; i < CLIENTS; i++)
        sio_join(people.sockets[i], "a");
    const char *except[] = {sio_socket_id(people.sockets[1]), "nobody",
                            sio_socket_id(people.sockets[3])};
    assert_int_equal(sio_room_emit(harness->main, "a", &message, except, 3), 2);
    assert_int_equal(sio_room_emit(harness->main, "a", &message, NULL, 0), CLIENTS);
    json_decref(message.args);
    ws_expect(people.clients[0], "42[\"x\"]");
    for (int i = 0; i < CLIENTS; i++)
        ws_expect(people.clients[i], "42[\"x\"]");
    ws_expect(people.clients[2], "42[\"x\"]");
    expect_silence(&people);
}

static void test_members_that_poll(void **state)
{
    struct sio_harness *harness = *state;
    struct client *poller;
    struct sid sid, later;
    struct sio_socket *first = sio_polling_open(&sid, harness);
    struct sio_socket *second = sio_polling_open(&later, harness);
    sio_join(first, "a");
    sio_join(second, "a");
    client_open(&poller, &harness->base);
    poll_begin(poller, &sid);
    sio_room_emit_frames(harness->main, "a", "[\"1\"]", NULL);
    sio_room_emit_frames(harness->main, "a", "[\"2\"]", NULL);
    poll_expect(poller, "42[\"1\"]\x1e"
                        "42[\"2\"]"); // a turn's packets in one response
    sio_room_emit_frames(harness->main, "a", "[\"3\"]", NULL);
    harness_settle(&harness->base);
    assert_string_equal(fetch(&harness->base, &later, 200), "42[\"1\"]\x1e"
                                                            "42[\"2\"]\x1e"
                                                            "42[\"3\"]");
    client_close(poller);
}

// ---- Order, by example

static void test_who_joins_gets_what_comes_after(void **state)
{
    struct sio_harness *harness = *state;
    struct people people;
    open_all(&people, harness);
    sio_join(people.sockets[0], "a");
    sio_room_emit_frames(harness->main, "a", "[\"1\"]", NULL);
    sio_join(people.sockets[1], "a");
    sio_room_emit_frames(harness->main, "a", "[\"2\"]", NULL);
    sio_leave(people.sockets[0], "a");
    sio_room_emit_frames(harness->main, "a", "[\"3\"]", NULL);
    ws_expect(people.clients[0], "42[\"1\"]");
    ws_expect(people.clients[0], "42[\"2\"]");
    ws_expect(people.clients[1], "42[\"2\"]");
    ws_expect(people.clients[1], "42[\"3\"]");
    expect_silence(&people);
}

static void ignore_answer(struct sio_socket *socket, const struct sio_message *answer, void *arg)
{
    (void)socket;
    (void)answer;
    (void)arg;
}

static void test_other_ways_of_sending_keep_their_place(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    struct sio_message question = message_of("[\"3\"]");
    struct sio_socket *socket = sio_ws_open(&client, harness);
    sio_join(socket, "a");
    sio_room_emit_frames(harness->main, "a", "[\"1\"]", NULL);
    sio_emit_json(socket, "[\"2\"]");
    sio_emit_with_ack(socket, &question, 1000, ignore_answer, NULL);
    json_decref(question.args);
    sio_room_emit_frames(harness->main, "a", "[\"4\"]", NULL);
    sio_room_emit_json(harness->main, NULL, "[\"5\"]", NULL);
    sio_room_emit_frames(harness->main, "a", "[\"6\"]", NULL);
    sio_join(socket, "b");
    sio_room_emit_frames(harness->main, "b", "[\"7\"]", NULL);
    sio_room_emit_frames(harness->main, "a", "[\"8\"]", NULL);
    sio_leave(socket, "a");
    sio_room_emit_frames(harness->main, "b", "[\"9\"]", NULL);
    sio_socket_disconnect(socket, false);
    sio_room_emit_frames(harness->main, "b", "[\"10\"]", NULL);
    ws_expect(client, "42[\"1\"]");
    ws_expect(client, "42[\"2\"]");
    ws_expect(client, "420[\"3\"]");
    for (int i = 4; i < 10; i++) {
        char expected[16];
        snprintf(expected, sizeof expected, "42[\"%d\"]", i);
        ws_expect(client, expected);
    }
    ws_expect(client, "41");
    client_expect_silence(client);
    client_close(client);
}

static void tell_room(struct sio_socket *socket, const char *reason, void *arg)
{
    struct sio_harness *harness = arg;
    (void)reason;
    if (!harness->data)
        return;
    assert_true(sio_is_in(socket, "a"));
    sio_room_emit_frames(harness->main, "a", "[\"gone\"]", NULL);
    sio_room_emit_json(harness->main, "a", "[\"really\"]", NULL);
}

static void test_the_room_is_told_who_disconnected(void **state)
{
    struct sio_harness *harness = *state;
    struct people people;
    open_all(&people, harness);
    harness->hooks.on_disconnect = tell_room;
    harness->data = harness;
    for (int i = 0; i < 3; i++)
        sio_join(people.sockets[i], "a");
    sio_join(people.sockets[2], "b");
    ws_send(people.clients[0], "41");
    for (int i = 1; i < 3; i++) {
        ws_expect(people.clients[i], "42[\"gone\"]");
        ws_expect(people.clients[i], "42[\"really\"]");
    }
    expect_silence(&people); // the one that left, too
    assert_int_equal(sio_room_size(harness->main, "a"), 2);
    harness->data = NULL;
}

// ---- What it costs

static void test_a_burst_is_one_range(void **state)
{
    enum { BURST = 32 };
    struct sio_harness *harness = *state;
    struct people people;
    open_all(&people, harness);
    for (int i = 0; i < 3; i++)
        sio_join(people.sockets[i], "a");
    sio_join(people.sockets[2], "b");
    // So that the room's chunk has grown to what a burst takes.
    for (int i = 0; i < 3; i++)
        sio_room_emit_frames(harness->main, "a", "[\"a longer message than those below\"]", NULL);
    harness_settle(&harness->base);
    for (int i = 0; i < BURST; i++)
        sio_room_emit_frames(harness->main, "a", "[\"x\"]", i == 10 ? people.sockets[1] : NULL);
    assert_int_equal(count_ranges(people.sockets[2]), 1); // in several rooms: at once
    sio__room_distribute(room_of(harness->main, "a"));
    assert_int_equal(count_ranges(people.sockets[0]), 1);
    assert_int_equal(count_ranges(people.sockets[1]), 2); // the skip splits it
    assert_int_equal(count_ranges(people.sockets[3]), 0);
    assert_int_equal(queue_of(people.sockets[0])->bytes, BURST * strlen("xx42[\"x\"]"));
    assert_int_equal(queue_of(people.sockets[1])->bytes, (BURST - 1) * strlen("xx42[\"x\"]"));
}

static void test_a_quiet_room_uses_its_chunk_again(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    struct sio_socket *socket = sio_ws_open(&client, harness);
    sio_join(socket, "a");
    sio_room_emit_frames(harness->main, "a", "[\"first\"]", NULL);
    const struct chunk *chunk = room_of(harness->main, "a")->chunk;
    uint32_t size = chunk->size;
    for (int i = 0; i < 1000; i++) {
        ws_expect(client, "42[\"first\"]");
        sio_room_emit_frames(harness->main, "a", "[\"first\"]", NULL);
        assert_ptr_equal(room_of(harness->main, "a")->chunk, chunk);
        assert_int_equal(chunk->size, size);
    }
    client_close(client);
}

static void test_a_member_of_one_room_waits_for_the_turns_end(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    struct sio_socket *socket = sio_ws_open(&client, harness);
    sio_join(socket, "a");
    sio_room_emit_frames(harness->main, "a", "[\"1\"]", NULL);
    assert_int_equal(count_ranges(socket), 0);
    sio_join(socket, "b"); // a second room settles it, and makes it get each message at once
    assert_int_equal(count_ranges(socket), 1);
    size_t bytes = queue_of(socket)->bytes;
    sio_room_emit_frames(harness->main, "a", "[\"2\"]", NULL);
    assert_int_equal(queue_of(socket)->bytes, bytes * 2);
    sio_leave(socket, "b");
    sio_room_emit_frames(harness->main, "a", "[\"3\"]", NULL);
    assert_int_equal(queue_of(socket)->bytes, bytes * 2);
    for (int i = 1; i <= 3; i++) {
        char expected[16];
        snprintf(expected, sizeof expected, "42[\"%d\"]", i);
        ws_expect(client, expected);
    }
    client_close(client);
}

// What it is owed is shared with the others and stays as it is, however long that takes.
static void test_who_does_not_read_keeps_its_chunks(void **state)
{
    enum { MESSAGES = 3000 };
    struct sio_harness *harness = *state;
    struct people people;
    char json[64];
    char expected[64];
    open_all(&people, harness);
    for (int i = 0; i < 2; i++)
        sio_join(people.sockets[i], "a");
    people.clients[0]->is_reading = false;
    for (int i = 0; i < MESSAGES; i++) {
        snprintf(json, sizeof json, "[\"%d\",\"%0*d\"]", i, i % 50, 0);
        sio_room_emit_frames(harness->main, "a", json, NULL);
        if (i % 7 == 0)
            bed_turn(&harness->base.bed);
    }
    assert_true(queue_of(people.sockets[0])->bytes > 0);
    people.clients[0]->is_reading = true;
    for (int at = 0; at < 2; at++)
        for (int i = 0; i < MESSAGES; i++) {
            snprintf(expected, sizeof expected, "42[\"%d\",\"%0*d\"]", i, i % 50, 0);
            ws_expect(people.clients[at], expected);
        }
}

static void test_a_large_message_is_not_kept(void **state)
{
    enum { LARGE = 200000, CHUNK_MAX = 65536 };
    struct sio_harness *harness = *state;
    struct people people;
    static char json[LARGE + 8];
    static char expected[LARGE + 16];
    snprintf(json, sizeof json, "[\"%0*d\"]", LARGE, 0);
    snprintf(expected, sizeof expected, "42%s", json);
    open_all(&people, harness);
    for (int i = 0; i < 3; i++)
        sio_join(people.sockets[i], "a");
    sio_join(people.sockets[2], "b");
    for (int i = 0; i < 2; i++) {
        // Both ways of handing it out.
        const struct sio_socket *except = i == 0 ? NULL : people.sockets[1];
        sio_room_emit_frames(harness->main, "a", "[\"before\"]", NULL);
        sio_room_emit_frames(harness->main, "a", json, except);
        sio_room_emit_frames(harness->main, "a", "[\"after\"]", NULL);
        for (int at = 0; at < 3; at++) {
            ws_expect(people.clients[at], "42[\"before\"]");
            if (people.sockets[at] != except)
                ws_expect(people.clients[at], expected);
            ws_expect(people.clients[at], "42[\"after\"]");
        }
        const struct chunk *chunk = room_of(harness->main, "a")->chunk;
        assert_true(!chunk || chunk->capacity <= CHUNK_MAX);
    }
    sio_room_emit_frames(harness->main, "a", json, people.sockets[1]);
    assert_null(room_of(harness->main, "a")->chunk);
    sio_room_emit_frames(harness->main, "a", json, NULL);
    assert_non_null(room_of(harness->main, "a")->chunk); // until the turn's end
    ws_expect(people.clients[0], expected);
    assert_null(room_of(harness->main, "a")->chunk);
}

#define sio_test(name) cmocka_unit_test_setup_teardown(name, sio_setup, sio_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        sio_test(test_members_come_and_go),
        sio_test(test_a_socket_in_many_rooms),
        sio_test(test_emits_reach_members),
        sio_test(test_emits_reach_everybody_in_the_namespace),
        sio_test(test_several_may_be_excepted),
        sio_test(test_members_that_poll),
        sio_test(test_who_joins_gets_what_comes_after),
        sio_test(test_other_ways_of_sending_keep_their_place),
        sio_test(test_the_room_is_told_who_disconnected),
        sio_test(test_a_burst_is_one_range),
        sio_test(test_a_quiet_room_uses_its_chunk_again),
        sio_test(test_a_member_of_one_room_waits_for_the_turns_end),
        sio_test(test_who_does_not_read_keeps_its_chunks),
        sio_test(test_a_large_message_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
