// SPDX-License-Identifier: MIT
// Several users in one bus directory: what one of them does to the files there ends no process of
// another's and changes nothing outside.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <talus.h>

#include "bus/src/zmq/directory/directory.h"
#include "tests/bus/support/child.h"
#include "tests/bus/support/expect.h"
#include "tests/bus/support/scratch.h"

#define GROUP 54321 // numbers that need no entry in /etc/passwd
#define ALICE 54322
#define BOB   54323
#define EMITS 3

struct fixture {
    char root[SCRATCH_PATH_MAX];
    char path[SCRATCH_PATH_MAX]; // ROOT/bus
    char bus[SCRATCH_PATH_MAX + 16];
    struct child child;
    talus_broadcaster_t *broadcaster;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (!fixture)
        return -1;
    scratch_make(fixture->root);
    scratch_join(fixture->path, fixture->root, "bus");
    snprintf(fixture->bus, sizeof fixture->bus, "ipc://%s/*", fixture->path);
    *state = fixture;
    return chmod(fixture->root, 0755);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    if (fixture->child.pid)
        child_kill(&fixture->child);
    talus_broadcaster_destroy(&fixture->broadcaster);
    scratch_remove(fixture->root);
    free(fixture);
    return 0;
}

// ---- Who puts something else in the place of a socket

static void (*replace_socket)(const char *path);
static const char *victim; // the file that is not to be touched

int __real_zmq_bind(void *socket, const char *endpoint);
int __wrap_zmq_bind(void *socket, const char *endpoint);

int __wrap_zmq_bind(void *socket, const char *endpoint)
{
    int result = __real_zmq_bind(socket, endpoint);

    if (result == 0 && replace_socket && strncmp(endpoint, "ipc://", 6) == 0) {
        assert_int_equal(unlink(endpoint + 6), 0);
        replace_socket(endpoint + 6);
    }
    return result;
}

static void put_link(const char *path)
{
    assert_int_equal(symlink(victim, path), 0);
}

static void put_file(const char *path)
{
    assert_int_equal(link(victim, path), 0);
}

static void put_pipe(const char *path)
{
    assert_int_equal(mkfifo(path, 0600), 0);
}

static void put_socket_of_another(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(chown(path, BOB, GROUP), 0);
    close(fd);
}

static mode_t mode_of(const char *path)
{
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

static void check_replaced(struct fixture *fixture, void (*replace)(const char *path))
{
    talus_broadcaster_options_t options;
    talus_broadcaster_t *broadcaster = NULL;

    talus_broadcaster_options_init(&options);
    options.directory_mode = 0770;
    replace_socket = replace;
    talus_error_t error = talus_broadcaster_new(&broadcaster, fixture->bus, &options);
    replace_socket = NULL;
    talus_broadcaster_destroy(&broadcaster);
    assert_int_equal(mode_of(victim), 0640);
    assert_int_equal(error, TALUS_EACCESS);
}

static void test_bus_users_only_a_socket_of_ones_own_gets_the_mode(void **state)
{
    struct fixture *fixture = *state;
    char path[SCRATCH_PATH_MAX];

    scratch_join(path, fixture->root, "victim");
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(chmod(path, 0640), 0);
    victim = path;
    check_replaced(fixture, put_link);
    check_replaced(fixture, put_file);
    check_replaced(fixture, put_pipe);
    if (geteuid() == 0)
        check_replaced(fixture, put_socket_of_another);
}

// ---- Users

// Becomes another user for good.
static bool become(unsigned user)
{
    return setgroups(0, NULL) == 0 && setresgid(GROUP, GROUP, GROUP) == 0 &&
           setresuid(user, user, user) == 0;
}

// What `fn` returns when that user runs it, in a process of its own.
static int as(unsigned user, int (*fn)(const char *path), const char *path)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(become(user) ? fn(path) : 255);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int truncate_file(const char *path)
{
    return truncate(path, 0) == 0 ? 0 : errno;
}

static int open_to_write(const char *path)
{
    return open(path, O_WRONLY | O_CLOEXEC) >= 0 ? 0 : errno;
}

static int open_to_read(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC) >= 0 ? 0 : errno;
}

// The path of the only broadcaster's lock file.
static void find_lock(const char *directory, char path[SCRATCH_PATH_MAX])
{
    char command[SCRATCH_PATH_MAX + 32];

    snprintf(command, sizeof command, "ls -d %s/*.pub.lock", directory);
    FILE *list = popen(command, "r");
    assert_non_null(list);
    assert_non_null(fgets(path, SCRATCH_PATH_MAX, list));
    path[strcspn(path, "\n")] = '\0';
    pclose(list);
}

static void make_bus(const struct fixture *fixture, unsigned owner, mode_t mode)
{
    assert_int_equal(mkdir(fixture->path, 0700), 0);
    assert_int_equal(chown(fixture->path, owner, GROUP), 0);
    assert_int_equal(chmod(fixture->path, mode), 0);
}

// A truncated ledger would end the process that has mapped it.
static void check_ledger_is_safe_from(unsigned user, const char *path)
{
    char lock[SCRATCH_PATH_MAX];

    find_lock(path, lock);
    assert_int_equal(as(user, open_to_read, lock), 0);
    assert_int_equal(as(user, truncate_file, lock), EACCES);
    assert_int_equal(as(user, open_to_write, lock), EACCES);
}

static void test_bus_users_ledger_cannot_be_truncated_by_the_group(void **state)
{
    struct fixture *fixture = *state;

    if (geteuid() != 0)
        skip(); // only root can be several users
    make_bus(fixture, 0, 02770);
    child_start(&fixture->child, "alice emits", fixture->bus);
    child_wait_said(&fixture->child);
    check_ledger_is_safe_from(BOB, fixture->path);
    check_ledger_is_safe_from(ALICE, fixture->path); // who could do it by a slip of the hand
    child_tell(&fixture->child);
    child_wait_said(&fixture->child); // it has emitted
    child_finish(&fixture->child);
}

static void test_bus_users_ledger_of_root_cannot_be_truncated_by_the_user(void **state)
{
    struct fixture *fixture = *state;

    if (geteuid() != 0)
        skip();
    make_bus(fixture, ALICE, 0700);
    child_start(&fixture->child, "root emits", fixture->bus);
    child_wait_said(&fixture->child);
    check_ledger_is_safe_from(ALICE, fixture->path);
    child_tell(&fixture->child);
    child_wait_said(&fixture->child);
    child_finish(&fixture->child);
}

static void test_bus_users_root_emits_to_a_user(void **state)
{
    struct fixture *fixture = *state;
    const talus_emit_t event = {.session = "s", .type = "t"};

    if (geteuid() != 0)
        skip();
    make_bus(fixture, ALICE, 0700);
    child_start(&fixture->child, "alice receives", fixture->bus);
    child_wait_said(&fixture->child);
    assert_int_equal(talus_broadcaster_new(&fixture->broadcaster, fixture->bus, NULL), 0);
    for (int i = 0; i < EMITS; i++)
        assert_int_equal(talus_emit(fixture->broadcaster, &event, NULL), 0);
    assert_int_equal(
        talus_broadcaster_wait_subscribers(fixture->broadcaster, 1, EXPECT_DEADLINE_MS, NULL), 0);
    child_wait_said(&fixture->child); // they have come
    talus_broadcaster_destroy(&fixture->broadcaster);
    child_finish(&fixture->child); // which fails if it is told a gap
}

// The user's subscriber reads in root's ledger that it has all, and removes what root left.
static void test_bus_users_root_is_killed_on_a_users_bus(void **state)
{
    struct fixture *fixture = *state;
    struct child root;

    if (geteuid() != 0)
        skip();
    make_bus(fixture, ALICE, 0700);
    child_start(&fixture->child, "alice receives", fixture->bus);
    child_wait_said(&fixture->child);
    child_start(&root, "root emits", fixture->bus);
    child_wait_said(&root);
    child_tell(&root);
    child_wait_said(&root);
    child_wait_said(&fixture->child);
    child_kill(&root);
    child_finish(&fixture->child);
    assert_true(scratch_has(fixture->path, ".pub.dead"));
    assert_false(scratch_has(fixture->path, ".pub"));
}

// Root's own default is one directory, not all whose names begin like it.
static void test_bus_users_root_knows_its_own_directory(void **state)
{
    (void)state;
    char parent[] = "/tmp/talus-0XXXXXX";
    char path[SCRATCH_PATH_MAX];

    if (geteuid() != 0)
        skip();
    assert_non_null(mkdtemp(parent));
    scratch_join(path, parent, "bus");
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chown(path, ALICE, GROUP), 0);
    int error = talus__directory_open(path, 0700);
    scratch_remove(parent);
    assert_int_equal(error, 0);
}

// ---- The children

static int emit_when_told(const char *endpoint)
{
    const talus_emit_t event = {.session = "s", .type = "t"};
    talus_broadcaster_options_t options;
    talus_broadcaster_t *broadcaster;

    talus_broadcaster_options_init(&options);
    options.directory_mode = 0770;
    if (talus_broadcaster_new(&broadcaster, endpoint, &options) != 0)
        return 1;
    child_say();
    child_await();
    for (int i = 0; i < EMITS; i++) {
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

static int receive_all(const char *endpoint)
{
    const talus_delivery_t *delivery;
    talus_subscriber_stats_t stats;
    talus_subscriber_t *subscriber;

    if (talus_subscriber_new(&subscriber, endpoint, NULL) != 0 ||
        talus_subscriber_join(subscriber, "s") != 0 ||
        talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery) != 0 ||
        delivery->kind != TALUS_DELIVERY_LIVE)
        return 1;
    child_say();
    for (uint64_t seq = 1; seq <= EMITS; seq++) {
        if (talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery) != 0 ||
            delivery->kind != TALUS_DELIVERY_EVENT || delivery->event->seq != seq)
            return 2;
    }
    child_say();
    child_await();
    do {
        if (talus_subscriber_receive(subscriber, 20, &delivery) != TALUS_ETIMEOUT)
            return 3;
        talus_subscriber_stats(subscriber, &stats);
    } while (stats.origins > 0);
    talus_subscriber_destroy(&subscriber);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strncmp(argv[1], "alice", 5) == 0 && !become(ALICE))
        return 1;
    if (argc == 3)
        return strstr(argv[1], "emits") ? emit_when_told(argv[2]) : receive_all(argv[2]);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_bus_users_only_a_socket_of_ones_own_gets_the_mode),
        TEST(test_bus_users_ledger_cannot_be_truncated_by_the_group),
        TEST(test_bus_users_ledger_of_root_cannot_be_truncated_by_the_user),
        TEST(test_bus_users_root_emits_to_a_user),
        TEST(test_bus_users_root_is_killed_on_a_users_bus),
        TEST(test_bus_users_root_knows_its_own_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
