// SPDX-License-Identifier: MIT
// A broadcaster's life: making it, its files, its end, and forks.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <talus.h>

#include "bus/src/codec/wire.h"
#include "bus/src/zmq/context.h"
#include "tests/bus/support/raw_subscriber.h"
#include "tests/bus/support/scratch.h"

#define ENDPOINT_MAX (SCRATCH_PATH_MAX + 32)

static char directory[SCRATCH_PATH_MAX];
static char ipc_endpoint[ENDPOINT_MAX]; // a plain path in it
static char bus_path[SCRATCH_PATH_MAX]; // a bus directory in it, not made yet
static char bus_endpoint[ENDPOINT_MAX];

static int setup(void **state)
{
    (void)state;
    scratch_make(directory);
    snprintf(ipc_endpoint, sizeof ipc_endpoint, "ipc://%s/s", directory);
    scratch_join(bus_path, directory, "bus");
    snprintf(bus_endpoint, sizeof bus_endpoint, "ipc://%s/*", bus_path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_remove(directory);
    return 0;
}

static talus_broadcaster_t *open_bus(const char *endpoint)
{
    talus_broadcaster_t *bus = NULL;

    assert_int_equal(talus_broadcaster_new(&bus, endpoint, NULL), 0);
    return bus;
}

static int try_bus(const char *endpoint, const talus_broadcaster_options_t *options)
{
    talus_broadcaster_t *bus = NULL;
    talus_error_t error = talus_broadcaster_new(&bus, endpoint, options);

    if (error)
        assert_null(bus);
    talus_broadcaster_destroy(&bus);
    return error;
}

static int emit(talus_broadcaster_t *bus)
{
    const talus_emit_t event = {.session = "s", .type = "t"};

    return talus_emit(bus, &event, NULL);
}

static void test_broadcaster_options_are_checked(void **state)
{
    (void)state;
    talus_broadcaster_options_t good, bad;

    talus_broadcaster_options_init(&good);
    assert_int_equal(try_bus("inproc://options", &good), 0);
#define REFUSED(member, value)                                                                     \
    bad = good;                                                                                    \
    bad.member = (value);                                                                          \
    assert_int_equal(try_bus("inproc://options", &bad), TALUS_EINVAL)
    REFUSED(queue_events, 0);
    REFUSED(queue_events, (size_t)1 << 40);
    REFUSED(queue_bytes, good.max_body);
    REFUSED(max_body, 0);
    REFUSED(max_body, (size_t)1 << 32);
    REFUSED(max_depth, 0);
    REFUSED(max_depth, 65);
    REFUSED(max_sessions, 0);
    REFUSED(send_high_water_mark, 0);
    REFUSED(send_high_water_mark, -1);
    REFUSED(linger_ms, 0);
    REFUSED(linger_ms, -1);
    REFUSED(directory_mode, 0077);
    REFUSED(directory_mode, 01700);
}

// Structs of a caller that was compiled with other headers: a newer one's are larger, and are
// written to their end and no further; one that no init function has made is refused.
static void test_broadcaster_structs_may_grow(void **state)
{
    (void)state;
    struct newer {
        talus_broadcaster_options_t options;
        uint64_t later, beyond;
    } newer = {.later = 7, .beyond = 7};
    struct grown {
        talus_broadcaster_stats_t stats;
        uint64_t later, beyond;
    } grown = {.later = 7, .beyond = 7};
    talus_broadcaster_options_t zeroed = {0};
    talus_broadcaster_t *bus;

    talus_broadcaster_options_init_sized(&newer.options, offsetof(struct newer, beyond));
    assert_int_equal(newer.options.size, offsetof(struct newer, beyond));
    assert_int_equal(newer.later, 0);
    assert_int_equal(newer.beyond, 7);
    assert_int_equal(talus_broadcaster_new(&bus, "inproc://sized", &newer.options), 0);
    assert_int_equal(emit(bus), 0);
    talus_broadcaster_stats_sized(bus, &grown.stats, offsetof(struct grown, beyond));
    assert_int_equal(grown.stats.emitted, 1);
    assert_int_equal(grown.later, 0);
    assert_int_equal(grown.beyond, 7);
    grown.stats.sent = 7;
    talus_broadcaster_stats_sized(bus, &grown.stats, offsetof(talus_broadcaster_stats_t, sent));
    assert_int_equal(grown.stats.sent, 7); // an older caller's ends before it
    talus_broadcaster_destroy(&bus);
    assert_int_equal(try_bus("inproc://sized", &zeroed), TALUS_EINVAL);
}

static void test_broadcaster_refuses_bad_endpoints(void **state)
{
    (void)state;
    char text[2 * ENDPOINT_MAX + 512];

    assert_int_equal(try_bus("", NULL), TALUS_EENDPOINT);
    assert_int_equal(try_bus("nonsense", NULL), TALUS_EENDPOINT);
    assert_int_equal(try_bus("udp://127.0.0.1:1", NULL), TALUS_EENDPOINT);
    assert_int_equal(try_bus("tcp://no.such.host.invalid:7000", NULL), TALUS_EADDRNOTAVAIL);
    assert_int_equal(try_bus("tcp://nointerface0:7000", NULL), TALUS_EADDRNOTAVAIL);
    // TEST-NET-1: nobody's own.
    assert_int_equal(try_bus("@tcp://192.0.2.1:5570", NULL), TALUS_EADDRNOTAVAIL);
    assert_int_equal(try_bus("tcp://192.0.2.1:*", NULL), TALUS_EADDRNOTAVAIL);
    snprintf(text, sizeof text, "ipc:///%0300d", 0);
    assert_int_equal(try_bus(text, NULL), TALUS_EPATHTOOLONG);
    snprintf(text, sizeof text, "ipc:///%0300d/*", 0);
    assert_int_equal(try_bus(text, NULL), TALUS_EPATHTOOLONG);
    // One bad endpoint undoes what the ones before it took.
    snprintf(text, sizeof text, "%s,%s,nonsense", ipc_endpoint, bus_endpoint);
    assert_int_equal(try_bus(text, NULL), TALUS_EENDPOINT);
    snprintf(text, sizeof text, "%s,tcp://no.such.host.invalid:7000", ipc_endpoint);
    assert_int_equal(try_bus(text, NULL), TALUS_EADDRNOTAVAIL);
    assert_int_equal(scratch_count(directory), 0);
}

static void test_broadcaster_address_in_use(void **state)
{
    (void)state;
    talus_broadcaster_t *tcp = open_bus("tcp://127.0.0.1:*");
    talus_broadcaster_t *inproc = open_bus("inproc://taken");

    assert_int_equal(try_bus(talus_broadcaster_endpoint(tcp), NULL), TALUS_EADDRINUSE);
    assert_int_equal(try_bus("inproc://taken", NULL), TALUS_EADDRINUSE);
    talus_broadcaster_destroy(&tcp);
    talus_broadcaster_destroy(&inproc);
}

static void test_broadcaster_ipc_path_is_not_stolen(void **state)
{
    (void)state;
    talus_broadcaster_t *first = open_bus(ipc_endpoint);
    struct raw_subscriber raw;

    assert_int_equal(try_bus(ipc_endpoint, NULL), TALUS_EADDRINUSE);
    raw_open(&raw, NULL);
    raw_connect(&raw, ipc_endpoint);
    raw_subscribe_live(&raw, "s/"); // the first still serves it
    assert_int_equal(emit(first), 0);
    raw_expect_event(&raw, "s/t");
    raw_close(&raw);
    talus_broadcaster_destroy(&first);
    assert_int_equal(scratch_count(directory), 0);
    assert_int_equal(try_bus(ipc_endpoint, NULL), 0);
}

static void test_broadcaster_ipc_path_of_another_program(void **state)
{
    (void)state;
    void *context = zmq_ctx_new();
    void *publisher = zmq_socket(context, ZMQ_PUB);

    assert_int_equal(zmq_bind(publisher, ipc_endpoint), 0); // knows nothing of our lock
    assert_int_equal(try_bus(ipc_endpoint, NULL), TALUS_EADDRINUSE);
    zmq_close(publisher);
    zmq_ctx_term(context);
    assert_int_equal(try_bus(ipc_endpoint, NULL), 0); // the file may be there, but nobody listens
}

static mode_t mode_of(const char *path)
{
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

static void check_modes(unsigned directory_mode, mode_t socket_mode)
{
    talus_broadcaster_options_t options;
    talus_broadcaster_t *bus;
    char name[64], path[SCRATCH_PATH_MAX];

    talus_broadcaster_options_init(&options);
    options.directory_mode = directory_mode;
    assert_int_equal(talus_broadcaster_new(&bus, bus_endpoint, &options), 0);
    snprintf(name, sizeof name, "%s.pub", talus_broadcaster_origin(bus));
    scratch_join(path, bus_path, name);
    assert_int_equal(mode_of(bus_path), directory_mode);
    assert_int_equal(mode_of(path), socket_mode);
    assert_true(scratch_has(bus_path, ".pub.lock"));
    assert_int_equal(strncmp(talus_broadcaster_endpoint(bus), "ipc://", 6), 0);
    assert_string_equal(talus_broadcaster_endpoint(bus) + 6, path);
    talus_broadcaster_destroy(&bus);
    assert_int_equal(scratch_count(bus_path), 0);
    scratch_remove(bus_path);
}

static void test_broadcaster_files_in_the_bus_directory(void **state)
{
    (void)state;
    mode_t before = umask(0); // so that nothing but the library restricts the files
    check_modes(0700, 0600);
    check_modes(0750, 0640);
    check_modes(0770, 0660);
    umask(before);
}

static void test_broadcaster_many_share_a_directory(void **state)
{
    (void)state;
    talus_broadcaster_t *buses[4];

    for (int i = 0; i < 4; i++) {
        buses[i] = open_bus(bus_endpoint);
        const char *origin = talus_broadcaster_origin(buses[i]);
        assert_true(tl_is_origin(origin, strlen(origin)));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(origin, talus_broadcaster_origin(buses[k]));
    }
    assert_int_equal(scratch_count(bus_path), 12);
    for (int i = 0; i < 4; i++)
        talus_broadcaster_destroy(&buses[i]);
    assert_int_equal(scratch_count(bus_path), 0);
}

static void test_broadcaster_destroy_is_null_safe(void **state)
{
    (void)state;
    talus_broadcaster_t *bus = NULL;

    talus_broadcaster_destroy(NULL);
    talus_broadcaster_destroy(&bus);
    bus = open_bus("inproc://null");
    talus_broadcaster_destroy(&bus);
    assert_null(bus);
}

#define BURST 20000

static void test_broadcaster_destroy_sends_what_is_queued(void **state)
{
    (void)state;
    talus_broadcaster_t *bus;
    talus_broadcaster_options_t options;
    struct raw_subscriber raw;

    talus_broadcaster_options_init(&options);
    options.linger_ms = RAW_DEADLINE_MS; // it takes as long as it takes on a loaded machine
    assert_int_equal(talus_broadcaster_new(&bus, ipc_endpoint, &options), 0);
    raw_open(&raw, NULL);
    raw_connect(&raw, ipc_endpoint);
    raw_subscribe_live(&raw, "s/");
    for (int i = 0; i < BURST; i++)
        assert_int_equal(emit(bus), 0);
    talus_broadcaster_destroy(&bus);
    for (uint64_t seq = 1; seq <= BURST; seq++) {
        raw_expect_event(&raw, "s/t");
        assert_int_equal(raw.body.seq, seq);
    }
    raw_close(&raw);
}

static void count_release(void *arg)
{
    ++*(int *)arg;
}

static int on_any(const talus_event_t *event, void *arg)
{
    (void)event;
    (void)arg;
    return 0;
}

static void test_broadcaster_destroy_releases_callbacks(void **state)
{
    (void)state;
    talus_broadcaster_t *bus = open_bus("inproc://release");
    uint64_t id;
    int released = 0;

    assert_int_equal(talus_broadcaster_on(bus, NULL, on_any, count_release, &released, &id), 0);
    assert_int_equal(emit(bus), 0);
    assert_int_equal(released, 0);
    talus_broadcaster_destroy(&bus);
    assert_int_equal(released, 1);
}

// The signals that the thread named `name` blocks, as its SigBlk mask; 0 if there is none.
static unsigned long long blocked_in_thread(const char *name)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task;
    unsigned long long blocked = 0;

    assert_non_null(tasks);
    while ((task = readdir(tasks))) {
        char path[300], line[256];
        bool is_it = false;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        FILE *file = fopen(path, "re");
        while (file && fgets(line, sizeof line, file)) {
            line[strcspn(line, "\n")] = '\0';
            if (strncmp(line, "Name:\t", 6) == 0)
                is_it = strcmp(line + 6, name) == 0;
            else if (is_it && strncmp(line, "SigBlk:\t", 8) == 0)
                blocked = strtoull(line + 8, NULL, 16);
        }
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return blocked;
}

static void test_broadcaster_touches_no_signal(void **state)
{
    (void)state;
    const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD, SIGPIPE, SIGALRM};
    struct sigaction before[7], after;
    sigset_t mask_before, mask_after;

    pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
    for (int i = 0; i < 7; i++)
        sigaction(signals[i], NULL, &before[i]);
    talus_broadcaster_t *bus = open_bus("inproc://signals");
    unsigned long long blocked = blocked_in_thread("talus-bus");
    for (int i = 0; i < 7; i++) {
        sigaction(signals[i], NULL, &after);
        assert_true(after.sa_handler == before[i].sa_handler);
        assert_true(blocked >> (signals[i] - 1) & 1);
    }
    pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
    for (int number = 1; number < NSIG; number++)
        assert_int_equal(sigismember(&mask_after, number), sigismember(&mask_before, number));
    talus_broadcaster_destroy(&bus);
}

// ---- Forks

static int run_child(talus_broadcaster_t *bus)
{
    uint64_t id;
    int released = 0;

    if (emit(bus) != TALUS_EFORKED || talus_emit_undo(bus, "s", "c", NULL) != TALUS_EFORKED ||
        talus_broadcaster_on(bus, NULL, on_any, count_release, &released, &id) != TALUS_EFORKED ||
        talus_broadcaster_off(bus, 1) != TALUS_EFORKED ||
        talus_broadcaster_flush(bus, 0) != TALUS_EFORKED ||
        talus_broadcaster_wait_subscribers(bus, 0, 0, NULL) != TALUS_EFORKED)
        return 1;
    talus_broadcaster_destroy(&bus);
    return bus == NULL && released == 0 ? 0 : 2;
}

static int wait_for(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_broadcaster_is_the_parents_after_fork(void **state)
{
    (void)state;
    char both[2 * ENDPOINT_MAX];
    struct raw_subscriber raw;

    snprintf(both, sizeof both, "%s,%s", ipc_endpoint, bus_endpoint);
    talus_broadcaster_t *bus = open_bus(both);
    size_t files = scratch_count(directory) + scratch_count(bus_path);
    raw_open(&raw, NULL);
    raw_connect(&raw, ipc_endpoint);
    raw_subscribe_live(&raw, "s/");
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(run_child(bus));
    assert_int_equal(wait_for(pid), 0);
    assert_int_equal(scratch_count(directory) + scratch_count(bus_path), files);
    assert_int_equal(try_bus(ipc_endpoint, NULL), TALUS_EADDRINUSE);
    assert_int_equal(emit(bus), 0);
    raw_expect_event(&raw, "s/t");
    assert_int_equal(raw.body.seq, 1);
    raw_close(&raw);
    talus_broadcaster_destroy(&bus);
    assert_int_equal(scratch_count(bus_path), 0);
}

// A child that lives on holds neither lock nor path of a parent that is gone.
static void test_broadcaster_child_keeps_no_lock(void **state)
{
    (void)state;
    talus_broadcaster_t *bus = open_bus(ipc_endpoint);
    int in_child[2];
    char byte;

    assert_int_equal(pipe(in_child), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (write(in_child[1], "f", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(in_child[0], &byte, 1), 1);
    talus_broadcaster_destroy(&bus);
    assert_int_equal(try_bus(ipc_endpoint, NULL), 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(in_child[0]);
    close(in_child[1]);
}

// ThreadSanitizer cannot follow a forked child that starts threads, and AddressSanitizer's
// allocator may be locked, for ever, by a thread that the child does not have.
#if !defined __SANITIZE_THREAD__ && !defined __SANITIZE_ADDRESS__
static void test_broadcaster_forked_child_may_make_its_own(void **state)
{
    (void)state;
    talus_broadcaster_t *bus = open_bus(bus_endpoint);
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        talus_broadcaster_t *own;
        if (talus_broadcaster_new(&own, bus_endpoint, NULL) != 0)
            _exit(1);
        if (emit(own) != 0 || talus_broadcaster_flush(own, RAW_DEADLINE_MS) != 0)
            _exit(2);
        talus_broadcaster_destroy(&own);
        _exit(own == NULL ? 0 : 3);
    }
    assert_int_equal(wait_for(pid), 0);
    assert_int_equal(scratch_count(bus_path), 3); // the parent's
    assert_int_equal(emit(bus), 0);
    talus_broadcaster_destroy(&bus);
}
#endif

// ---- The end of both sides at once

#define ROUNDS  25
#define LEAVERS 200

// Receives until it is killed. Raw, and forked before there is any other thread.
static void run_doomed_subscriber(const char *endpoint, int told)
{
    struct raw_subscriber raw;

    raw_open(&raw, NULL);
    raw_connect(&raw, endpoint);
    raw_subscribe_live(&raw, "");
    if (write(told, "r", 1) != 1)
        _exit(1);
    while (raw_receive(&raw, RAW_DEADLINE_MS))
        ;
    _exit(0);
}

// libzmq 4.3.4 aborts the process when an XPUB closes with linger 0 just as a subscriber dies in
// the middle of a message; ours must not.
static void test_broadcaster_ends_while_its_subscriber_dies(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        int told[2];
        char byte;
        assert_int_equal(pipe(told), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            run_doomed_subscriber(ipc_endpoint, told[1]);
        talus_broadcaster_t *bus = open_bus(ipc_endpoint);
        assert_int_equal(read(told[0], &byte, 1), 1);
        for (int i = 0; i < 2000; i++) {
            if (i == 2000 / ROUNDS * round)
                assert_int_equal(kill(pid, SIGKILL), 0);
            assert_int_equal(emit(bus), 0);
        }
        talus_broadcaster_destroy(&bus);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        close(told[0]);
        close(told[1]);
    }
    assert_int_equal(scratch_count(directory), 0);
}

// A subscriber leaves just as the broadcaster does. What was sent to it and stays unsent must not
// hold up the end until the linger is over.
static void test_broadcaster_ends_at_once_as_its_subscriber_leaves(void **state)
{
    (void)state;
    talus_broadcaster_options_t options;
    struct raw_subscriber keeper;

    talus_broadcaster_options_init(&options);
    options.linger_ms = 2 * RAW_DEADLINE_MS;
    raw_open(&keeper, NULL);
    for (int round = 0; round < LEAVERS; round++) {
        struct raw_subscriber raw;
        talus_broadcaster_t *bus;
        raw_open(&raw, keeper.context);
        assert_int_equal(talus_broadcaster_new(&bus, ipc_endpoint, &options), 0);
        raw_connect(&raw, ipc_endpoint);
        raw_subscribe_live(&raw, "");
        assert_int_equal(emit(bus), 0);
        raw_expect_event(&raw, "s/t");
        raw_close(&raw);
        long long since = tl_monotonic_ms();
        talus_broadcaster_destroy(&bus);
        assert_true(tl_monotonic_ms() - since < RAW_DEADLINE_MS);
    }
    raw_close(&keeper);
}

#ifdef __SANITIZE_THREAD__
// The doomed subscribers are forked children with ZeroMQ's threads.
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}
#endif

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_broadcaster_options_are_checked),
        TEST(test_broadcaster_structs_may_grow),
        TEST(test_broadcaster_refuses_bad_endpoints),
        TEST(test_broadcaster_address_in_use),
        TEST(test_broadcaster_ipc_path_is_not_stolen),
        TEST(test_broadcaster_ipc_path_of_another_program),
        TEST(test_broadcaster_files_in_the_bus_directory),
        TEST(test_broadcaster_many_share_a_directory),
        TEST(test_broadcaster_destroy_is_null_safe),
        TEST(test_broadcaster_destroy_sends_what_is_queued),
        TEST(test_broadcaster_destroy_releases_callbacks),
        TEST(test_broadcaster_touches_no_signal),
        TEST(test_broadcaster_is_the_parents_after_fork),
        TEST(test_broadcaster_child_keeps_no_lock),
#if !defined __SANITIZE_THREAD__ && !defined __SANITIZE_ADDRESS__
        TEST(test_broadcaster_forked_child_may_make_its_own),
#endif
        TEST(test_broadcaster_ends_while_its_subscriber_dies),
        TEST(test_broadcaster_ends_at_once_as_its_subscriber_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
