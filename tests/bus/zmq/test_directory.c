// SPDX-License-Identifier: MIT
// The bus directory: who may use it, names that are held, and what the dead leave behind.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <talus/error.h>
#include <talus/topic.h>

#include "bus/src/zmq/context.h"
#include "bus/src/zmq/directory/directory.h"
#include "tests/bus/support/child.h"
#include "tests/bus/support/scratch.h"

#define DEADLINE_MS 30000
#define NAMES_MAX   16

struct fixture {
    char root[SCRATCH_PATH_MAX];
    char path[SCRATCH_PATH_MAX]; // ROOT/bus, open
};

struct scanner {
    const char *path;
    atomic_bool *is_over;
    unsigned scans;
};

struct claimer {
    const char *path;
    int number;
    unsigned refused;
    unsigned lost; // claims whose file was gone
};

struct names {
    size_t count;
    char names[NAMES_MAX][32];
};

// ---- Faults: a file system without O_TMPFILE, and a clock that was set

static bool has_no_tmpfile;
static time_t clock_step; // seconds

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = va_arg(arguments, mode_t); // given or not, it may be taken
    va_end(arguments);

    if (has_no_tmpfile && (flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return __real_open(path, flags, mode);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = __real_clock_gettime(clock, now);
    if (clock == CLOCK_REALTIME)
        now->tv_sec += clock_step;
    return result;
}

// ---- The fixture

static int set_up(void **state)
{
    static struct fixture fixture;

    scratch_make(fixture.root);
    scratch_join(fixture.path, fixture.root, "bus");
    *state = &fixture;
    return talus__directory_open(fixture.path, 0700);
}

static int tear_down(void **state)
{
    const struct fixture *fixture = *state;

    has_no_tmpfile = false;
    clock_step = 0;
    scratch_remove(fixture->root);
    return 0;
}

// ---- Helpers

static int ignore_name(const char *name, void *arg)
{
    (void)name, (void)arg;
    return 0;
}

static int on_name(const char *name, void *arg)
{
    struct names *names = arg;

    assert_true(names->count < NAMES_MAX);
    strcpy(names->names[names->count++], name);
    return 0;
}

static size_t scan(const char *path, enum talus__role role, struct names *names)
{
    names->count = 0;
    assert_int_equal(talus__directory_scan(path, role, on_name, names, NULL), 0);
    return names->count;
}

static void make_file(const char *directory, const char *name, const char *text)
{
    char path[SCRATCH_PATH_MAX];
    FILE *file;

    scratch_join(path, directory, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void touch(const char *directory, const char *name)
{
    make_file(directory, name, "");
}

// What a dead process left: its lock files are not empty.
static void leave_lock(const char *directory, const char *name)
{
    make_file(directory, name, "x");
}

// ---- Opening

static void test_directory_is_made_with_its_parents_and_mode(void **state)
{
    const struct fixture *fixture = *state;
    char path[SCRATCH_PATH_MAX];
    struct stat status;
    mode_t before = umask(0077);

    scratch_join(path, fixture->root, "a/b/bus");
    assert_int_equal(talus__directory_open(path, 0750), 0);
    umask(before);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0750);
    assert_int_equal(talus__directory_open(path, 0750), 0);
    assert_int_equal(stat(fixture->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
}

static void test_directory_too_long_for_a_socket_is_refused(void **state)
{
    const struct fixture *fixture = *state;
    char path[SCRATCH_PATH_MAX];
    size_t longest = 107 - strlen("/0123456789abcdef.replay");
    size_t size = strlen(fixture->root);

    memset(path, 'x', sizeof path);
    memcpy(path, fixture->root, size);
    path[size] = '/';
    path[longest + 1] = '\0';
    assert_int_equal(talus__directory_open(path, 0700), TALUS_EPATHTOOLONG);
    path[longest] = '\0';
    assert_int_equal(talus__directory_open(path, 0700), 0);
}

static void test_directory_writable_by_others_is_refused(void **state)
{
    const struct fixture *fixture = *state;

    chmod(fixture->path, 0770);
    assert_int_equal(talus__directory_open(fixture->path, 0700), TALUS_EACCESS);
    assert_int_equal(talus__directory_open(fixture->path, 0770), 0);
    chmod(fixture->path, 0777);
    assert_int_equal(talus__directory_open(fixture->path, 0770), TALUS_EACCESS);
    chmod(fixture->path, 0755);
    assert_int_equal(talus__directory_open(fixture->path, 0700), 0);
}

static void test_directory_in_a_place_open_to_all_is_refused(void **state)
{
    const struct fixture *fixture = *state;

    chmod(fixture->root, 0777);
    assert_int_equal(talus__directory_open(fixture->path, 0700), TALUS_EACCESS);
    chmod(fixture->root, 01777); // as /tmp is
    assert_int_equal(talus__directory_open(fixture->path, 0700), 0);
    chmod(fixture->root, 0700);
}

static void test_directory_of_somebody_else_is_refused(void **state)
{
    const struct fixture *fixture = *state;

    if (geteuid() != 0)
        skip(); // only root can give a directory away
    assert_int_equal(chmod(fixture->root, 0755), 0);
    assert_int_equal(chown(fixture->path, 4711, 4711), 0);
    assert_int_equal(seteuid(4712), 0);
    assert_int_equal(talus__directory_open(fixture->path, 0700), TALUS_EACCESS);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(chown(fixture->path, 4712, 4712), 0);
    assert_int_equal(chown(fixture->root, 4711, 4711), 0);
    assert_int_equal(seteuid(4712), 0);
    assert_int_equal(talus__directory_open(fixture->path, 0700), TALUS_EACCESS);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(chown(fixture->root, 0, 0), 0);
}

static void test_directory_of_a_user_is_open_to_root(void **state)
{
    const struct fixture *fixture = *state;
    struct talus__claim claim;
    struct stat status;

    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(fixture->path, 4711, 4712), 0);
    assert_int_equal(talus__directory_open(fixture->path, 0777), 0);
    assert_int_equal(stat(fixture->path, &status), 0);
    assert_int_equal(status.st_uid, 4711);
    assert_int_equal(status.st_mode & 07777, 0700);
    // The user may read root's lock file, and neither write to it nor make that possible.
    assert_int_equal(
        talus__directory_claim(fixture->path, TALUS__ROLE_SUBSCRIBER, "rootsub1", &claim), 0);
    assert_int_equal(fstat(claim.fd, &status), 0);
    assert_int_equal(status.st_uid, 0);
    assert_int_equal(status.st_mode & 07777, 0444);
    talus__directory_release(&claim, false);
    assert_int_equal(chown(fixture->path, 0, 0), 0);
}

static void test_directory_in_a_place_open_to_a_group_is_refused(void **state)
{
    const struct fixture *fixture = *state;

    assert_int_equal(chmod(fixture->root, 0770), 0);
    assert_int_equal(talus__directory_open(fixture->path, 0700), TALUS_EACCESS);
    assert_int_equal(talus__directory_open(fixture->path, 0770), 0); // the same group may write
    assert_int_equal(chmod(fixture->root, 01770), 0);
    assert_int_equal(talus__directory_open(fixture->path, 0700), 0);
    assert_int_equal(chmod(fixture->root, 0700), 0);
}

static void test_directory_that_is_a_file_is_refused(void **state)
{
    const struct fixture *fixture = *state;
    char path[SCRATCH_PATH_MAX];

    touch(fixture->root, "file");
    scratch_join(path, fixture->root, "file");
    assert_int_equal(talus__directory_open(path, 0700), TALUS_ESYSTEM);
    assert_int_equal(errno, ENOTDIR);
}

// ---- Claims

static void test_directory_claim_holds_until_it_is_released(void **state)
{
    const struct fixture *fixture = *state;
    struct talus__claim claim = {.fd = -1}, other = {.fd = -1};
    struct names names;

    assert_int_equal(
        talus__directory_claim(fixture->path, TALUS__ROLE_PUBLISHER, "origin01", &claim), 0);
    assert_true(talus__directory_holds(&claim));
    assert_true(scratch_has(fixture->path, "origin01.pub.lock"));
    assert_int_equal(
        talus__directory_claim(fixture->path, TALUS__ROLE_PUBLISHER, "origin01", &other),
        TALUS_EADDRINUSE);
    assert_int_equal(
        talus__directory_claim(fixture->path, TALUS__ROLE_SUBSCRIBER, "origin01", &other), 0);
    assert_int_equal(scan(fixture->path, TALUS__ROLE_PUBLISHER, &names), 1);
    assert_string_equal(names.names[0], "origin01");
    assert_int_equal(scan(fixture->path, TALUS__ROLE_SUBSCRIBER, &names), 1);
    talus__directory_release(&other, false);

    touch(fixture->path, "origin01.pub");
    touch(fixture->path, "origin01.replay");
    talus__directory_release(&claim, false);
    assert_int_equal(scratch_count(fixture->path), 0);
    assert_false(talus__directory_holds(&claim));
    talus__directory_release(&claim, false);
}

static void test_directory_scan_does_not_free_locks_of_its_own_process(void **state)
{
    const struct fixture *fixture = *state;
    struct talus__claim claim = {.fd = -1}, other = {.fd = -1};
    struct names names;

    assert_int_equal(
        talus__directory_claim(fixture->path, TALUS__ROLE_PUBLISHER, "origin01", &claim), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(scan(fixture->path, TALUS__ROLE_PUBLISHER, &names), 1);
    assert_int_equal(
        talus__directory_claim(fixture->path, TALUS__ROLE_PUBLISHER, "origin01", &other),
        TALUS_EADDRINUSE);
    assert_true(talus__directory_holds(&claim));
    talus__directory_release(&claim, false);
}

static void test_directory_deleted_claim_is_noticed(void **state)
{
    const struct fixture *fixture = *state;
    struct talus__claim claim = {.fd = -1}, next = {.fd = -1};

    assert_int_equal(
        talus__directory_claim(fixture->path, TALUS__ROLE_SUBSCRIBER, "origin01", &claim), 0);
    unlink(claim.lock_path);
    assert_false(talus__directory_holds(&claim));
    assert_int_equal(
        talus__directory_claim(fixture->path, TALUS__ROLE_SUBSCRIBER, "origin01", &next), 0);
    assert_false(talus__directory_holds(&claim));
    talus__directory_release(&claim, false); // must not remove what the next one holds
    assert_true(talus__directory_holds(&next));
    talus__directory_release(&next, false);
}

static void test_directory_forked_child_neither_holds_nor_removes(void **state)
{
    const struct fixture *fixture = *state;
    struct talus__claim claim = {.fd = -1}, again = {.fd = -1};
    int gate[2], status;
    char byte = 0;

    assert_int_equal(pipe(gate), 0);
    assert_int_equal(
        talus__directory_claim(fixture->path, TALUS__ROLE_SUBSCRIBER, "origin01", &claim), 0);
    pid_t pid = fork();
    if (pid == 0) {
        bool was_open = fcntl(claim.fd, F_GETFD) >= 0;
        close(gate[1]);
        bool is_told = read(gate[0], &byte, 1) == 1; // outlives the parent's claim
        talus__directory_release(&claim, true);      // must not remove what `again` holds
        _exit(!was_open && is_told ? 0 : 1);
    }
    assert_true(pid > 0);
    talus__directory_release(&claim, false);
    assert_int_equal(
        talus__directory_claim(fixture->path, TALUS__ROLE_SUBSCRIBER, "origin01", &again), 0);
    assert_int_equal(write(gate[1], "x", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(talus__directory_holds(&again));
    talus__directory_release(&again, false);
    close(gate[0]);
    close(gate[1]);
}

static void test_directory_claim_without_directory_fails(void **state)
{
    struct talus__claim claim = {.fd = -1};
    struct names names;

    (void)state;
    assert_int_equal(
        talus__directory_claim("/nonexistent", TALUS__ROLE_PUBLISHER, "origin01", &claim),
        TALUS_ESYSTEM);
    assert_null(claim.lock_path);
    assert_int_equal(
        talus__directory_scan("/nonexistent", TALUS__ROLE_PUBLISHER, on_name, &names, NULL),
        TALUS_ESYSTEM);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(talus__directory_watch("/nonexistent"), -1);
}

static void test_directory_endpoint_fits_or_is_refused(void **state)
{
    char out[128];

    (void)state;
    assert_int_equal(talus__directory_endpoint("/b", "origin01", "pub", out, sizeof out), 0);
    assert_string_equal(out, "ipc:///b/origin01.pub");
    assert_int_equal(talus__directory_endpoint("/b", "origin01", "pub", out, 10),
                     TALUS_EPATHTOOLONG);
}

// ---- The dead

static void test_directory_scan_ignores_what_is_no_lock(void **state)
{
    const struct fixture *fixture = *state;
    struct names names;

    touch(fixture->path, "origin01.pub");
    touch(fixture->path, "README");
    touch(fixture->path, "short.pub.lock");
    touch(fixture->path, "UPPERCASE.pub.lock");
    touch(fixture->path, "origin01.pub.lockx");
    touch(fixture->path, "muchtoolongforanorigin.pub.lock");
    assert_int_equal(scan(fixture->path, TALUS__ROLE_PUBLISHER, &names), 0);
    assert_int_equal(scratch_count(fixture->path), 6);
}

static void test_directory_scan_survives_locks_that_are_no_files(void **state)
{
    const struct fixture *fixture = *state;
    char path[SCRATCH_PATH_MAX];
    struct names names;

    scratch_join(path, fixture->path, "origin01.pub.lock");
    assert_int_equal(mkfifo(path, 0600), 0);
    scratch_join(path, fixture->path, "origin02.pub.lock");
    assert_int_equal(mkdir(path, 0700), 0);
    scratch_join(path, fixture->path, "origin03.pub.lock");
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(scan(fixture->path, TALUS__ROLE_PUBLISHER, &names), 0);
    assert_int_equal(scratch_count(fixture->path), 3);
}

static void test_directory_scan_removes_what_the_dead_left(void **state)
{
    const struct fixture *fixture = *state;
    struct talus__claim living = {.fd = -1};
    struct names names;

    assert_int_equal(
        talus__directory_claim(fixture->path, TALUS__ROLE_PUBLISHER, "living01", &living), 0);
    touch(fixture->path, "living01.pub");
    leave_lock(fixture->path, "dead0001.pub.lock");
    touch(fixture->path, "dead0001.pub");
    touch(fixture->path, "dead0001.replay");
    leave_lock(fixture->path, "dead0002.sub.lock");
    touch(fixture->path, "dead0003.pub.lock.abcdefgh"); // died while making it
    assert_int_equal(scan(fixture->path, TALUS__ROLE_PUBLISHER, &names), 1);
    assert_string_equal(names.names[0], "living01");
    // The living one's two files, the ledger of the dead one and the file in the making, which both
    // are left alone for a while.
    assert_int_equal(scratch_count(fixture->path), 4);
    assert_true(scratch_has(fixture->path, "dead0001.pub.dead"));
    assert_true(talus__directory_has_lock(fixture->path, "dead0001"));
    assert_false(talus__directory_has_lock(fixture->path, "dead0002"));
    talus__directory_release(&living, false);
}

static void test_directory_claim_takes_over_from_the_dead(void **state)
{
    const struct fixture *fixture = *state;
    struct talus__claim claim = {.fd = -1};

    touch(fixture->path, "origin01.pub.lock");
    touch(fixture->path, "origin01.pub");
    assert_int_equal(
        talus__directory_claim(fixture->path, TALUS__ROLE_PUBLISHER, "origin01", &claim), 0);
    assert_int_equal(scratch_count(fixture->path), 2); // with the ledger of the dead one
    talus__directory_release(&claim, false);
}

static bool scan_unsettled(const char *path)
{
    bool is_unsettled;

    assert_int_equal(
        talus__directory_scan(path, TALUS__ROLE_PUBLISHER, ignore_name, NULL, &is_unsettled), 0);
    return is_unsettled;
}

// An empty file that nobody holds is of a program that has not locked it yet, until it is old.
static void test_directory_scan_waits_for_the_lock_of_a_new_file(void **state)
{
    const struct fixture *fixture = *state;
    char path[SCRATCH_PATH_MAX];
    struct names names;

    touch(fixture->path, "origin01.pub.lock");
    touch(fixture->path, "origin01.pub");
    assert_true(scan_unsettled(fixture->path));
    assert_false(talus__directory_has_lock(fixture->path, "origin01"));
    assert_int_equal(scratch_count(fixture->path), 2);
    scratch_join(path, fixture->path, "origin01.pub.lock");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_false(scan_unsettled(fixture->path));
    assert_true(talus__directory_has_lock(fixture->path, "origin01"));
    assert_int_equal(scan(fixture->path, TALUS__ROLE_PUBLISHER, &names), 1);
    close(fd);
    clock_step = 12;
    assert_false(scan_unsettled(fixture->path));
    clock_step = 0;
    assert_true(scratch_has(fixture->path, ".pub.dead"));
    assert_int_equal(scratch_count(fixture->path), 1);
    assert_true(talus__directory_has_lock(fixture->path, "origin01"));
}

// What the dead left stays for ten seconds, also if the clock was set meanwhile.
static void test_directory_scan_keeps_the_dead_for_a_while(void **state)
{
    const struct fixture *fixture = *state;
    const time_t young[] = {0, 8, -8}, old[] = {12, -12};

    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++) {
        leave_lock(fixture->path, "dead0001.pub.lock");
        for (size_t j = 0; j < sizeof young / sizeof young[0]; j++) {
            clock_step = young[j];
            scan_unsettled(fixture->path);
            assert_true(scratch_has(fixture->path, ".pub.dead"));
        }
        clock_step = old[i];
        scan_unsettled(fixture->path);
        assert_int_equal(scratch_count(fixture->path), 0);
    }
}

static void check_is_no_ledger(const char *path)
{
    assert_int_equal(talus__directory_open_ledger(path, "origin01"), -1);
    assert_int_equal(errno, ENODATA);
}

static void test_directory_opens_ledgers_only(void **state)
{
    const struct fixture *fixture = *state;
    char path[SCRATCH_PATH_MAX];

    scratch_join(path, fixture->path, "origin01.pub.lock");
    assert_int_equal(talus__directory_open_ledger(fixture->path, "origin01"), -1);
    assert_int_equal(errno, ENOENT);
    make_file(fixture->path, "origin01.pub.lock", "");
    check_is_no_ledger(fixture->path);
    make_file(fixture->path, "origin01.pub.lock", "something else");
    check_is_no_ledger(fixture->path);
    make_file(fixture->path, "origin01.pub.lock", "TLEDGER1");
    int fd = talus__directory_open_ledger(fixture->path, "origin01");
    assert_true(fd >= 0);
    close(fd);
    assert_false(scan_unsettled(fixture->path));
    fd = talus__directory_open_ledger(fixture->path, "origin01"); // of the dead one now
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(talus__directory_open_ledger(fixture->path, "origin01"), -1);
    assert_int_equal(errno, EINVAL);
}

// ---- Many at once

#define CLAIMS   2000
#define SCANNERS 3

// Looks at a directory as subscribers do, whenever something happens in it.
static void *scan_on(void *arg)
{
    struct scanner *scanner = arg;
    int watch = talus__directory_watch(scanner->path);
    struct pollfd item = {.fd = watch, .events = POLLIN};

    while (!atomic_load(scanner->is_over)) {
        if (poll(&item, 1, 10) > 0)
            talus__directory_drain(watch, NULL, NULL);
        talus__directory_scan(scanner->path, TALUS__ROLE_PUBLISHER, ignore_name, NULL, NULL);
        scanner->scans++;
    }
    close(watch);
    return NULL;
}

static void *claim_on(void *arg)
{
    struct claimer *claimer = arg;

    for (int i = 0; i < CLAIMS; i++) {
        struct talus__claim claim;
        char name[TALUS_ORIGIN_MAX + 1];
        snprintf(name, sizeof name, "claim%c%06d", 'a' + claimer->number, i);
        int error = talus__directory_claim(claimer->path, TALUS__ROLE_PUBLISHER, name, &claim);
        claimer->refused += error != 0;
        if (!error) {
            claimer->lost += !talus__directory_holds(&claim);
            talus__directory_release(&claim, false);
        }
    }
    return NULL;
}

static void check_claims_are_not_disturbed(const struct fixture *fixture)
{
    static atomic_bool is_over;
    struct scanner scanners[SCANNERS];
    struct claimer claimers[2];
    pthread_t threads[SCANNERS + 2];

    atomic_store(&is_over, false);
    for (int i = 0; i < SCANNERS; i++) {
        scanners[i] = (struct scanner){.path = fixture->path, .is_over = &is_over};
        assert_int_equal(pthread_create(&threads[i], NULL, scan_on, &scanners[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        claimers[i] = (struct claimer){.path = fixture->path, .number = i};
        assert_int_equal(pthread_create(&threads[SCANNERS + i], NULL, claim_on, &claimers[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[SCANNERS + i], NULL);
        assert_int_equal(claimers[i].refused, 0);
        assert_int_equal(claimers[i].lost, 0);
    }
    atomic_store(&is_over, true);
    for (int i = 0; i < SCANNERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(scanners[i].scans > 0);
    }
    assert_int_equal(scratch_count(fixture->path), 0);
}

// A claim never fails since others look: its file has no name before it is locked.
static void test_directory_claims_are_not_disturbed_by_those_who_look(void **state)
{
    check_claims_are_not_disturbed(*state);
}

static void test_directory_claims_without_tmpfile_are_not_disturbed(void **state)
{
    has_no_tmpfile = true;
    check_claims_are_not_disturbed(*state);
}

// ---- A lock file from its making to its end

static void write_first(int fd, void *arg)
{
    (void)arg;
    assert_int_equal(write(fd, "ledger", 6), 6);
}

static void check_claim(const struct fixture *fixture, mode_t directory_mode, mode_t mode)
{
    struct talus__claim claim = {.fd = -1}, other = {.fd = -1};
    struct stat status;
    struct names names;

    assert_int_equal(chmod(fixture->path, directory_mode), 0);
    int watch = talus__directory_watch(fixture->path);
    assert_true(watch >= 0);
    assert_int_equal(talus__directory_claim_prepared(fixture->path, TALUS__ROLE_PUBLISHER,
                                                     "origin01", write_first, NULL, &claim),
                     0);
    assert_true(talus__directory_holds(&claim));
    assert_int_equal(scratch_count(fixture->path), 1); // nothing is left of the making
    assert_int_equal(fstat(claim.fd, &status), 0);
    assert_int_equal(status.st_mode & 07777, mode);
    assert_int_equal(status.st_size, 6);
    assert_int_equal(
        talus__directory_claim(fixture->path, TALUS__ROLE_PUBLISHER, "origin01", &other),
        TALUS_EADDRINUSE);
    assert_int_equal(scan(fixture->path, TALUS__ROLE_PUBLISHER, &names), 1);
    assert_int_equal(
        talus__directory_claim(fixture->path, TALUS__ROLE_SUBSCRIBER, "origin01", &other), 0);
    assert_int_equal(fstat(other.fd, &status), 0);
    assert_true(status.st_size > 0); // else it would look like one in the making
    talus__directory_release(&other, false);
    talus__directory_drain(watch, NULL, NULL);
    talus__directory_abandon(&claim);
    assert_true(talus__directory_drain(watch, NULL, NULL)); // its closing is told
    close(watch);
    assert_int_equal(scan(fixture->path, TALUS__ROLE_PUBLISHER, &names), 0);
    assert_true(scratch_has(fixture->path, ".pub.dead"));
    clock_step = 12;
    assert_false(scan_unsettled(fixture->path));
    clock_step = 0;
    assert_int_equal(scratch_count(fixture->path), 0);
}

static void check_claims(const struct fixture *fixture)
{
    check_claim(fixture, 0700, 0400);
    check_claim(fixture, 0750, 0440);
    check_claim(fixture, 0770, 0440);
    check_claim(fixture, 0777, 0444);
}

static void test_directory_claim_from_its_making_to_its_end(void **state)
{
    check_claims(*state);
}

static void test_directory_claim_without_tmpfile(void **state)
{
    has_no_tmpfile = true;
    check_claims(*state);
}

// ---- Processes

static int claim_and_wait(const char *path)
{
    struct talus__claim claim = {.fd = -1};

    if (talus__directory_claim(path, TALUS__ROLE_PUBLISHER, "origin01", &claim) != 0)
        return 1;
    child_say();
    child_await();
    talus__directory_release(&claim, false);
    return 0;
}

static void wait_told(int watch)
{
    struct pollfd item = {.fd = watch, .events = POLLIN};

    assert_int_equal(poll(&item, 1, DEADLINE_MS), 1);
    assert_true(talus__directory_drain(watch, NULL, NULL));
}

static void test_directory_tells_of_a_killed_process(void **state)
{
    const struct fixture *fixture = *state;
    struct names names;
    struct child child;
    int watch = talus__directory_watch(fixture->path);

    assert_true(watch >= 0);
    assert_false(talus__directory_drain(watch, NULL, NULL));
    child_start(&child, "claim", fixture->path);
    child_wait_said(&child);
    wait_told(watch);
    assert_int_equal(scan(fixture->path, TALUS__ROLE_PUBLISHER, &names), 1);
    assert_false(talus__directory_drain(watch, NULL, NULL)); // looking raises no event

    touch(fixture->path, "origin01.pub");
    wait_told(watch);
    child_kill(&child);
    wait_told(watch);
    // The process is gone for good here, so its lock is free.
    assert_int_equal(scan(fixture->path, TALUS__ROLE_PUBLISHER, &names), 0);
    assert_int_equal(scratch_count(fixture->path), 1); // its ledger
    wait_told(watch);
    close(watch);
}

static void test_directory_tells_of_its_own_end(void **state)
{
    const struct fixture *fixture = *state;
    int watch = talus__directory_watch(fixture->path);

    assert_true(watch >= 0);
    assert_int_equal(rmdir(fixture->path), 0);
    wait_told(watch);
    close(watch);
}

// Many claim while many scan: a newborn's lock must not be taken for a dead one's.
static int claim_often(const char *path)
{
    for (int i = 0; i < 300; i++) {
        struct talus__claim claim = {.fd = -1};
        struct names names = {.count = 0};
        char name[13];

        if (!tl_random_name(name, 12) ||
            talus__directory_claim(path, TALUS__ROLE_PUBLISHER, name, &claim) != 0)
            return 1;
        if (talus__directory_scan(path, TALUS__ROLE_PUBLISHER, on_name, &names, NULL) != 0 ||
            !talus__directory_holds(&claim))
            return 2;
        bool is_seen = false;
        for (size_t j = 0; j < names.count; j++)
            is_seen |= strcmp(names.names[j], name) == 0;
        if (!is_seen)
            return 3;
        talus__directory_release(&claim, false);
    }
    child_await();
    return 0;
}

static void test_directory_scanners_leave_newborns_alone(void **state)
{
    const struct fixture *fixture = *state;
    struct child children[3];

    for (size_t i = 0; i < 3; i++)
        child_start(&children[i], "claim-often", fixture->path);
    for (size_t i = 0; i < 3; i++)
        child_finish(&children[i]);
    assert_int_equal(scratch_count(fixture->path), 0);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "claim") == 0)
        return claim_and_wait(argv[2]);
    if (argc == 3 && strcmp(argv[1], "claim-often") == 0)
        return claim_often(argv[2]);

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_directory_is_made_with_its_parents_and_mode),
        TEST(test_directory_too_long_for_a_socket_is_refused),
        TEST(test_directory_writable_by_others_is_refused),
        TEST(test_directory_in_a_place_open_to_all_is_refused),
        TEST(test_directory_of_somebody_else_is_refused),
        TEST(test_directory_of_a_user_is_open_to_root),
        TEST(test_directory_in_a_place_open_to_a_group_is_refused),
        TEST(test_directory_claims_are_not_disturbed_by_those_who_look),
        TEST(test_directory_claims_without_tmpfile_are_not_disturbed),
        TEST(test_directory_claim_from_its_making_to_its_end),
        TEST(test_directory_claim_without_tmpfile),
        TEST(test_directory_scan_waits_for_the_lock_of_a_new_file),
        TEST(test_directory_scan_keeps_the_dead_for_a_while),
        TEST(test_directory_opens_ledgers_only),
        TEST(test_directory_that_is_a_file_is_refused),
        TEST(test_directory_claim_holds_until_it_is_released),
        TEST(test_directory_scan_does_not_free_locks_of_its_own_process),
        TEST(test_directory_deleted_claim_is_noticed),
        TEST(test_directory_forked_child_neither_holds_nor_removes),
        TEST(test_directory_claim_without_directory_fails),
        TEST(test_directory_endpoint_fits_or_is_refused),
        TEST(test_directory_scan_ignores_what_is_no_lock),
        TEST(test_directory_scan_survives_locks_that_are_no_files),
        TEST(test_directory_scan_removes_what_the_dead_left),
        TEST(test_directory_claim_takes_over_from_the_dead),
        TEST(test_directory_tells_of_a_killed_process),
        TEST(test_directory_tells_of_its_own_end),
        TEST(test_directory_scanners_leave_newborns_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
