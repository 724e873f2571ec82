// SPDX-License-Identifier: MIT
// The upgrade from polling to WebSocket: nothing lost, nothing reordered, and no way to spoil the
// session by a failed attempt.
#include <stdio.h>
#include <string.h>

#include "tests/gateway/session/eio_harness.h"

#define RS          "\x1e"
#define BAD_REQUEST "{\"code\":3,\"message\":\"Bad request\"}"
#define SID_UNKNOWN "{\"code\":1,\"message\":\"Session ID unknown\"}"

static void probe(struct client *websocket)
{
    ws_send(websocket, "2probe");
    ws_expect(websocket, "3probe");
}

static void test_upgrade(void **state)
{
    struct harness *harness = *state;
    struct client *websocket;
    struct sid sid = polling_open(harness);
    assert_string_equal(eio_session_transport(harness->session), "polling");
    ws_open_probe(&websocket, harness, &sid);
    client_expect_silence(websocket); // no open packet
    probe(websocket);
    ws_send(websocket, "5");
    assert_string_equal(eio_session_transport(harness->session), "websocket");
    ws_send(websocket, "4hello");
    ws_expect(websocket, "4hello");
    harness_expect_log(harness, "message:hello\n");
    assert_int_equal(bed_metric(&harness->bed, GW_EIO_UPGRADES), 1);

    assert_string_equal(fetch(harness, &sid, 400), BAD_REQUEST);
    assert_string_equal(once(harness, "POST", poll_target(&sid), "", "4x", 400), BAD_REQUEST);
    ws_send(websocket, "4still there");
    ws_expect(websocket, "4still there");
    client_close(websocket);
    harness_expect_log(harness, "message:still there\nclose:transport close\n");
}

static void test_upgrade_without_probe_and_with_a_message_behind_it(void **state)
{
    struct harness *harness = *state;
    struct client *websocket;
    static const uint8_t frames[] = {0x81, 0x81, 0, 0, 0, 0, '5', 0x81, 0x82, 0, 0, 0, 0, '4', 'x'};
    struct sid sid = polling_open(harness);
    ws_open_probe(&websocket, harness, &sid);
    client_send(websocket, frames, sizeof frames);
    ws_expect(websocket, "4x");
    client_close(websocket);
}

static void test_pending_poll_is_released_by_the_probe(void **state)
{
    struct harness *harness = *state;
    struct client *poll, *websocket;
    struct sid sid = polling_open(harness);
    client_open(&poll, harness);
    poll_begin(poll, &sid);
    ws_open_probe(&websocket, harness, &sid);
    client_expect_silence(poll);
    probe(websocket);
    poll_expect(poll, "6");
    // The client polled once more before it saw the answer to its probe.
    poll_begin(poll, &sid);
    harness_advance(harness, 100);
    poll_expect(poll, "6");
    ws_send(websocket, "5");
    ws_send(websocket, "4x");
    ws_expect(websocket, "4x");
    client_close(poll);
    client_close(websocket);
}

static void test_poll_that_still_waits_at_the_upgrade_is_closed(void **state)
{
    struct harness *harness = *state;
    struct client *poll, *websocket;
    struct sid sid = polling_open(harness);
    ws_open_probe(&websocket, harness, &sid);
    probe(websocket);
    client_open(&poll, harness);
    poll_begin(poll, &sid);
    ws_send(websocket, "5");
    poll_expect(poll, "1");
    ws_send(websocket, "4x");
    ws_expect(websocket, "4x");
    client_close(poll);
    client_close(websocket);
}

// It polls no more, so that the new transport is where it hears of it.
static void test_client_on_the_move_hears_that_the_server_stops(void **state)
{
    struct harness *harness = *state;
    struct client *paused, *polling, *websocket, *other;
    struct sid sid = polling_open(harness);
    struct sid polled = polling_open(harness);
    ws_open_probe(&websocket, harness, &sid);
    probe(websocket);
    client_open(&paused, harness);
    ws_open_probe(&other, harness, &polled);
    probe(other);
    client_open(&polling, harness);
    poll_begin(polling, &polled);

    eio_server_stop(harness->eio);
    poll_expect(polling, "1"); // this one had not stopped polling
    ws_expect_close(other, 0);
    harness_expect_log(harness, "close:server shutting down\n");
    ws_send(websocket, "5");
    ws_expect_close(websocket, 0);
    ws_send_frame(websocket, 0x88, "", 0);
    ws_send_frame(other, 0x88, "", 0);
    client_close(websocket);
    client_close(other);
    harness_settle(harness);
    harness_expect_log(harness, "close:server shutting down\n");
    assert_true(eio_server_is_drained(harness->eio));
    client_close(paused);
    client_close(polling);
}

// A client that has paused its polling moves to the WebSocket and nowhere else, so it hears of the
// end there, once it has moved.
static void test_client_on_the_move_hears_that_its_session_was_ended(void **state)
{
    struct harness *harness = *state;
    struct client *moves, *stays;
    struct sid sid = polling_open(harness);
    ws_open_probe(&moves, harness, &sid);
    probe(moves);
    eio_session_abort(harness->session, "forced close");
    harness_expect_log(harness, "close:forced close\n");
    assert_string_equal(fetch(harness, &sid, 400), SID_UNKNOWN);
    client_expect_silence(moves);
    ws_send(moves, "5");
    ws_expect_close(moves, 0);
    assert_int_equal(bed_metric(&harness->bed, GW_EIO_UPGRADES), 0);

    sid = polling_open(harness);
    ws_open_probe(&stays, harness, &sid);
    probe(stays);
    eio_session_abort(harness->session, "forced close");
    harness_advance(harness, UPGRADE_TIMEOUT - 1);
    client_expect_silence(stays);
    harness_advance(harness, 1);
    ws_expect_close(stays, 0);
    harness_expect_log(harness, "close:forced close\n");
    ws_send_frame(moves, 0x88, "", 0);
    ws_send_frame(stays, 0x88, "", 0);
    client_close(moves);
    client_close(stays);
    harness_settle(harness);
    assert_true(eio_server_is_drained(harness->eio));
}

static void test_ended_session_leaves_nothing_when_its_client_does_not_move(void **state)
{
    struct harness *harness = *state;
    struct client *says, *goes, *waits;
    struct client **const clients[] = {&says, &goes, &waits};
    for (size_t i = 0; i < sizeof clients / sizeof clients[0]; i++) {
        struct sid sid = polling_open(harness);
        ws_open_probe(clients[i], harness, &sid);
        probe(*clients[i]);
        eio_session_abort(harness->session, "forced close");
        harness_expect_log(harness, "close:forced close\n");
    }
    ws_send(says, "4anything");
    ws_expect_close(says, 0);
    ws_send_frame(says, 0x88, "", 0);
    client_close(says);
    client_close(goes);
    harness_settle(harness);
    assert_false(eio_server_is_drained(harness->eio)); // the third one; the server ends with it
    harness_expect_log(harness, "");
    eio_server_destroy(&harness->eio);
    client_wait_over(waits);
    client_close(waits);
}

// Its client has seen the gateway's end by another way, and will not move.
static void test_server_that_stops_does_not_wait_for_an_upgrade_that_was_broken_off(void **state)
{
    struct harness *harness = *state;
    struct client *websocket, *other;
    struct sid sid = polling_open(harness);
    ws_open_probe(&websocket, harness, &sid);
    probe(websocket);
    struct sid second = polling_open(harness);
    ws_open_probe(&other, harness, &second);
    probe(other);
    eio_server_stop(harness->eio);
    harness_expect_log(harness, "");
    client_close(websocket);
    harness_expect_log(harness, "close:server shutting down\n");
    ws_send(other, "4anything");
    ws_expect_close(other, 0);
    harness_expect_log(harness, "close:server shutting down\n");
    client_close(other);
    harness_settle(harness);
    assert_true(eio_server_is_drained(harness->eio));
}

static void send_numbered(struct harness *harness, int number)
{
    char text[16];
    snprintf(text, sizeof text, "%d", number);
    assert_true(eio_session_send_message(harness->session, false, text, strlen(text)));
}

static void test_nothing_is_lost_or_reordered(void **state)
{
    struct harness *harness = *state;
    struct client *poll, *websocket;
    struct sid sid = polling_open(harness);
    harness->is_echo = false;
    send_numbered(harness, 1);
    client_open(&poll, harness);
    client_request(poll, "GET", poll_target(&sid), "", NULL);
    poll_expect(poll, "41");
    poll_begin(poll, &sid);
    ws_open_probe(&websocket, harness, &sid);
    send_numbered(harness, 2); // goes to the waiting poll
    poll_expect(poll, "42");
    ws_send(websocket, "2probe");
    send_numbered(harness, 3); // waits
    post(harness, &sid, "4posted");
    send_numbered(harness, 4);
    assert_true(eio_session_send_message(harness->session, true, "\x05", 1));
    ws_expect(websocket, "3probe");
    client_expect_silence(websocket);
    ws_send(websocket, "5");
    send_numbered(harness, 6);
    ws_expect(websocket, "43");
    ws_expect(websocket, "44");
    ws_expect_frame(websocket, WS_BINARY, "\x05", 1);
    ws_expect(websocket, "46");
    ws_send(websocket, "4over websocket");
    harness_expect_log(harness, "message:posted\nmessage:over websocket\n");
    client_close(poll);
    client_close(websocket);
}

// The poll's answer is not made yet when the upgrade comes in the same turn.
static void test_message_and_upgrade_in_one_turn(void **state)
{
    struct harness *harness = *state;
    struct client *poll, *websocket;
    struct sid sid = polling_open(harness);
    ws_open_probe(&websocket, harness, &sid);
    probe(websocket);
    client_open(&poll, harness);
    poll_begin(poll, &sid);
    send_numbered(harness, 1);
    ws_send(websocket, "5"); // the loop turns only here
    send_numbered(harness, 2);
    harness_settle(harness);
    // Wherever the first one went, it went once, and before the second->
    if (strcmp(client_response(poll), "41") != 0) {
        assert_string_equal(last_response()->body, "1");
        ws_expect(websocket, "41");
    }
    ws_expect(websocket, "42");
    client_close(poll);
    client_close(websocket);
}

// ---- Any order of events

// A client that upgrades as the official ones do, while the server sends numbered messages.
struct moving_client {
    struct sid sid;
    struct client *poll;
    struct client *websocket;
    bool is_polling;  // a poll is under way
    bool is_probed;   // `3probe` came: no poll is begun any more
    bool is_upgraded; // `5` was sent
    int received;     // the number of the newest message
};

static void receive_packet(struct moving_client *moving, const char *packet, size_t size)
{
    char expected[16];
    int expected_size = snprintf(expected, sizeof expected, "4%d", moving->received + 1);
    if (size == 1 && (packet[0] == '2' || packet[0] == '6')) // a ping or a noop
        return;
    if (size != (size_t)expected_size || memcmp(packet, expected, size) != 0)
        fail_msg("got %.*s instead of %s", (int)size, packet, expected);
    moving->received++;
}

static void receive_poll(struct moving_client *moving)
{
    const struct tl_buffer *in = &moving->poll->in;
    if (!moving->is_polling || in->size == 0 || !memmem(in->bytes, in->size, "\r\n\r\n", 4))
        return;
    const char *body = client_response(moving->poll);
    assert_int_equal(last_response()->status, 200);
    moving->is_polling = false;
    while (*body) {
        size_t size = strcspn(body, RS);
        receive_packet(moving, body, size);
        body += size + (body[size] ? 1 : 0);
    }
}

static void receive_frames(struct moving_client *moving)
{
    enum ws_opcode opcode;
    const uint8_t *payload;
    size_t size, frame;
    struct tl_buffer *in = &moving->websocket->in;
    while (in->size > 0 &&
           (frame = ws_split_server_frame(in->bytes, in->size, &opcode, &payload, &size)) > 0) {
        assert_int_equal(opcode, WS_TEXT);
        if (size == 6 && memcmp(payload, "3probe", 6) == 0)
            moving->is_probed = true;
        else
            receive_packet(moving, (const char *)payload, size);
        tl_buffer_consume(in, frame);
    }
}

// What the client does next; `chance` decides only whether it does it now.
static void act(struct moving_client *moving, unsigned chance)
{
    receive_poll(moving);
    receive_frames(moving);
    if (!moving->is_polling && !moving->is_probed && chance % 2 == 0) {
        client_request(moving->poll, "GET", poll_target(&moving->sid), "", NULL);
        moving->is_polling = true;
    } else if (moving->is_probed && !moving->is_polling && !moving->is_upgraded &&
               chance % 3 == 0) {
        static const uint8_t upgrade[] = {0x81, 0x81, 0, 0, 0, 0, '5'};
        client_send(moving->websocket, upgrade, sizeof upgrade);
        moving->is_upgraded = true;
    }
}

static void run_interleaving(struct harness *harness, unsigned seed)
{
    static const uint8_t probe_frame[] = {0x81, 0x86, 0, 0, 0, 0, '2', 'p', 'r', 'o', 'b', 'e'};
    enum { MESSAGES = 40 };
    struct moving_client moving = {.sid = polling_open(harness)};
    int sent = 0;
    bool is_probing = false;
    client_open(&moving.poll, harness);
    ws_open_probe(&moving.websocket, harness, &moving.sid);
    for (int step = 0; sent < MESSAGES || moving.received < sent || !moving.is_upgraded; step++) {
        seed = seed * 1103515245u + 12345u;
        unsigned chance = seed >> 16;
        if (step > 5000)
            fail_msg("stuck after %d of %d messages", moving.received, sent);
        if (chance % 5 < 2 && sent < MESSAGES)
            send_numbered(harness, ++sent);
        if (!is_probing && chance % 16 == 7) {
            client_send(moving.websocket, probe_frame, sizeof probe_frame);
            is_probing = true;
        }
        act(&moving, chance / 64);
        if (chance % 3 == 0)
            bed_advance(&harness->bed, 1);
    }
    client_close(moving.poll);
    client_close(moving.websocket);
    harness_settle(harness);
    assert_null(harness->session);
    tl_buffer_clear(&harness->log);
}

static void test_every_interleaving_keeps_all_messages_in_order(void **state)
{
    struct harness *harness = *state;
    harness->is_echo = false;
    for (unsigned seed = 1; seed <= 300; seed++)
        run_interleaving(harness, seed * 2654435761u);
    assert_int_equal(bed_metric(&harness->bed, GW_EIO_UPGRADES), 300);
}

// ---- Attempts that fail

static void expect_polling_goes_on(struct harness *harness, const struct sid *sid)
{
    post(harness, sid, "4alive");
    assert_string_equal(fetch(harness, sid, 200), "4alive");
    harness_expect_log(harness, "message:alive\n");
}

static void test_anything_else_ends_the_attempt_only(void **state)
{
    static const char *const packets[] = {"4message", "2", "2probed", "3", "3probe", "6", "1", "x"};
    struct harness *harness = *state;
    struct sid sid = polling_open(harness);
    for (size_t i = 0; i < sizeof packets / sizeof packets[0]; i++) {
        struct client *websocket;
        ws_open_probe(&websocket, harness, &sid);
        ws_send(websocket, packets[i]);
        ws_expect_close(websocket, 0);
        expect_polling_goes_on(harness, &sid);
        client_close(websocket);
    }
    struct client *websocket;
    ws_open_probe(&websocket, harness, &sid);
    probe(websocket);
    client_close(websocket);
    expect_polling_goes_on(harness, &sid);
    ws_open_probe(&websocket, harness, &sid);
    client_send(websocket, "\x81\x00", 2); // no mask
    ws_expect_close(websocket, 1002);
    expect_polling_goes_on(harness, &sid);
    client_close(websocket);

    ws_open_probe(&websocket, harness, &sid); // it can be tried again
    probe(websocket);
    ws_send(websocket, "5");
    ws_send(websocket, "4x");
    ws_expect(websocket, "4x");
    client_close(websocket);
}

static void test_upgrade_that_takes_too_long_is_given_up(void **state)
{
    struct harness *harness = *state;
    struct client *websocket;
    struct sid sid = polling_open(harness);
    ws_open_probe(&websocket, harness, &sid);
    probe(websocket);
    for (int passed = 0; passed < UPGRADE_TIMEOUT; passed += 250) {
        post(harness, &sid, "3"); // keeps the heartbeat going
        client_expect_silence(websocket);
        harness_advance(harness, 250);
    }
    ws_expect_close(websocket, 0);
    post(harness, &sid, "4alive");
    harness_expect_log(harness, "message:alive\n");
    client_close(websocket);
}

static void test_second_attempt_beside_the_first_is_turned_away(void **state)
{
    struct harness *harness = *state;
    struct client *first, *second, *third;
    struct sid sid = polling_open(harness);
    ws_open_probe(&first, harness, &sid);
    ws_open_probe(&second, harness, &sid);
    ws_expect_close(second, 0);
    probe(first);
    ws_send(first, "5");
    ws_open_probe(&third, harness, &sid); // upgraded already
    ws_expect_close(third, 0);
    ws_send(third, "4never");
    ws_send_frame(third, 0x88, "", 0);
    client_expect_end(third);
    ws_send(first, "4x");
    ws_expect(first, "4x");
    harness_expect_log(harness, "message:x\n");
    client_close(first);
    client_close(second);
    client_close(third);
}

static void test_end_of_the_session_ends_the_attempt(void **state)
{
    struct harness *harness = *state;
    struct client *websocket;
    struct sid sid = polling_open(harness);
    ws_open_probe(&websocket, harness, &sid);
    probe(websocket);
    post(harness, &sid, "1");
    ws_expect_close(websocket, 0);
    harness_expect_log(harness, "close:transport close\n");
    assert_string_equal(fetch(harness, &sid, 400), SID_UNKNOWN);
    client_close(websocket);
}

static void test_close_during_the_upgrade(void **state)
{
    struct harness *harness = *state;
    struct client *websocket;
    struct sid sid = polling_open(harness);
    ws_open_probe(&websocket, harness, &sid);
    probe(websocket);
    send_numbered(harness, 1);
    eio_session_close(harness->session, "forced close");
    harness_expect_log(harness, "");
    ws_send(websocket, "5");
    ws_expect(websocket, "41");
    ws_expect_close(websocket, 0);
    harness_expect_log(harness, "close:forced close\n");
    client_close(websocket);
}

// It may still poll, so the session waits with its end until it does.
static void test_close_during_an_upgrade_that_fails(void **state)
{
    struct harness *harness = *state;
    struct client *websocket;
    struct sid sid = polling_open(harness);
    ws_open_probe(&websocket, harness, &sid);
    probe(websocket);
    send_numbered(harness, 1);
    eio_session_close(harness->session, "forced close");
    client_close(websocket);
    harness_expect_log(harness, "");
    assert_string_equal(fetch(harness, &sid, 200), "41" RS "1");
    harness_expect_log(harness, "close:forced close\n");
}

static void test_heartbeat_goes_on_across_the_upgrade(void **state)
{
    struct harness *harness = *state;
    struct client *websocket;
    struct sid sid = polling_open(harness);
    harness_advance(harness, PING_INTERVAL); // the ping waits for a poll
    ws_open_probe(&websocket, harness, &sid);
    probe(websocket);
    ws_send(websocket, "5");
    ws_expect(websocket, "2");
    ws_send(websocket, "3");
    harness_advance(harness, PING_INTERVAL);
    ws_expect(websocket, "2");
    harness_advance(harness, PING_TIMEOUT);
    ws_expect_close(websocket, 0);
    harness_expect_log(harness, "close:ping timeout\n");
    client_close(websocket);
}

static void test_upgrade_of_a_client_without_binary(void **state)
{
    struct harness *harness = *state;
    struct client *websocket;
    char target[160];
    struct sid sid = polling_open(harness);
    assert_true(eio_session_send_message(harness->session, true, "\x01\x02\x03", 3));
    send_numbered(harness, 1);
    snprintf(target, sizeof target, PATH "&transport=websocket&b64=1&sid=%s", sid.text);
    ws_connect(&websocket, harness, target);
    probe(websocket);
    ws_send(websocket, "5");
    ws_expect(websocket, "bAQID");
    ws_expect(websocket, "41");
    client_close(websocket);
}

static void test_session_that_began_on_websocket_cannot_upgrade(void **state)
{
    struct harness *harness = *state;
    struct client *first, *second;
    struct sid sid = ws_open(&first, harness);
    ws_open_probe(&second, harness, &sid);
    ws_expect_close(second, 0);
    ws_send(first, "4x");
    ws_expect(first, "4x");
    client_close(first);
    client_close(second);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_upgrade),
        TEST(test_upgrade_without_probe_and_with_a_message_behind_it),
        TEST(test_pending_poll_is_released_by_the_probe),
        TEST(test_poll_that_still_waits_at_the_upgrade_is_closed),
        TEST(test_client_on_the_move_hears_that_the_server_stops),
        TEST(test_client_on_the_move_hears_that_its_session_was_ended),
        TEST(test_ended_session_leaves_nothing_when_its_client_does_not_move),
        TEST(test_server_that_stops_does_not_wait_for_an_upgrade_that_was_broken_off),
        TEST(test_nothing_is_lost_or_reordered),
        TEST(test_message_and_upgrade_in_one_turn),
        TEST(test_every_interleaving_keeps_all_messages_in_order),
        TEST(test_anything_else_ends_the_attempt_only),
        TEST(test_upgrade_that_takes_too_long_is_given_up),
        TEST(test_second_attempt_beside_the_first_is_turned_away),
        TEST(test_end_of_the_session_ends_the_attempt),
        TEST(test_close_during_the_upgrade),
        TEST(test_close_during_an_upgrade_that_fails),
        TEST(test_heartbeat_goes_on_across_the_upgrade),
        TEST(test_upgrade_of_a_client_without_binary),
        TEST(test_session_that_began_on_websocket_cannot_upgrade),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
