// SPDX-License-Identifier: MIT
// What the bridge makes of each delivery of the subscriber: events and gaps for rooms, and the
// answers that joins with `since` wait for. The test gives the deliveries itself, while nothing is
// received from the bus.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/bridge/catch_up.h"
#include "tests/common/faults.h"
#include "tests/gateway/bridge/bridge_fixture.h"

#define SESSION   "s"
#define ORIGIN    "publisher1"
#define NEWEST    100  // the session's newest event when the tests begin
#define STREAM_MS 1000 // that a stream may take to reach the end of a history

static const uint8_t nil[] = {0xc0};

// Ids in turn: a delivery may need several.
static const char *id_of(uint64_t seq)
{
    static char ids[8][TALUS_ID_MAX + 1];
    static unsigned next;
    char *id = ids[next++ % 8];
    snprintf(id, sizeof ids[0], ORIGIN ".%" PRIu64, seq);
    return id;
}

static talus_event_t event_of(const char *session, uint64_t seq)
{
    return (talus_event_t){
        .session = session,
        .type = "step",
        .id = id_of(seq),
        .origin = ORIGIN,
        .except = "",
        .seq = seq,
        .prev = seq - 1,
        .data = nil,
        .data_size = sizeof nil,
    };
}

static void deliver(struct fixture *fixture, const talus_delivery_t *delivery)
{
    bridge__on_delivery(fixture->bridge, delivery);
    harness_settle(&fixture->base);
}

static void deliver_event(struct fixture *fixture, const char *session, uint64_t seq)
{
    const talus_event_t event = event_of(session, seq);
    deliver(fixture, &(talus_delivery_t){
                         .kind = TALUS_DELIVERY_EVENT,
                         .session = session,
                         .event = &event,
                     });
}

static void deliver_gap(struct fixture *fixture, const char *session, const char *after,
                        const char *first, talus_gap_reason_t reason)
{
    deliver(fixture,
            &(talus_delivery_t){
                .kind = TALUS_DELIVERY_GAP,
                .session = session,
                .gap = {.origin = ORIGIN, .after = after, .first = first, .reason = reason},
            });
}

static void expect_gap(struct client *client, const char *session, const char *after,
                       const char *first, const char *reason)
{
    char gap[256];
    snprintf(gap, sizeof gap,
             "42/graph,[\"gap\",{\"session_id\":\"%s\",\"after\":\"%s\",\"first\":\"%s\","
             "\"reason\":\"%s\"}]",
             session, after, first, reason);
    assert_string_equal(read_message(client, "42/graph,[\"gap\""), gap);
}

static void expect_steps(struct client *client, unsigned from, unsigned to)
{
    struct identity identity;
    for (unsigned seq = from; seq <= to; seq++)
        read_step(client, &identity, seq);
}

static struct client *new_client(struct fixture *fixture)
{
    struct identity identity = {0};
    struct client *client = connect_client(fixture, &identity);
    read_connect(client, &identity);
    return client;
}

static int test_setup(void **state)
{
    struct bridge_options options;
    bridge_setup_folder(state);
    bridge_options_init(&options);
    options.presence_limit = 0; // rooms are not told who comes
    options.catch_up_stream_ms = STREAM_MS;
    options.max_missed = 1000;
    start_bridge(*state, &options);
    return 0;
}

// A member of the session, whose newest event is NEWEST. From here on the test delivers.
static struct client *new_member(struct fixture *fixture)
{
    struct client *client = new_client(fixture);
    put_join(client, SESSION, NULL);
    read_message(client, "42/graph,[\"joined\"");
    hold_bus_up(fixture);
    deliver_event(fixture, SESSION, NEWEST);
    expect_steps(client, NEWEST, NEWEST);
    return client;
}

// ---- For rooms

static void test_gap_goes_to_those_whom_it_concerns(void **state)
{
    struct fixture *fixture = *state;
    struct client *member = new_member(fixture);
    struct client *other = new_client(fixture);
    deliver_gap(fixture, SESSION, id_of(100), id_of(103), TALUS_GAP_HISTORY);
    expect_gap(member, SESSION, id_of(100), id_of(103), "history");
    client_expect_silence(other);
    deliver_gap(fixture, "", id_of(5), "", TALUS_GAP_ORIGIN_LOST);
    expect_gap(member, "", id_of(5), "", "origin_lost");
    expect_gap(other, "", id_of(5), "", "origin_lost");
    deliver_gap(fixture, "unknown", id_of(5), "", TALUS_GAP_ORIGIN_LOST);
    client_expect_silence(member);
    assert_int_equal(metric(fixture, GW_BUS_GAPS), 2);
    client_close(member);
    client_close(other);
}

static bool is_gone(void *arg)
{
    return count_clients(arg, SESSION) == 0;
}

// It is not counted as lost for anybody; but it is in the log, for those who come back.
static void test_gap_of_a_session_that_lingers_counts_for_nobody(void **state)
{
    struct fixture *fixture = *state;
    struct client *member = new_member(fixture);
    ws_send(member, "41/graph,");
    bed_wait(&fixture->base.bed, is_gone, fixture);
    deliver_gap(fixture, SESSION, id_of(100), id_of(103), TALUS_GAP_HISTORY);
    assert_int_equal(metric(fixture, GW_BUS_GAPS), 0);
    client_close(member);
}

static void test_event_that_cannot_be_encoded_is_a_gap_of_one(void **state)
{
    static const uint8_t no_msgpack[] = {0xc1};
    struct fixture *fixture = *state;
    struct client *member = new_member(fixture);
    talus_event_t event = event_of(SESSION, 110);
    event.prev = 100;
    event.data = no_msgpack;
    const talus_delivery_t delivery = {
        .kind = TALUS_DELIVERY_EVENT, .session = SESSION, .event = &event};
    deliver(fixture, &delivery);
    expect_gap(member, SESSION, id_of(100), id_of(111), "refused");
    event.prev = 0; // the session's first: nothing is missing before it
    event.id = id_of(120);
    event.seq = 120;
    deliver(fixture, &delivery);
    expect_gap(member, SESSION, id_of(119), id_of(121), "refused");
    assert_int_equal(metric(fixture, GW_BUS_REFUSED), 2);
    assert_int_equal(metric(fixture, GW_BUS_GAPS), 2);
    client_close(member);
}

// Without memory nothing is told, and the log says so: nobody is recovered over it.
static void test_gap_without_memory_bars_recovery(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    struct client *client = connect_client(fixture, &identity);
    read_connect(client, &identity);
    put_join(client, SESSION, NULL);
    read_message(client, "42/graph,[\"joined\"");
    hold_bus_up(fixture);
    deliver_event(fixture, SESSION, NEWEST);
    read_step(client, &identity, NEWEST);
    cut(fixture, client);
    faults_fail_allocation_after(0);
    deliver_gap(fixture, SESSION, id_of(100), id_of(103), TALUS_GAP_HISTORY);
    assert_true(faults_stop());
    client = connect_client(fixture, &identity);
    assert_false(read_connect(client, &identity));
    client_close(client);
}

// What another gateway says of its clients goes to the room, and is neither kept nor an event id.
static void test_presence_of_another_gateway_is_told_while_memory_lasts(void **state)
{
    struct fixture *fixture = *state;
    struct client *member = new_member(fixture);
    talus_event_t event = event_of(SESSION, 1);
    event.id = "gw00abcdefgh.1";
    event.origin = "gw00abcdefgh";
    event.type = talus_type_session_connected;
    const talus_delivery_t delivery = {
        .kind = TALUS_DELIVERY_EVENT, .session = SESSION, .event = &event};
    deliver(fixture, &delivery);
    assert_string_equal(read_message(member, "42/graph,"), "42/graph,[\"session-connected\",null]");
    uint64_t newest = fixture->bridge->log.newest;
    faults_fail_allocation_after(0);
    deliver(fixture, &delivery);
    assert_true(faults_stop());
    client_expect_silence(member);
    assert_int_equal(fixture->bridge->log.newest, newest);
    client_close(member);
}

// A client whose newest event is NEWEST, and that is cut off; its worker's message of that is still
// on the way.
static void begin_suspension(struct fixture *fixture, struct identity *identity)
{
    struct client *client = connect_client(fixture, identity);
    read_connect(client, identity);
    put_join(client, SESSION, NULL);
    read_message(client, "42/graph,[\"joined\"");
    hold_bus_up(fixture);
    deliver_event(fixture, SESSION, NEWEST);
    read_step(client, identity, NEWEST);
    client_close(client);
    while (bed_metric(&fixture->base.bed, GW_SIO_SOCKETS) > 0)
        gw_loop_turn(fixture->base.bed.loop, false);
    assert_int_equal(metric(fixture, GW_SUSPENDED), 0);
}

// It was in nobody's queue, and is owed all the same.
static void test_event_between_a_clients_end_and_its_suspension(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    begin_suspension(fixture, &identity);
    deliver_event(fixture, SESSION, 101);
    assert_int_equal(metric(fixture, GW_SUSPENDED), 1);
    struct client *client = connect_client(fixture, &identity);
    read_step(client, &identity, 101);
    assert_true(read_connect(client, &identity));
    assert_int_equal(metric(fixture, GW_PUBLISHED), 1);
    assert_int_equal(bed_metric(&fixture->base.bed, GW_RECOVERED_COPIES), 1);
    assert_int_equal(metric(fixture, GW_DROPPED_LEFT), 0);
    client_close(client);
}

static void test_event_between_a_clients_end_and_its_suspension_is_dropped_with_it(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    begin_suspension(fixture, &identity);
    deliver_event(fixture, SESSION, 101);
    deliver_event(fixture, SESSION, 102);
    assert_true(bridge__forget_oldest(fixture->bridge));
    assert_int_equal(metric(fixture, GW_PUBLISHED), 2);
    assert_int_equal(metric(fixture, GW_DROPPED_NOT_RECOVERED), 2);
}

static void test_events_that_a_client_says_it_has_are_not_sent(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    begin_suspension(fixture, &identity);
    deliver_event(fixture, SESSION, 101);
    deliver_event(fixture, SESSION, 102);
    strcpy(identity.offset, id_of(101));
    struct client *client = connect_client(fixture, &identity);
    read_step(client, &identity, 102);
    assert_true(read_connect(client, &identity));
    assert_int_equal(metric(fixture, GW_PUBLISHED), 2);
    assert_int_equal(metric(fixture, GW_DROPPED_LEFT), 1);
    assert_int_equal(bed_metric(&fixture->base.bed, GW_RECOVERED_COPIES), 1);
    client_close(client);
}

static void test_join_that_a_broadcaster_does_not_answer_is_counted(void **state)
{
    struct fixture *fixture = *state;
    deliver(fixture, &(talus_delivery_t){.kind = TALUS_DELIVERY_LIVE,
                                         .session = "left meanwhile",
                                         .live = {.newest = ""}});
    assert_int_equal(metric(fixture, GW_BUS_JOIN_INCOMPLETE), 1);
}

// ---- Joins with `since`

// Each reason is counted once for a join, and no other with it.
static void expect_incomplete(const struct fixture *fixture, enum gw_metric why)
{
    for (int i = GW_SINCE_UNPROVEN; i <= GW_SINCE_QUEUE_FULL; i++)
        assert_int_equal(metric(fixture, (enum gw_metric)i), (enum gw_metric)i == why);
}

// A client that has the event `seq` of the session asks to join; its history is asked for.
static struct client *ask_since(struct fixture *fixture, uint64_t seq)
{
    struct client *client = new_client(fixture);
    put_join(client, SESSION, id_of(seq));
    harness_settle(&fixture->base);
    assert_int_equal(fixture->bridge->catch_up_count, 1);
    client_expect_silence(client);
    return client;
}

static const struct bridge_catch_up *the_catch_up(const struct fixture *fixture)
{
    assert_int_equal(fixture->bridge->catch_up_count, 1);
    return TL_LIST_ENTRY(fixture->bridge->catch_ups.next, struct bridge_catch_up, link);
}

static void deliver_replayed(struct fixture *fixture, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq <= to; seq++) {
        const talus_event_t event = event_of(SESSION, seq);
        deliver(fixture, &(talus_delivery_t){
                             .kind = TALUS_DELIVERY_REPLAYED,
                             .session = SESSION,
                             .replayed = {.event = &event, .request = the_catch_up(fixture)->id},
                         });
    }
}

// The end of the answer, complete and reached but for what `end` says.
static talus_delivery_t answer_of(const struct fixture *fixture, uint64_t newest)
{
    return (talus_delivery_t){
        .kind = TALUS_DELIVERY_RECOVERED,
        .session = SESSION,
        .recovered = {.newest = id_of(newest),
                      .is_answered = true,
                      .is_only_origin = true,
                      .is_reached = true,
                      .request = the_catch_up(fixture)->id},
    };
}

// The gap lives until the next call.
static talus_delivery_t missing_of(const struct fixture *fixture, uint64_t newest,
                                   const char *after, const char *first, talus_gap_reason_t reason)
{
    static talus_gap_t gap;
    talus_delivery_t answer = answer_of(fixture, newest);
    gap = (talus_gap_t){.origin = ORIGIN, .after = after, .first = first, .reason = reason};
    answer.recovered.gap = &gap;
    answer.recovered.is_answered = reason != TALUS_GAP_ORIGIN_LOST;
    return answer;
}

static void expect_joined(struct client *client)
{
    read_message(client, "42/graph,[\"joined\"");
}

static void test_since_whole_history(void **state)
{
    struct fixture *fixture = *state;
    struct client *member = new_member(fixture);
    struct client *client = ask_since(fixture, 97);
    deliver_replayed(fixture, 98, 100);
    deliver(fixture, &(talus_delivery_t){.kind = TALUS_DELIVERY_RECOVERED,
                                         .session = SESSION,
                                         .recovered = {.request = 12345}});
    client_expect_silence(client); // that was nobody's answer
    const talus_delivery_t answer = answer_of(fixture, 100);
    deliver(fixture, &answer);
    expect_joined(client);
    expect_steps(client, 98, 100);
    deliver_event(fixture, SESSION, 101);
    expect_steps(client, 101, 101);
    deliver(fixture, &answer); // nobody waits for it any more
    client_expect_silence(client);
    expect_incomplete(fixture, GW_METRIC_COUNT);
    client_close(client);
    client_close(member);
}

// What came by the stream while the history was asked for is given once, in its place.
static void test_since_waits_until_the_stream_is_at_the_historys_end(void **state)
{
    struct fixture *fixture = *state;
    struct client *member = new_member(fixture);
    struct client *client = ask_since(fixture, 98);
    deliver_event(fixture, SESSION, 101); // before the answer
    deliver_replayed(fixture, 99, 103);
    talus_delivery_t answer = answer_of(fixture, 103);
    answer.recovered.is_reached = false;
    deliver(fixture, &answer);
    deliver_event(fixture, SESSION, 102);
    deliver_event(fixture, "unknown", 104); // of another session, or origin: it says nothing
    client_expect_silence(client);
    deliver_event(fixture, SESSION, 103);
    expect_joined(client);
    expect_steps(client, 99, 103);
    client_expect_silence(client);
    live(fixture, client, STREAM_MS + PING_INTERVAL); // its deadline does not run out any more
    client_expect_silence(client);
    expect_steps(member, 101, 103);
    expect_incomplete(fixture, GW_METRIC_COUNT);
    client_close(client);
    client_close(member);
}

static void test_since_the_stream_says_that_the_rest_is_missing(void **state)
{
    struct fixture *fixture = *state;
    struct client *member = new_member(fixture);
    for (int is_lost = 0; is_lost <= 1; is_lost++) {
        struct client *client = ask_since(fixture, 98);
        deliver_replayed(fixture, 99, 102);
        talus_delivery_t answer = answer_of(fixture, 102);
        answer.recovered.is_reached = false;
        deliver(fixture, &answer);
        const char *first = is_lost ? "" : id_of(103);
        const char *reason = is_lost ? "origin_lost" : "history";
        deliver_gap(fixture, SESSION, id_of(100), first,
                    is_lost ? TALUS_GAP_ORIGIN_LOST : TALUS_GAP_HISTORY);
        expect_gap(member, SESSION, id_of(100), first, reason);
        expect_joined(client);
        expect_steps(client, 99, 102);
        if (is_lost) // what comes after the history's end is missing to this one, too
            expect_gap(client, SESSION, id_of(100), "", "origin_lost");
        client_expect_silence(client);
        client_close(client);
    }
    expect_incomplete(fixture, GW_METRIC_COUNT);
    client_close(member);
}

static void test_since_stream_that_takes_too_long(void **state)
{
    struct fixture *fixture = *state;
    struct client *member = new_member(fixture);
    struct client *client = ask_since(fixture, 98);
    deliver_replayed(fixture, 99, 105);
    talus_delivery_t answer = answer_of(fixture, 105);
    answer.recovered.is_reached = false;
    deliver(fixture, &answer);
    live(fixture, client, STREAM_MS / PING_INTERVAL * PING_INTERVAL);
    harness_advance(&fixture->base, STREAM_MS % PING_INTERVAL - 1);
    client_expect_silence(client);
    harness_advance(&fixture->base, 1);
    expect_joined(client);
    expect_gap(client, SESSION, id_of(98), "", "history");
    client_expect_silence(client);
    expect_incomplete(fixture, GW_SINCE_STREAM_TIMEOUT);
    client_close(client);
    client_close(member);
}

static void test_since_history_that_does_not_reach_back(void **state)
{
    struct fixture *fixture = *state;
    struct client *member = new_member(fixture);
    struct client *client = ask_since(fixture, 90);
    deliver_replayed(fixture, 99, 100);
    talus_delivery_t answer = missing_of(fixture, 100, id_of(90), id_of(99), TALUS_GAP_HISTORY);
    deliver(fixture, &answer);
    expect_joined(client);
    expect_gap(client, SESSION, id_of(90), id_of(99), "history");
    expect_steps(client, 99, 100);
    expect_incomplete(fixture, GW_SINCE_HISTORY);
    client_close(client);
    client_close(member);
}

// A client that cannot be recovered, and named the event `seq` of the session at its CONNECT,
// joins: the history is asked for from the event before it.
static struct client *ask_with_offset(struct fixture *fixture, uint64_t seq)
{
    struct identity identity = {0};
    struct client *client = connect_client(fixture, &identity);
    read_connect(client, &identity);
    ws_send(client, "41/graph,");
    client_close(client);
    strcpy(identity.offset, id_of(seq));
    client = connect_client(fixture, &identity);
    assert_false(read_connect(client, &identity));
    put_join(client, SESSION, NULL);
    harness_settle(&fixture->base);
    assert_true(the_catch_up(fixture)->request->is_implied);
    return client;
}

static void test_offset_whose_history_does_not_reach_back(void **state)
{
    struct fixture *fixture = *state;
    struct client *member = new_member(fixture);
    struct client *client = ask_with_offset(fixture, 90);
    deliver_replayed(fixture, 99, 100);
    talus_delivery_t answer = missing_of(fixture, 100, id_of(89), id_of(99), TALUS_GAP_HISTORY);
    deliver(fixture, &answer);
    expect_joined(client);
    expect_gap(client, SESSION, id_of(90), id_of(99), "history");
    expect_steps(client, 99, 100);
    expect_incomplete(fixture, GW_SINCE_HISTORY);
    client_close(client);
    client_close(member);
}

// Only the event that was named is missing: it may be one of another session.
static void test_offset_that_the_history_just_misses(void **state)
{
    struct fixture *fixture = *state;
    struct client *member = new_member(fixture);
    struct client *client = ask_with_offset(fixture, 98);
    deliver_replayed(fixture, 99, 100);
    talus_delivery_t answer = missing_of(fixture, 100, id_of(97), id_of(99), TALUS_GAP_HISTORY);
    deliver(fixture, &answer);
    expect_joined(client);
    expect_gap(client, SESSION, "", "", "history");
    expect_steps(client, 99, 100);
    expect_incomplete(fixture, GW_SINCE_UNPROVEN);
    client_close(client);
    client_close(member);
}

static void test_since_other_broadcasters_prove_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct client *member = new_member(fixture);
    struct client *client = ask_since(fixture, 98);
    deliver_replayed(fixture, 99, 100);
    talus_delivery_t answer = answer_of(fixture, 100);
    answer.recovered.is_only_origin = false;
    deliver(fixture, &answer);
    expect_joined(client);
    expect_gap(client, SESSION, "", "", "history");
    expect_steps(client, 99, 100);
    expect_incomplete(fixture, GW_SINCE_UNPROVEN);
    client_close(client);
    client_close(member);
}

// The stream goes on behind what came of the answer.
static void test_since_broadcaster_that_is_lost_while_it_answers(void **state)
{
    struct fixture *fixture = *state;
    struct client *member = new_member(fixture);
    struct client *client = ask_since(fixture, 90);
    deliver_replayed(fixture, 91, 93);
    talus_delivery_t answer =
        missing_of(fixture, 100, id_of(93), id_of(101), TALUS_GAP_ORIGIN_LOST);
    deliver(fixture, &answer);
    expect_joined(client);
    expect_steps(client, 91, 93);
    expect_gap(client, SESSION, id_of(93), id_of(101), "origin_lost");
    client_expect_silence(client);
    expect_incomplete(fixture, GW_SINCE_NO_ANSWER);
    client_close(client);
    client_close(member);
}

// With a hole in what came, all of it counts as missing: from the client's own event on.
static void test_since_broadcaster_that_is_lost_behind_a_hole(void **state)
{
    struct fixture *fixture = *state;
    struct client *member = new_member(fixture);
    struct client *client = ask_since(fixture, 90);
    deliver_replayed(fixture, 91, 92);
    deliver_replayed(fixture, 95, 95);
    talus_delivery_t answer = missing_of(fixture, 92, id_of(92), "", TALUS_GAP_ORIGIN_LOST);
    deliver(fixture, &answer);
    expect_joined(client);
    expect_gap(client, SESSION, id_of(90), "", "origin_lost");
    client_expect_silence(client);
    expect_incomplete(fixture, GW_SINCE_NO_ANSWER);
    client_close(client);
    client_close(member);
}

// Nothing came, and the session's own stream is known: what lies before it is missing, and no more.
static void test_since_broadcaster_that_does_not_answer(void **state)
{
    struct fixture *fixture = *state;
    struct client *member = new_member(fixture);
    struct client *client = ask_since(fixture, 90);
    talus_delivery_t answer =
        missing_of(fixture, 100, id_of(90), id_of(101), TALUS_GAP_ORIGIN_LOST);
    deliver(fixture, &answer);
    expect_joined(client);
    expect_gap(client, SESSION, id_of(90), id_of(101), "origin_lost");
    expect_incomplete(fixture, GW_SINCE_NO_ANSWER);
    deliver_event(fixture, SESSION, 101);
    expect_steps(client, 101, 101);
    client_close(client);
    client_close(member);
}

// What came of a lost broadcaster is more than may be given: one gap up to where the stream is.
static void test_since_too_much_of_a_broadcaster_that_is_lost(void **state)
{
    struct fixture *fixture = *state;
    struct client *member = new_member(fixture);
    struct client *client = ask_since(fixture, 20);
    deliver_replayed(fixture, 21, 60);
    deliver_event(fixture, SESSION, 101);
    assert_true(the_catch_up(fixture)->is_cut);
    talus_delivery_t answer =
        missing_of(fixture, 100, id_of(60), id_of(101), TALUS_GAP_ORIGIN_LOST);
    deliver(fixture, &answer);
    expect_joined(client);
    expect_gap(client, SESSION, id_of(20), id_of(102), "origin_lost");
    client_expect_silence(client);
    expect_incomplete(fixture, GW_SINCE_NO_ANSWER);
    client_close(client);
    client_close(member);
}

// The log let go of what came meanwhile.
static void test_since_what_came_meanwhile_is_not_kept(void **state)
{
    struct fixture *fixture = *state;
    struct client *member = new_member(fixture);
    struct client *client = ask_since(fixture, 98);
    deliver_replayed(fixture, 99, 100);
    deliver_event(fixture, SESSION, 101);
    event_log_expire(&fixture->bridge->log, INT64_MAX);
    const talus_delivery_t answer = answer_of(fixture, 100);
    deliver(fixture, &answer);
    expect_joined(client);
    expect_gap(client, SESSION, id_of(98), "", "history");
    expect_incomplete(fixture, GW_SINCE_TOO_MUCH);
    client_close(client);
    client_close(member);
}

// A gap that cannot be told is no join.
static void test_since_without_memory_for_a_gap_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct client *member = new_member(fixture);
    struct client *client = ask_since(fixture, 90);
    talus_delivery_t answer = missing_of(fixture, 100, id_of(90), "", TALUS_GAP_ORIGIN_LOST);
    faults_fail_allocation_after(0);
    bridge__on_delivery(fixture->bridge, &answer);
    assert_true(faults_stop());
    harness_settle(&fixture->base);
    read_message(client, "42/graph,[\"error\",");
    assert_int_equal(count_clients(fixture, SESSION), 1);
    client_close(client);
    client_close(member);
}

// An event that came of the history cannot be kept: the client is told that it misses them all.
static void test_since_without_memory_for_an_event_is_told_a_gap(void **state)
{
    struct fixture *fixture = *state;
    struct client *member = new_member(fixture);
    struct client *client = ask_since(fixture, 98);
    faults_fail_allocation_after(0);
    deliver_replayed(fixture, 99, 100);
    assert_true(faults_stop());
    const talus_delivery_t answer = answer_of(fixture, 100);
    deliver(fixture, &answer);
    expect_joined(client);
    expect_gap(client, SESSION, id_of(98), "", "history");
    expect_incomplete(fixture, GW_SINCE_TOO_MUCH);
    client_close(client);
    client_close(member);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_setup, bridge_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_gap_goes_to_those_whom_it_concerns),
        TEST(test_gap_of_a_session_that_lingers_counts_for_nobody),
        TEST(test_event_that_cannot_be_encoded_is_a_gap_of_one),
        TEST(test_gap_without_memory_bars_recovery),
        TEST(test_presence_of_another_gateway_is_told_while_memory_lasts),
        TEST(test_event_between_a_clients_end_and_its_suspension),
        TEST(test_event_between_a_clients_end_and_its_suspension_is_dropped_with_it),
        TEST(test_events_that_a_client_says_it_has_are_not_sent),
        TEST(test_join_that_a_broadcaster_does_not_answer_is_counted),
        TEST(test_since_whole_history),
        TEST(test_since_waits_until_the_stream_is_at_the_historys_end),
        TEST(test_since_the_stream_says_that_the_rest_is_missing),
        TEST(test_since_stream_that_takes_too_long),
        TEST(test_since_history_that_does_not_reach_back),
        TEST(test_offset_whose_history_does_not_reach_back),
        TEST(test_offset_that_the_history_just_misses),
        TEST(test_since_other_broadcasters_prove_nothing),
        TEST(test_since_broadcaster_that_is_lost_while_it_answers),
        TEST(test_since_broadcaster_that_is_lost_behind_a_hole),
        TEST(test_since_broadcaster_that_does_not_answer),
        TEST(test_since_too_much_of_a_broadcaster_that_is_lost),
        TEST(test_since_what_came_meanwhile_is_not_kept),
        TEST(test_since_without_memory_for_a_gap_is_refused),
        TEST(test_since_without_memory_for_an_event_is_told_a_gap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
