// SPDX-License-Identifier: MIT
// Broadcasters that come to a bus directory, and go, while a subscriber stands still; and files
// that only look like theirs.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/src/zmq/directory/directory.h"
#include "tests/bus/support/expect.h"
#include "tests/bus/support/repair_fixture.h"

#define QUIET_MS   2000   // longer than until a loss is told
#define EVENTS_MAX 500000 // of an inotify queue that this test is ready to fill

static void bus_path(const struct repair_fixture *fixture, char path[SCRATCH_PATH_MAX])
{
    scratch_join(path, fixture->root, "bus");
}

static void file_path(const struct repair_fixture *fixture, const char *name,
                      char path[SCRATCH_PATH_MAX])
{
    char bus[SCRATCH_PATH_MAX];

    bus_path(fixture, bus);
    scratch_join(path, bus, name);
}

static int make_file(const struct repair_fixture *fixture, const char *name)
{
    char path[SCRATCH_PATH_MAX];

    file_path(fixture, name, path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void expect_nothing(talus_subscriber_t *subscriber)
{
    const talus_delivery_t *delivery;

    assert_int_equal(talus_subscriber_receive(subscriber, QUIET_MS, &delivery), TALUS_ETIMEOUT);
}

static int ignore_name(const char *name, void *arg)
{
    (void)name, (void)arg;
    return 0;
}

// What others do in the time in which the subscriber stands still: they find the dead one, and,
// more than ten seconds later, remove what it left.
static void bury_dead(const struct repair_fixture *fixture)
{
    char bus[SCRATCH_PATH_MAX], command[SCRATCH_PATH_MAX + 32];

    bus_path(fixture, bus);
    assert_int_equal(talus__directory_scan(bus, TALUS__ROLE_PUBLISHER, ignore_name, NULL, NULL), 0);
    assert_true(scratch_has(bus, ".pub.dead"));
    snprintf(command, sizeof command, "rm %s/*.pub.dead", bus);
    assert_int_equal(system(command), 0);
}

// ---- While nobody looks

static void test_newcomers_that_died_and_were_buried_are_told(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);

    join_live(subscriber, "s");
    child_start(&fixture->child, "emit", fixture->bus);
    child_wait_said(&fixture->child);
    child_kill(&fixture->child);
    bury_dead(fixture);
    // Nothing says any more what it had sent.
    const talus_gap_t *gap = expect_gap(subscriber, "s", NULL, "", TALUS_GAP_ORIGIN_LOST);
    assert_string_equal(strchr(gap->after, '.'), ".0");
    pump_until(subscriber, origins_are, 0);
    assert_int_equal(repair_stats_of(fixture).gaps, 1);
}

// It said that not all was handed over.
static void test_newcomers_that_ended_too_early_are_told(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);

    join_live(subscriber, "s");
    fixture->publishing.linger_ms = 100;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, fixture->bus);
    repair_emit(broadcaster, "s");
    assert_int_equal(talus_broadcaster_close(&fixture->broadcasters[0]), TALUS_ETIMEOUT);
    bury_dead(fixture);
    expect_gap(subscriber, "s", NULL, "", TALUS_GAP_ORIGIN_LOST);
    pump_until(subscriber, origins_are, 0);
    assert_int_equal(repair_stats_of(fixture).gaps, 1);
}

static void test_newcomers_that_ended_in_good_order_are_no_loss(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);

    join_live(subscriber, "s");
    for (int i = 0; i < 3; i++) {
        repair_broadcast(fixture, 0, fixture->bus);
        talus_broadcaster_destroy(&fixture->broadcasters[0]);
    }
    expect_nothing(subscriber);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

// One that died before the subscriber came is none of its business, also if it is found later.
static void test_newcomers_are_not_those_that_died_before(void **state)
{
    struct repair_fixture *fixture = *state;
    char bus[SCRATCH_PATH_MAX];

    bus_path(fixture, bus);
    child_start(&fixture->child, "emit", fixture->bus);
    child_wait_said(&fixture->child);
    child_kill(&fixture->child);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    assert_true(scratch_has(bus, ".pub.dead"));
    join_live(subscriber, "s");
    expect_nothing(subscriber);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

static unsigned long queued_events_max(void)
{
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
    unsigned long most = 0;

    if (file && fscanf(file, "%lu", &most) != 1)
        most = 0;
    if (file)
        fclose(file);
    return most;
}

// More happened than the watch can keep: somebody may have come, emitted and died.
static void test_newcomers_beyond_the_watch_may_be_a_loss(void **state)
{
    struct repair_fixture *fixture = *state;
    unsigned long most = queued_events_max();
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);

    if (most == 0 || most > EVENTS_MAX) {
        print_message("the watch keeps %lu events: too many to overflow it\n", most);
        skip();
    }
    join_live(subscriber, "s");
    join_live(subscriber, "t");
    for (unsigned long i = 0; i <= most / 2; i++) { // each is created, closed and deleted
        char name[32], path[SCRATCH_PATH_MAX];
        snprintf(name, sizeof name, "file%lu", i);
        close(make_file(fixture, name));
        file_path(fixture, name, path);
        assert_int_equal(unlink(path), 0);
    }
    // One for each session, in any order.
    bool is_told[2] = {false, false};
    for (int i = 0; i < 2; i++) {
        const talus_delivery_t *gap;
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &gap), 0);
        assert_int_equal(gap->kind, TALUS_DELIVERY_GAP);
        assert_int_equal(gap->gap.reason, TALUS_GAP_ORIGIN_LOST);
        assert_string_equal(gap->gap.first, "");
        is_told[strcmp(gap->session, "t") == 0] = true;
    }
    assert_true(is_told[0] && is_told[1]);
    pump_until(subscriber, origins_are, 0);
    assert_int_equal(repair_stats_of(fixture).directory_overflows, 1);
    expect_nothing(subscriber);
}

// ---- What only looks like a broadcaster

static void test_newcomers_are_no_files_that_nobody_locks(void **state)
{
    struct repair_fixture *fixture = *state;
    char path[SCRATCH_PATH_MAX], bus[SCRATCH_PATH_MAX];
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);

    bus_path(fixture, bus);
    join_live(subscriber, "s");
    close(make_file(fixture, "someone1.pub.lock"));
    file_path(fixture, "someone2.pub.lock", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    file_path(fixture, "someone3.pub.lock", path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    file_path(fixture, "someone4.pub.lock", path);
    assert_int_equal(mkdir(path, 0700), 0);
    expect_nothing(subscriber);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
    assert_int_equal(repair_stats_of(fixture).origins, 0);
    assert_int_equal(scratch_count(bus), 5); // with the subscriber's own
}

// As another language may do it: first the file, then its lock, some time later. Nothing tells of
// the lock, so the subscriber has to look.
static void test_newcomers_may_lock_their_file_later(void **state)
{
    struct repair_fixture *fixture = *state;
    const talus_delivery_t *delivery;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);

    join_live(subscriber, "s");
    int fd = make_file(fixture, "someone1.pub.lock");
    assert_int_equal(talus_subscriber_receive(subscriber, 400, &delivery), TALUS_ETIMEOUT);
    assert_int_equal(repair_stats_of(fixture).origins, 0);
    assert_int_equal(flock(fd, LOCK_EX), 0); // waits for those who look, as is documented
    pump_until(subscriber, origins_are, 1);
    close(fd);
    expect_gap(subscriber, "s", "someone1.0", "", TALUS_GAP_ORIGIN_LOST);
    pump_until(subscriber, origins_are, 0);
}

// ---- In two directories

// The first that the subscriber looks at has no ledger; the other one tells that nothing is lost.
static void test_newcomers_ledger_is_found_in_the_other_directory(void **state)
{
    struct repair_fixture *fixture = *state;
    char both[2 * ENDPOINT_MAX], turned[2 * ENDPOINT_MAX];

    snprintf(both, sizeof both, "%s,ipc://%s/other/*", fixture->bus, fixture->root);
    snprintf(turned, sizeof turned, "ipc://%s/other/*,%s", fixture->root, fixture->bus);
    child_start(&fixture->child, "emit", both);
    child_wait_said(&fixture->child);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, turned);
    join_live(subscriber, "s");
    join_live(subscriber, "quiet");
    child_tell(&fixture->child);
    repair_expect_seqs(subscriber, 1, 3);
    child_wait_said(&fixture->child);
    child_kill(&fixture->child);
    pump_until(subscriber, origins_are, 0);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

// ---- The child

static int run_child(const char *endpoint)
{
    const talus_emit_t event = {.session = "s", .type = "t"};
    talus_broadcaster_t *broadcaster;

    if (talus_broadcaster_new(&broadcaster, endpoint, NULL) != 0)
        return 1;
    child_say();
    child_await();
    for (int i = 0; i < 3; i++) {
        if (talus_emit(broadcaster, &event, NULL) != 0)
            return 1;
    }
    if (talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS) != 0)
        return 1;
    child_say();
    child_await();
    talus_broadcaster_destroy(&broadcaster);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return run_child(argv[2]);
#define TEST(name) cmocka_unit_test_setup_teardown(name, repair_set_up, repair_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_newcomers_that_died_and_were_buried_are_told),
        TEST(test_newcomers_that_ended_too_early_are_told),
        TEST(test_newcomers_that_ended_in_good_order_are_no_loss),
        TEST(test_newcomers_are_not_those_that_died_before),
        TEST(test_newcomers_beyond_the_watch_may_be_a_loss),
        TEST(test_newcomers_are_no_files_that_nobody_locks),
        TEST(test_newcomers_may_lock_their_file_later),
        TEST(test_newcomers_ledger_is_found_in_the_other_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
