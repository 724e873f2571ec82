// SPDX-License-Identifier: MIT
// What becomes of each copy of an event is counted once, where it happens: at the last byte that
// the kernel took, with the answer to a poll, or at the end of a client that did not get it.
// (test_sio_order.c holds the sum against whole programs of calls.)
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/protocol/sio_frames.h"
#include "gateway/session/sio_internal.h"
#include "tests/gateway/session/sio_harness.h"

enum {
    LARGE = 5003,       // bytes of a message
    SEND_BUFFER = 4608, // the kernel's least, of which it takes a part at a time
};

static void expect_counts(struct sio_harness *harness, int64_t published, int64_t delivered,
                          int64_t dropped)
{
    const struct bed *bed = &harness->base.bed;
    assert_int_equal(bed_metric(bed, GW_PUBLISHED), published);
    assert_int_equal(bed_metric(bed, GW_DELIVERED), delivered);
    assert_int_equal(bed_dropped(bed), dropped);
}

static void emit_large(struct sio_harness *harness, uint64_t index)
{
    static char json[LARGE + 16];
    struct tl_buffer frames;
    memset(json, 'x', sizeof json - 1);
    memcpy(json, "[\"", 2);
    memcpy(json + LARGE, "\"]", 3);
    struct sio_message message = message_of(json);
    tl_buffer_init(&frames, 2 * LARGE);
    assert_true(sio_frames_encode(&frames, SIO_EVENT, "/", SIO_NO_ID, message.args, NULL, 0));
    const struct sio_encoded encoded = {frames.bytes, frames.size, index};
    assert_int_equal(sio_room_emit_encoded(harness->main, "a", &encoded, NULL), 1);
    tl_buffer_fini(&frames);
    json_decref(message.args);
    harness_settle(&harness->base);
}

// Emits to a client that does not read until the kernel takes no more, and then two more; returns
// how many in all. The first one's index is 1.
static int64_t fill(struct sio_harness *harness, struct client *client)
{
    const struct bed *bed = &harness->base.bed;
    uint64_t index = 0;
    client->is_reading = false;
    while (bed_metric(bed, GW_DELIVERED) == bed_metric(bed, GW_PUBLISHED))
        emit_large(harness, ++index);
    emit_large(harness, ++index);
    emit_large(harness, ++index);
    return (int64_t)index;
}

// Takes the whole frames out of what the client has; `rest` receives the size of what is left.
static int64_t count_frames(struct client *client, size_t *rest)
{
    int64_t count = 0;
    size_t used = 0;
    size_t frame;
    do {
        enum ws_opcode opcode;
        const uint8_t *payload;
        size_t size;
        frame = ws_split_server_frame(client->in.bytes + used, client->in.size - used, &opcode,
                                      &payload, &size);
        used += frame;
        count += frame > 0;
    } while (frame > 0 && used < client->in.size);
    *rest = client->in.size - used;
    return count;
}

static void test_a_message_counts_at_its_last_byte(void **state)
{
    struct sio_harness *harness = *state;
    const struct bed *bed = &harness->base.bed;
    struct client *client;
    harness->base.send_buffer = SEND_BUFFER;
    sio_join(sio_ws_open(&client, harness), "a");
    int64_t published = fill(harness, client);
    int64_t delivered = bed_metric(bed, GW_DELIVERED);
    assert_true(delivered <= published - 3);
    expect_counts(harness, published, delivered, 0);
    client->is_reading = true;
    for (int64_t i = 0; i < published; i++) {
        enum ws_opcode opcode;
        size_t size;
        ws_read_frame(client, &opcode, &size);
        assert_int_equal(size, LARGE + 2 + strlen("42"));
    }
    expect_counts(harness, published, published, 0);
    client_close(client);
    sio_forget_log(harness);
    expect_counts(harness, published, published, 0);
}

static void take_unsent(struct sio_socket *socket, const char *reason, void *arg)
{
    struct sio_harness *harness = arg;
    (void)reason;
    if (harness->data)
        sio_socket_take_unsent(socket, harness->data);
}

// What the kernel has taken reaches the client, however its connection ends; the message that was
// cut in two does not, and counts as the first one that it did not get.
static void end_a_client_that_does_not_read(struct sio_harness *harness, struct unsent *unsent)
{
    const struct bed *bed = &harness->base.bed;
    struct client *client;
    size_t rest;
    harness->base.send_buffer = SEND_BUFFER;
    struct sio_socket *socket = sio_ws_open(&client, harness);
    sio_join(socket, "a");
    harness->hooks.on_disconnect = take_unsent;
    harness->data = unsent;
    int64_t published = fill(harness, client);
    int64_t delivered = bed_metric(bed, GW_DELIVERED);
    sio_socket_drop(socket);
    harness_settle(&harness->base);
    client->is_reading = true;
    client_wait_over(client);
    assert_int_equal(count_frames(client, &rest), delivered);
    assert_true(rest > 0);
    int64_t missed = published - delivered;
    expect_counts(harness, published, delivered, unsent ? 0 : missed);
    assert_int_equal(bed_metric(bed, GW_DROPPED_FORCED_CLOSE), unsent ? 0 : missed);
    if (unsent) {
        assert_int_equal(unsent->events, missed);
        assert_int_equal(unsent->first, delivered + 1);
        assert_int_equal(unsent->others, 0);
    }
    client_close(client);
    sio_forget_log(harness);
    harness->data = NULL;
}

static void test_a_message_that_was_cut_in_two_is_dropped(void **state)
{
    end_a_client_that_does_not_read(*state, NULL);
}

static void test_what_was_not_written_can_be_taken_over(void **state)
{
    struct unsent unsent;
    end_a_client_that_does_not_read(*state, &unsent);
}

static void test_what_no_log_has_cannot_be_taken_over(void **state)
{
    struct sio_harness *harness = *state;
    struct unsent unsent;
    struct sid sid;
    sio_join(sio_polling_open(&sid, harness), "a");
    harness->hooks.on_disconnect = take_unsent;
    harness->data = &unsent;
    emit_large(harness, 7);
    sio_room_emit_frames(harness->main, "a", "[\"presence\"]", NULL);
    emit_large(harness, 8);
    post(&harness->base, &sid, "1");
    sio_forget_log(harness);
    assert_int_equal(unsent.events, 2);
    assert_int_equal(unsent.first, 7);
    expect_counts(harness, 3, 0, 1);
    assert_int_equal(bed_metric(&harness->base.bed, GW_DROPPED_CLOSE), 1);
    harness->data = NULL;
}

static void test_polling_counts_with_the_answer(void **state)
{
    struct sio_harness *harness = *state;
    struct sid sid;
    sio_join(sio_polling_open(&sid, harness), "a");
    sio_room_emit_frames(harness->main, "a", "[1]", NULL);
    sio_room_emit_frames(harness->main, "a", "[2]", NULL);
    harness_settle(&harness->base);
    expect_counts(harness, 2, 0, 0);
    assert_string_equal(fetch(&harness->base, &sid, 200), "42[1]\x1e"
                                                          "42[2]");
    expect_counts(harness, 2, 2, 0);
    sio_room_emit_frames(harness->main, "a", "[3]", NULL);
    post(&harness->base, &sid, "1");
    sio_forget_log(harness);
    expect_counts(harness, 3, 2, 1);
}

static void test_an_answer_that_is_not_taken_is_dropped(void **state)
{
    enum { COUNT = 12 }; // together less than MAX_QUEUE
    struct sio_harness *harness = *state;
    struct client *poll;
    struct client *other;
    struct sid sid;
    sio_join(sio_polling_open(&sid, harness), "a");
    client_open(&poll, &harness->base);
    poll->is_reading = false;
    // Until the kernel is full, the answers are counted as they are written.
    int64_t published = 0;
    for (int64_t written = 0; written == published;) {
        client_request(poll, "GET", poll_target(&sid), "", NULL);
        for (int i = 0; i < COUNT; i++)
            emit_large(harness, (uint64_t)++published);
        written = bed_metric(&harness->base.bed, GW_DELIVERED);
    }
    int64_t delivered = bed_metric(&harness->base.bed, GW_DELIVERED);
    assert_true(delivered < published);
    client_close(poll);
    harness_settle(&harness->base);
    client_open(&other, &harness->base);
    client_request(other, "POST", poll_target(&sid), "", "1");
    sio_forget_log(harness);
    client_close(other);
    expect_counts(harness, published, delivered, published - delivered);
}

// A copy that nobody can make good is dropped for the reason of its client's end.
static void test_a_drop_has_the_reason_of_the_end(void **state)
{
    static const struct {
        const char *reason;
        enum gw_metric metric;
    } ends[] = {
        {"ping timeout", GW_DROPPED_PING_TIMEOUT}, {"transport error", GW_DROPPED_ERROR},
        {"parse error", GW_DROPPED_ERROR},         {"forced close", GW_DROPPED_FORCED_CLOSE},
        {"transport close", GW_DROPPED_CLOSE},
    };
    struct sio_harness *harness = *state;
    const struct bed *bed = &harness->base.bed;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct sid sid;
        struct sio_socket *socket = sio_polling_open(&sid, harness);
        int64_t before = bed_metric(bed, ends[i].metric);
        sio_join(socket, "a");
        sio_room_emit_frames(harness->main, "a", "[1]", NULL);
        harness_settle(&harness->base);
        eio_session_abort(socket->session, ends[i].reason);
        sio_forget_log(harness);
        assert_int_equal(bed_metric(bed, ends[i].metric), before + 1);
    }
    expect_counts(harness, 5, 0, 5);
}

static void test_an_upgrade_counts_nothing_twice(void **state)
{
    struct sio_harness *harness = *state;
    struct client *websocket;
    struct sid sid;
    sio_join(sio_polling_open(&sid, harness), "a");
    sio_room_emit_frames(harness->main, "a", "[1]", NULL);
    assert_string_equal(fetch(&harness->base, &sid, 200), "42[1]");
    ws_open_probe(&websocket, &harness->base, &sid);
    ws_send(websocket, "2probe");
    ws_expect(websocket, "3probe");
    sio_room_emit_frames(harness->main, "a", "[2]", NULL);
    sio_room_emit_frames(harness->main, "a", "[3]", NULL);
    harness_settle(&harness->base);
    expect_counts(harness, 3, 1, 0);
    ws_send(websocket, "5");
    ws_expect(websocket, "42[2]");
    ws_expect(websocket, "42[3]");
    sio_room_emit_frames(harness->main, "a", "[4]", NULL);
    ws_expect(websocket, "42[4]");
    expect_counts(harness, 4, 4, 0);
    client_close(websocket);
    sio_forget_log(harness);
    expect_counts(harness, 4, 4, 0);
}

static void test_a_client_without_binary_frames_is_counted_alike(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    ws_handshake(&client, &harness->base, WS "&b64=1");
    sio_join(sio_ws_enter(client, harness, "/"), "a");
    sio_room_emit_frames(harness->main, "a", "[1]", NULL);
    sio_room_emit_frames(harness->main, "a", "[2]", NULL);
    ws_expect(client, "42[1]");
    ws_expect(client, "42[2]");
    expect_counts(harness, 2, 2, 0);
    client_close(client);
    sio_forget_log(harness);
}

static void emit_missed(struct sio_socket *socket)
{
    static const char *const texts[] = {"[1]", "[2]", "[3]"};
    struct sio_missed_copy copies[] = {
        {4, 0, COPY_RESENT}, {5, 0, COPY_RECOVERED}, {0, 0, COPY_CAUGHT_UP}};
    struct tl_buffer frames;
    tl_buffer_init(&frames, 1024);
    for (int i = 0; i < 3; i++) {
        struct sio_message message = message_of(texts[i]);
        assert_true(sio_frames_encode(&frames, SIO_EVENT, "/", SIO_NO_ID, message.args, NULL, 0));
        copies[i].end = (uint32_t)frames.size;
        json_decref(message.args);
    }
    const struct sio_missed missed = {frames.bytes, frames.size, copies, 3};
    assert_true(sio_emit_missed(socket, &missed));
    tl_buffer_fini(&frames);
}

static void test_what_was_missed_is_counted_apart(void **state)
{
    struct sio_harness *harness = *state;
    const struct bed *bed = &harness->base.bed;
    struct client *client;
    struct sid sid;
    emit_missed(sio_ws_open(&client, harness));
    ws_expect(client, "42[1]");
    ws_expect(client, "42[2]");
    ws_expect(client, "42[3]");
    assert_int_equal(bed_metric(bed, GW_RECOVERED_COPIES), 2);
    assert_int_equal(bed_metric(bed, GW_RESENT), 1);
    emit_missed(sio_polling_open(&sid, harness));
    fetch(&harness->base, &sid, 200);
    assert_int_equal(bed_metric(bed, GW_RECOVERED_COPIES), 4);
    assert_int_equal(bed_metric(bed, GW_RESENT), 2);
    expect_counts(harness, 0, 0, 0);
    client_close(client);
    post(&harness->base, &sid, "1");
    sio_forget_log(harness);
}

static void test_what_was_missed_and_not_written_is_owed_still(void **state)
{
    struct sio_harness *harness = *state;
    struct unsent unsent;
    struct sid sid;
    struct sio_socket *socket = sio_polling_open(&sid, harness);
    harness->hooks.on_disconnect = take_unsent;
    harness->data = &unsent;
    emit_missed(socket);
    post(&harness->base, &sid, "1");
    sio_forget_log(harness);
    assert_int_equal(unsent.events, 1);
    assert_int_equal(unsent.first, 5);
    expect_counts(harness, 0, 0, 1); // what a log does not have; that resent was counted before
    harness->data = NULL;
}

static void test_what_comes_at_the_end_is_counted(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    struct sio_socket *socket = sio_ws_open(&client, harness);
    sio_join(socket, "a");
    sio_socket_disconnect(socket, false);
    sio_room_emit_frames(harness->main, "a", "[1]", NULL);
    harness_settle(&harness->base);
    expect_counts(harness, 1, 0, 1);
    assert_int_equal(bed_metric(&harness->base.bed, GW_DROPPED_DISCONNECT), 1);
    client_close(client);
    sio_forget_log(harness);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, sio_setup, sio_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_message_counts_at_its_last_byte),
        TEST(test_a_message_that_was_cut_in_two_is_dropped),
        TEST(test_what_was_not_written_can_be_taken_over),
        TEST(test_what_no_log_has_cannot_be_taken_over),
        TEST(test_polling_counts_with_the_answer),
        TEST(test_a_drop_has_the_reason_of_the_end),
        TEST(test_an_answer_that_is_not_taken_is_dropped),
        TEST(test_an_upgrade_counts_nothing_twice),
        TEST(test_a_client_without_binary_frames_is_counted_alike),
        TEST(test_what_was_missed_is_counted_apart),
        TEST(test_what_was_missed_and_not_written_is_owed_still),
        TEST(test_what_comes_at_the_end_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
