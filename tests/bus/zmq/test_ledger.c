// SPDX-License-Identifier: MIT
// The ledger: what is written is what is read, also by those who find it truncated or nonsense.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <talus/error.h>

#include "bus/src/codec/journal.h"
#include "bus/src/codec/ledger_format.h"
#include "bus/src/codec/malformed.h"
#include "bus/src/zmq/directory/ledger_file.h"
#include "bus/src/zmq/pub/ledger_writer.h"
#include "common/name_hash.h"
#include "tests/bus/support/scratch.h"

#define ORIGIN "origin01"
#define MANY   100000
#define MOST   (20u << 20) // bytes of a ledger of MANY sessions

struct fixture {
    char root[SCRATCH_PATH_MAX];
    int fd;
    struct talus__ledger_writer writer;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    char path[SCRATCH_PATH_MAX];

    scratch_make(fixture.root);
    scratch_join(path, fixture.root, "lock");
    fixture.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    fixture.writer = (struct talus__ledger_writer){.fd = -1};
    *state = &fixture;
    return fixture.fd >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    talus__ledger_fini(&fixture->writer);
    close(fixture->fd);
    scratch_remove(fixture->root);
    return 0;
}

static uint64_t hash_of(const struct fixture *fixture, const char *session)
{
    return tl_name_hash(fixture->writer.key, session, strlen(session));
}

// As the broadcaster does: first the emit, then the send.
static void emit(struct fixture *fixture, const char *session, uint64_t seq)
{
    fixture->writer.ring[(seq - 1) & fixture->writer.ring_mask] =
        talus__journal_entry(seq, hash_of(fixture, session));
}

static void send_event(struct fixture *fixture, const char *session, uint32_t *slot, uint64_t seq)
{
    talus__ledger_note(&fixture->writer, hash_of(fixture, session), slot, seq);
    talus__ledger_sent(&fixture->writer, seq);
}

static uint64_t last_of(const struct talus__ledger *ledger, const char *session)
{
    return talus__ledger_last(ledger, session, strlen(session));
}

static void test_ledger_tells_what_was_sent_and_what_was_not(void **state)
{
    struct fixture *fixture = *state;
    struct talus__ledger ledger;
    uint32_t a = 0, b = 0;

    assert_true(talus__ledger_create(&fixture->writer, fixture->fd, ORIGIN, 16));
    for (uint64_t seq = 1; seq <= 40; seq++) {
        emit(fixture, seq % 2 ? "a" : "", seq);
        if (seq % 2)
            send_event(fixture, "a", &a, seq);
        else
            send_event(fixture, "", &b, seq);
    }
    emit(fixture, "b", 41);
    emit(fixture, "a", 42);
    assert_int_equal(talus__ledger_open_file(&ledger, fixture->fd, ORIGIN), 0);
    assert_int_equal(ledger.sent, 40);
    assert_int_equal(ledger.newest, 42);
    assert_int_equal(last_of(&ledger, "a"), 42);
    assert_int_equal(last_of(&ledger, ""), 40);
    assert_int_equal(last_of(&ledger, "b"), 41);
    assert_int_equal(last_of(&ledger, "never"), 0);
    talus__ledger_close(&ledger);
    assert_int_equal(talus__ledger_open_file(&ledger, fixture->fd, "origin02"), TALUS__EBODY);
}

// More was emitted than the ring can hold: any session may have got what it does not know.
static void test_ledger_errs_on_the_side_of_a_loss(void **state)
{
    struct fixture *fixture = *state;
    struct talus__ledger ledger;

    assert_true(talus__ledger_create(&fixture->writer, fixture->fd, ORIGIN, 16));
    for (uint64_t seq = 1; seq <= 17; seq++)
        emit(fixture, "a", seq);
    assert_int_equal(talus__ledger_open_file(&ledger, fixture->fd, ORIGIN), 0);
    assert_int_equal(ledger.newest, 17);
    assert_int_equal(last_of(&ledger, "never"), 17);
    talus__ledger_close(&ledger);
}

static void test_ledger_of_many_sessions(void **state)
{
    struct fixture *fixture = *state;
    static uint32_t slots[MANY];
    struct talus__ledger ledger;
    struct stat status;
    char session[64];

    memset(slots, 0, sizeof slots);
    assert_true(talus__ledger_create(&fixture->writer, fixture->fd, ORIGIN, 65536));
    assert_int_equal(fstat(fixture->fd, &status), 0);
    assert_true(status.st_size <= 128 * 1024);
    for (uint64_t i = 0; i < MANY; i++) {
        snprintf(session, sizeof session, "3f2504e0-4f89-11d3-9a0c-%012u", (unsigned)i);
        send_event(fixture, session, &slots[i], i + 1);
    }
    assert_non_null(fixture->writer.slots);
    assert_int_equal(talus__ledger_open_file(&ledger, fixture->fd, ORIGIN), 0);
    for (uint64_t i = 0; i < MANY; i++) {
        snprintf(session, sizeof session, "3f2504e0-4f89-11d3-9a0c-%012u", (unsigned)i);
        assert_int_equal(last_of(&ledger, session), i + 1);
    }
    assert_int_equal(last_of(&ledger, "never"), 0);
    talus__ledger_close(&ledger);
    assert_int_equal(fstat(fixture->fd, &status), 0);
    assert_true(status.st_size <= MOST);
}

// The forgotten count for the watermark, as in heads; and the file stops to grow.
static void test_ledger_forgets(void **state)
{
    struct fixture *fixture = *state;
    struct talus__ledger ledger;
    struct stat status;
    char session[32];
    enum { KEPT = 1000, TURNS = 50000 };
    static uint32_t slots[TURNS];
    off_t size = 0;

    memset(slots, 0, sizeof slots);
    assert_true(talus__ledger_create(&fixture->writer, fixture->fd, ORIGIN, 16));
    for (int i = 0; i < TURNS; i++) {
        snprintf(session, sizeof session, "s%d", i);
        send_event(fixture, session, &slots[i], (uint64_t)i + 1);
        if (i >= KEPT) {
            snprintf(session, sizeof session, "s%d", i - KEPT);
            talus__ledger_forget(&fixture->writer, hash_of(fixture, session), slots[i - KEPT],
                                 (uint64_t)(i - KEPT) + 1);
        }
        assert_int_equal(fstat(fixture->fd, &status), 0);
        if (i == TURNS / 2)
            size = status.st_size;
    }
    assert_int_equal(status.st_size, size);
    assert_int_equal(talus__ledger_open_file(&ledger, fixture->fd, ORIGIN), 0);
    for (int i = 0; i < TURNS; i++) {
        snprintf(session, sizeof session, "s%d", i);
        assert_int_equal(last_of(&ledger, session), i < TURNS - KEPT ? TURNS - KEPT : i + 1);
    }
    assert_int_equal(last_of(&ledger, "never"), TURNS - KEPT);
    talus__ledger_close(&ledger);
}

// Two sessions with one hash share a slot: what one of them forgets is not taken from the other.
static void test_ledger_forgets_one_of_two_with_one_hash(void **state)
{
    struct fixture *fixture = *state;
    struct talus__ledger ledger;
    uint32_t slot = 0;

    assert_true(talus__ledger_create(&fixture->writer, fixture->fd, ORIGIN, 16));
    send_event(fixture, "a", &slot, 1);
    send_event(fixture, "b", &slot, 2);
    send_event(fixture, "a", &slot, 3); // or another session with the hash of "a"
    talus__ledger_forget(&fixture->writer, hash_of(fixture, "a"), slot, 2);
    assert_int_equal(talus__ledger_open_file(&ledger, fixture->fd, ORIGIN), 0);
    assert_int_equal(last_of(&ledger, "a"), 3);
    talus__ledger_close(&ledger);
    talus__ledger_forget(&fixture->writer, hash_of(fixture, "a"), slot, 3);
    assert_int_equal(talus__ledger_open_file(&ledger, fixture->fd, ORIGIN), 0);
    assert_int_equal(last_of(&ledger, "a"), 3);
    assert_int_equal(last_of(&ledger, "never"), 3);
    talus__ledger_close(&ledger);
}

// A file that cannot grow, as on a full file system: at the beginning and later. The signal that a
// process gets which goes beyond its limit would end the test.
static void test_ledger_does_without_space(void **state)
{
    struct fixture *fixture = *state;
    struct talus__ledger ledger;
    struct rlimit before, none = {0, 0}, little = {16384, 16384};
    char session[32];
    uint32_t slot;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none.rlim_max = before.rlim_max;
    little.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    assert_false(talus__ledger_create(&fixture->writer, fixture->fd, ORIGIN, 16));
    assert_null(fixture->writer.header);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    assert_true(talus__ledger_create(&fixture->writer, fixture->fd, ORIGIN, 16));
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(session, sizeof session, "s%u", i);
        slot = 0;
        send_event(fixture, session, &slot, i + 1);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_null(fixture->writer.slots);
    assert_int_equal(talus__ledger_open_file(&ledger, fixture->fd, ORIGIN), TALUS__EBODY);
}

static void test_ledger_that_is_truncated_or_nonsense(void **state)
{
    struct fixture *fixture = *state;
    static unsigned char bytes[16384];
    struct talus__ledger ledger;
    uint32_t slot = 0;

    assert_true(talus__ledger_create(&fixture->writer, fixture->fd, ORIGIN, 16));
    emit(fixture, "a", 1);
    send_event(fixture, "a", &slot, 1);
    ssize_t size = pread(fixture->fd, bytes, sizeof bytes, 0);
    assert_true(size > 4096);
    talus__ledger_fini(&fixture->writer);
    for (ssize_t cut = size; cut > 0; cut -= 64) {
        assert_int_equal(ftruncate(fixture->fd, cut), 0);
        if (talus__ledger_open_file(&ledger, fixture->fd, ORIGIN) != 0)
            continue;
        assert_in_range(last_of(&ledger, "a"), 0, 1);
        assert_in_range(last_of(&ledger, "b"), 0, 1);
        talus__ledger_close(&ledger);
    }
    srand(1);
    for (int i = 0; i < 20000; i++) {
        size_t at = (size_t)rand() % sizeof(struct talus__ledger_header);
        unsigned char was = bytes[at];
        bytes[at] = (unsigned char)rand();
        assert_int_equal(pwrite(fixture->fd, bytes, (size_t)size, 0), size);
        if (talus__ledger_open_file(&ledger, fixture->fd, ORIGIN) == 0) {
            last_of(&ledger, "a");
            talus__ledger_close(&ledger);
        }
        bytes[at] = was;
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_ledger_tells_what_was_sent_and_what_was_not),
        TEST(test_ledger_errs_on_the_side_of_a_loss),
        TEST(test_ledger_of_many_sessions),
        TEST(test_ledger_forgets),
        TEST(test_ledger_forgets_one_of_two_with_one_hash),
        TEST(test_ledger_does_without_space),
        TEST(test_ledger_that_is_truncated_or_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
