// SPDX-License-Identifier: MIT
// A subscriber on a transport in memory against a model: random schedules of loss, duplication,
// reordering, joins, also since an event, and leaves, replays that are late, partial, refused, or
// lie, and lost publishers. Each owed event comes once, in its stream's order, or a gap is told
// over it; and a gap only over what could not be had.
//
// A seed that fails is printed; TALUS_RECEIVE_SEED runs it alone, TALUS_RECEIVE_SCHEDULES sets how
// many are run.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <talus.h>

#include "tests/bus/support/expect.h"
#include "tests/bus/support/feed_fixture.h"

enum { SCHEDULES = 4000, STEPS = 120, PUBLISHERS = 3, SESSIONS = 4, EVENTS = 256 };

static const char *const origins[PUBLISHERS] = {"alpha000", "beta0000", "gamma000"};
static const char *const sessions[SESSIONS] = {"s", "t", "u", ""};

struct stream {
    uint64_t seqs[EVENTS]; // of the events that were published
    size_t count;
    uint64_t owed;    // events after this seq are owed, while the session is wanted
    uint64_t newest;  // that was delivered, or told to be missing, since the join
    uint64_t at;      // everything up to this seq was delivered, told to be missing, or is not owed
    uint64_t due;     // of a join since an event: everything up to this seq comes before LIVE
    bool is_unknown;  // that nobody knows what the owner has of it is still to be told
    bool is_named;    // the join since an event names one of it
    bool is_given_up; // "*" was joined before LIVE, which is still to be told
};

struct world {
    uint64_t seed;
    uint64_t random;
    struct feed_fixture *fixture;
    talus_subscriber_t *subscriber;
    struct feed_publisher *publishers[PUBLISHERS];
    uint64_t newest[PUBLISHERS];
    uint64_t first[PUBLISHERS]; // that is kept
    struct stream streams[PUBLISHERS][SESSIONS];
    bool is_delivered[PUBLISHERS][EVENTS + 1]; // by seq
    bool is_told[PUBLISHERS][EVENTS + 1];      // to be missing, in a gap of "*"
    bool is_joined[SESSIONS];
    bool was_left[SESSIONS];
    bool is_catching_up[SESSIONS]; // joined since an event, and LIVE has not come
    bool is_everything;            // "*" is joined
    bool may_fail;                 // requests fail, or publishers are lost
    size_t deliveries;
};

static unsigned draw(struct world *world, unsigned below)
{
    world->random = world->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(world->random >> 33) % below;
}

static void check(const struct world *world, bool is_so, const char *what, size_t publisher,
                  size_t session, uint64_t seq)
{
    if (!is_so)
        fail_msg("seed %" PRIu64 ": %s: %s.%" PRIu64 " in '%s'", world->seed, what,
                 origins[publisher], seq, sessions[session]);
}

static bool is_wanted(const struct world *world, size_t session)
{
    return world->is_joined[session] || world->is_everything;
}

// ---- The model

// Everything of the stream up to `seq` is over. What is owed of it must have been delivered or told
// before; with `is_gap` that is told now.
static void advance(struct world *world, size_t publisher, size_t session, uint64_t seq,
                    bool is_gap)
{
    struct stream *stream = &world->streams[publisher][session];

    for (size_t i = 0; i < stream->count; i++) {
        uint64_t one = stream->seqs[i];
        if (one <= stream->at || one > seq || one <= stream->owed || !is_wanted(world, session) ||
            world->is_told[publisher][one])
            continue;
        check(world, is_gap, "passed over in silence", publisher, session, one);
        check(world, one < world->first[publisher] || world->may_fail, "told without need",
              publisher, session, one);
        stream->newest = one;
    }
    if (seq > stream->at)
        stream->at = seq;
}

// A gap of "*" says nothing of what was sent before "*" judged, which may be on its way still.
static void tell_all(struct world *world, size_t publisher, size_t session, uint64_t after,
                     uint64_t first)
{
    const struct stream *stream = &world->streams[publisher][session];

    for (size_t i = 0; i < stream->count; i++) {
        uint64_t one = stream->seqs[i];
        if (one <= after || one >= first || one <= stream->at || one <= stream->owed)
            continue;
        check(world, one < world->first[publisher] || world->may_fail, "told without need",
              publisher, session, one);
        world->is_told[publisher][one] = true;
    }
}

static size_t index_of(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return i;
    }
    fail_msg("'%s' is nobody", name);
    return 0;
}

static void on_event(struct world *world, const talus_event_t *event)
{
    size_t publisher = index_of(origins, PUBLISHERS, event->origin);
    size_t session = index_of(sessions, SESSIONS, event->session);
    struct stream *stream = &world->streams[publisher][session];

    check(world, is_wanted(world, session), "not joined", publisher, session, event->seq);
    check(world, !world->is_delivered[publisher][event->seq], "twice", publisher, session,
          event->seq);
    world->is_delivered[publisher][event->seq] = true;
    // "*" may bring what was not owed to the session, but nothing that was told to be missing.
    check(world, !world->is_told[publisher][event->seq], "told to be missing", publisher, session,
          event->seq);
    check(world, event->seq > (world->is_everything ? stream->newest : stream->at), "late",
          publisher, session, event->seq);
    stream->newest = event->seq;
    if (event->seq == stream->seqs[0])
        stream->is_unknown =
            false; // it was on its way: nothing is before it, and all after it comes
    advance(world, publisher, session, event->seq - 1, false);
    if (event->seq > stream->at)
        stream->at = event->seq;
}

static uint64_t seq_of(const char *id)
{
    return *id ? strtoull(strchr(id, '.') + 1, NULL, 10) : UINT64_MAX;
}

// Once, from the beginning, and over nothing that was sent after the join.
static void on_unknown(struct world *world, size_t publisher, size_t session, uint64_t first)
{
    struct stream *stream = &world->streams[publisher][session];

    check(world, stream->is_unknown && stream->at == 0 && first - 1 <= stream->owed,
          "told to be unknown", publisher, session, first);
    stream->is_unknown = false;
}

// Once for each event of `since`, and before LIVE. What is owed comes all the same.
static void on_given_up(struct world *world, size_t publisher, size_t session)
{
    struct stream *stream = &world->streams[publisher][session];

    check(world, stream->is_given_up, "told to be given up", publisher, session, 0);
    stream->is_given_up = false;
}

static void on_gap(struct world *world, const talus_delivery_t *gap)
{
    size_t publisher = index_of(origins, PUBLISHERS, gap->gap.origin);
    bool is_of_all = strcmp(gap->session, "*") == 0;
    uint64_t after = seq_of(gap->gap.after), first = seq_of(gap->gap.first);

    check(world, after < first, "a gap of nothing", publisher, 0, after);
    if (gap->gap.reason == TALUS_GAP_UNKNOWN && first == UINT64_MAX) {
        on_given_up(world, publisher, index_of(sessions, SESSIONS, gap->session));
        return;
    }
    for (size_t session = 0; session < SESSIONS; session++) {
        if (!is_of_all && strcmp(gap->session, sessions[session]) != 0)
            continue;
        if (gap->gap.reason == TALUS_GAP_UNKNOWN)
            on_unknown(world, publisher, session, first);
        else if (after == 0)
            world->streams[publisher][session].is_unknown = false;
        if (is_of_all) {
            tell_all(world, publisher, session, after, first);
            continue;
        }
        advance(world, publisher, session, after, false);
        advance(world, publisher, session, first - 1, true);
    }
}

static void on_live(struct world *world, const char *name)
{
    if (strcmp(name, "*") == 0)
        return;
    size_t session = index_of(sessions, SESSIONS, name);
    world->is_catching_up[session] = false;
    for (size_t i = 0; i < PUBLISHERS; i++) {
        struct stream *stream = &world->streams[i][session];
        check(world, !stream->is_unknown || world->was_left[session],
              "LIVE, and not told to be unknown", i, session, 0);
        check(world, !stream->is_given_up, "LIVE, and not told to be given up", i, session, 0);
        check(world, stream->due <= stream->owed || stream->due <= stream->at, "due before LIVE", i,
              session, stream->due);
    }
}

// Takes at most `most` deliveries that are there. Returns whether there may be more.
static bool receive(struct world *world, size_t most, int timeout_ms)
{
    const talus_delivery_t *delivery;

    for (size_t i = 0; i < most; i++) {
        talus_error_t error = talus_subscriber_receive(world->subscriber, timeout_ms, &delivery);
        if (error == TALUS_ETIMEOUT)
            return false;
        assert_int_equal(error, 0);
        world->deliveries++;
        if (delivery->kind == TALUS_DELIVERY_EVENT)
            on_event(world, delivery->event);
        else if (delivery->kind == TALUS_DELIVERY_GAP)
            on_gap(world, delivery);
        else if (delivery->kind == TALUS_DELIVERY_LIVE)
            on_live(world, delivery->session);
    }
    return true;
}

// ---- What happens

static void publish(struct world *world, bool is_lost)
{
    size_t publisher = draw(world, PUBLISHERS), session = draw(world, SESSIONS);
    struct stream *stream = &world->streams[publisher][session];

    if (world->newest[publisher] == EVENTS)
        return;
    uint64_t seq = is_lost ? feed_lose(world->publishers[publisher], sessions[session])
                           : feed_publish(world->publishers[publisher], sessions[session]);
    world->newest[publisher] = seq;
    stream->seqs[stream->count++] = seq;
}

static void send_again(struct world *world)
{
    size_t publisher = draw(world, PUBLISHERS);

    if (world->newest[publisher] > 0)
        feed_send(world->publishers[publisher],
                  1 + draw(world, (unsigned)world->newest[publisher]));
}

static void cut_history(struct world *world)
{
    size_t publisher = draw(world, PUBLISHERS);
    uint64_t first = world->first[publisher] + draw(world, 4);

    if (first > world->newest[publisher] + 1)
        return;
    world->first[publisher] = first;
    feed_truncate(world->publishers[publisher], first);
}

// The session's streams begin anew, after the events that are named. What is before those that
// are not is told to be unknown, if there is anything.
static void join_since(struct world *world, size_t session)
{
    char since[PUBLISHERS * (TALUS_ID_MAX + 1)], *end = since;
    size_t least = draw(world, PUBLISHERS);

    *end = '\0';
    for (size_t i = 0; i < PUBLISHERS; i++) {
        struct stream *stream = &world->streams[i][session];
        // After a leave, one that came by this subscriber: what is newer may be on its way.
        uint64_t most = world->was_left[session] ? stream->at : world->newest[i] + 2;
        uint64_t seq = draw(world, (unsigned)most + 1);
        bool is_named = i == least || draw(world, 2);
        uint64_t last = stream->count > 0 ? stream->seqs[stream->count - 1] : 0;
        if (is_named)
            end += sprintf(end, "%s%s.%" PRIu64, end == since ? "" : ",", origins[i], seq);
        stream->owed = !is_named ? last : seq < world->newest[i] ? seq : world->newest[i];
        stream->at = is_named ? stream->owed : 0;
        stream->due = world->was_left[session] ? 0 : last; // else it may be on its way
        stream->is_unknown = !is_named && last > 0;
        stream->is_named = is_named;
        stream->newest = 0;
        for (size_t j = 0; j < stream->count; j++)
            world->is_delivered[i][stream->seqs[j]] = world->is_told[i][stream->seqs[j]] = false;
    }
    assert_int_equal(talus_subscriber_join_since(world->subscriber, sessions[session], since), 0);
    world->is_joined[session] = true;
    world->is_catching_up[session] = true;
}

static void join(struct world *world, size_t session)
{
    if (world->is_joined[session])
        return;
    if (!world->is_everything && draw(world, 2) == 0) {
        join_since(world, session);
        return;
    }
    assert_int_equal(talus_subscriber_join(world->subscriber, sessions[session]), 0);
    for (size_t i = 0; i < PUBLISHERS; i++) {
        struct stream *stream = &world->streams[i][session];
        stream->due = 0;
        if (!world->is_everything)
            stream->owed = stream->count > 0 ? stream->seqs[stream->count - 1] : 0;
    }
    world->is_joined[session] = true;
}

static void leave(struct world *world, size_t session)
{
    if (!world->is_joined[session] || world->is_everything)
        return;
    assert_int_equal(talus_subscriber_leave(world->subscriber, sessions[session]), 0);
    world->is_joined[session] = false;
    world->was_left[session] = true;
    world->is_catching_up[session] = false;
    for (size_t i = 0; i < PUBLISHERS; i++)
        world->streams[i][session].is_unknown = false;
}

// Sessions are live by then, but for joins since an event that catch up: these are given up.
static void join_everything(struct world *world)
{
    if (world->is_everything)
        return;
    receive(world, SIZE_MAX, 0);
    assert_int_equal(talus_subscriber_join(world->subscriber, "*"), 0);
    for (size_t i = 0; i < PUBLISHERS; i++) {
        for (size_t session = 0; session < SESSIONS; session++) {
            struct stream *stream = &world->streams[i][session];
            if (!world->is_joined[session])
                stream->owed = world->newest[i];
            if (!world->is_catching_up[session])
                continue;
            stream->is_given_up = stream->is_named;
            stream->due = 0;
        }
    }
    world->is_everything = true;
}

static void change_replays(struct world *world)
{
    static const enum feed_lie lies[] = {FEED_HONEST, FEED_OTHER_PUBLISHER, FEED_OTHER_SESSION,
                                         FEED_TWICE};

    feed.replays = draw(world, 2) ? FEED_WAITS : FEED_ANSWERS;
    feed.replay_most = draw(world, 4);
    feed.lie = lies[draw(world, 4)];
    feed.lies = draw(world, 3);
}

static void step(struct world *world)
{
    unsigned what = draw(world, 100);

    if (what < 40)
        publish(world, draw(world, 4) == 0);
    else if (what < 46)
        send_again(world);
    else if (what < 52)
        feed_mark(world->publishers[draw(world, PUBLISHERS)], sessions[draw(world, SESSIONS)]);
    else if (what < 55)
        cut_history(world);
    else if (what < 61)
        join(world, draw(world, SESSIONS));
    else if (what < 65)
        leave(world, draw(world, SESSIONS));
    else if (what < 71)
        change_replays(world);
    else if (what < 76)
        feed_respond();
    else if (what < 78 && world->may_fail)
        feed_fail_requests();
    else if (what == 79 && world->seed % 3 == 0)
        join_everything(world);
    else if (what >= 80)
        receive(world, draw(world, 6), 0);
}

// ---- A schedule

static void calm_down(struct world *world)
{
    feed.replays = FEED_ANSWERS;
    feed.lies = 0;
    feed_respond();
    receive(world, SIZE_MAX, 0);
    for (size_t i = 0; i < PUBLISHERS; i++) {
        if (world->may_fail && draw(world, 2) == 0) {
            feed_end(world->publishers[i], FEED_RECORD);
            continue;
        }
        for (size_t session = 0; session < SESSIONS; session++) {
            if (world->is_joined[session])
                feed_mark(world->publishers[i], sessions[session]);
        }
        if (world->is_everything)
            feed_mark(world->publishers[i], "*");
    }
    receive(world, SIZE_MAX, 0);
}

static void check_end(const struct world *world)
{
    for (size_t i = 0; i < PUBLISHERS; i++) {
        for (size_t session = 0; session < SESSIONS; session++) {
            const struct stream *stream = &world->streams[i][session];
            for (size_t j = 0; j < stream->count; j++) {
                uint64_t seq = stream->seqs[j];
                check(world,
                      !is_wanted(world, session) || seq <= stream->owed || seq <= stream->at ||
                          world->is_told[i][seq],
                      "never came", i, session, seq);
            }
            check(world, !stream->is_unknown, "not told to be unknown", i, session, 0);
            check(world, !stream->is_given_up, "not told to be given up", i, session, 0);
        }
    }
    assert_int_equal(feed_counts().open_requests, 0);
    assert_int_equal(feed_stats(world->fixture).held, 0);
}

static size_t run(struct feed_fixture *fixture, uint64_t seed)
{
    static struct world world;

    feed_begin();
    world = (struct world){.seed = seed, .random = seed, .fixture = fixture, .may_fail = seed & 1};
    fixture->options.held_events = 1 + draw(&world, 20);
    fixture->options.live_timeout_ms = EXPECT_DEADLINE_MS;
    world.subscriber = feed_subscribe(fixture);
    for (size_t i = 0; i < PUBLISHERS; i++) {
        world.publishers[i] = feed_publisher(origins[i]);
        world.first[i] = 1;
    }
    receive(&world, SIZE_MAX, 0); // they are known
    for (int i = 0; i < STEPS; i++)
        step(&world);
    calm_down(&world);
    check_end(&world);
    feed_check();
    talus_subscriber_destroy(&fixture->subscriber);
    return world.deliveries;
}

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void quiet(talus_log_level_t level, const char *line, void *arg)
{
    (void)level, (void)line, (void)arg;
}

static void test_receive_random_schedules(void **state)
{
    uint64_t from = number_of("TALUS_RECEIVE_SEED", 1);
    uint64_t count =
        getenv("TALUS_RECEIVE_SEED") ? 1 : number_of("TALUS_RECEIVE_SCHEDULES", SCHEDULES);
    size_t deliveries = 0;

    talus_set_log(TALUS_LOG_ERROR, quiet, NULL);
    for (uint64_t seed = from; seed < from + count; seed++)
        deliveries += run(*state, seed);
    talus_set_log(TALUS_LOG_WARNING, NULL, NULL);
    assert_true(deliveries > count * 10);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, feed_set_up, feed_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_receive_random_schedules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
