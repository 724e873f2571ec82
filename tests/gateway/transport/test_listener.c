// SPDX-License-Identifier: MIT
// Listeners: every form of address, errors in words, Unix sockets' files, and running out of
// descriptors.
#include "gateway/transport/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/transport/address.h"
#include "tests/common/cmocka_all.h"
#include "tests/gateway/support/bed.h"

enum { ACCEPTED_MAX = 512 };

struct fixture {
    struct bed bed;
    struct listener *listener;
    int accepted[ACCEPTED_MAX];
    unsigned count;
    bool closes_listener; // at the first connection
    char error[256];
    char folder[64];
    char path[80];     // of a socket in the folder
    char address[100]; // unix:PATH
};

static struct fixture fixture;

static void on_accept(int fd, void *arg)
{
    struct fixture *f = arg;
    assert_true(f->count < ACCEPTED_MAX);
    f->accepted[f->count++] = fd;
    if (f->closes_listener)
        listener_close(&f->listener);
}

static int setup(void **state)
{
    (void)state;
    memset(&fixture, 0, sizeof fixture);
    bed_init(&fixture.bed);
    bed_make_folder(fixture.folder);
    snprintf(fixture.path, sizeof fixture.path, "%s/socket", fixture.folder);
    snprintf(fixture.address, sizeof fixture.address, "unix:%s", fixture.path);
    return 0;
}

static void close_accepted(void)
{
    while (fixture.count > 0)
        close(fixture.accepted[--fixture.count]);
}

static int teardown(void **state)
{
    (void)state;
    close_accepted();
    listener_close(&fixture.listener);
    bed_fini(&fixture.bed);
    unlink(fixture.path);
    return rmdir(fixture.folder);
}

static struct listener *open_at(const char *address)
{
    return listener_open(fixture.bed.loop, &fixture.bed.metrics, address, on_accept, &fixture,
                         fixture.error, sizeof fixture.error);
}

static void listen_at(const char *address)
{
    fixture.listener = open_at(address);
    if (!fixture.listener)
        fail_msg("%s", fixture.error);
}

static void expect_failure(const char *address, const char *error)
{
    assert_null(open_at(address));
    assert_string_equal(fixture.error, error);
}

static bool has_accepted(void *arg)
{
    return fixture.count >= *(unsigned *)arg;
}

static void wait_accepted(unsigned count)
{
    bed_wait(&fixture.bed, has_accepted, &count);
    assert_int_equal(fixture.count, count);
}

static struct client *connect_client(void)
{
    return client_connect(&fixture.bed, listener_address(fixture.listener));
}

// Both ways, over the first accepted connection.
static void expect_bytes_flow(struct client *client)
{
    assert_int_equal(send(fixture.accepted[0], "hello", 5, 0), 5);
    client_wait_size(client, 5);
    assert_memory_equal(client->in.bytes, "hello", 5);
}

// ---- Addresses

static void test_listener_listens_on_ipv4_with_a_port_of_its_own(void **state)
{
    (void)state;
    listen_at("127.0.0.1:0");
    struct address address;
    assert_null(address_parse(listener_address(fixture.listener), &address));
    assert_string_equal(address.host, "127.0.0.1");
    assert_true(atoi(address.port) > 0);
    struct client *client = connect_client();
    wait_accepted(1);
    expect_bytes_flow(client);
    assert_int_equal(bed_metric(&fixture.bed, GW_CONNECTIONS_TOTAL), 1);
}

static void test_listener_prepares_descriptors(void **state)
{
    (void)state;
    int nodelay = 0;
    socklen_t size = sizeof nodelay;
    listen_at("127.0.0.1:0");
    connect_client();
    wait_accepted(1);
    int fd = fixture.accepted[0];
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &size), 0);
    assert_int_not_equal(nodelay, 0);
}

static void test_listener_listens_on_ipv6(void **state)
{
    (void)state;
    fixture.listener = open_at("[::1]:0");
    if (!fixture.listener) { // machines without IPv6
        assert_non_null(strstr(fixture.error, "this host does not have that address"));
        skip();
    }
    assert_memory_equal(listener_address(fixture.listener), "[::1]:", 6);
    struct client *client = connect_client();
    wait_accepted(1);
    expect_bytes_flow(client);
}

static void test_listener_looks_names_up(void **state)
{
    (void)state;
    listen_at("localhost:0");
    struct client *client = connect_client();
    wait_accepted(1);
    expect_bytes_flow(client);
}

static void test_listener_says_what_is_wrong(void **state)
{
    (void)state;
    char taken[128];
    expect_failure("nonsense",
                   "cannot listen on nonsense: not HOST:PORT, [IPV6]:PORT or unix:PATH");
    expect_failure("127.0.0.1:70000",
                   "cannot listen on 127.0.0.1:70000: the port is not a number from 0 to 65535");
    expect_failure("192.0.2.1:0",
                   "cannot listen on 192.0.2.1:0: this host does not have that address");
    listen_at("127.0.0.1:0");
    snprintf(taken, sizeof taken, "cannot listen on %s: address already in use",
             listener_address(fixture.listener));
    expect_failure(listener_address(fixture.listener), taken);
}

static void test_listener_cuts_errors_to_their_buffer(void **state)
{
    (void)state;
    char error[20];
    assert_null(listener_open(fixture.bed.loop, &fixture.bed.metrics, "nonsense", on_accept,
                              &fixture, error, sizeof error));
    assert_string_equal(error, "cannot listen on no");
}

static struct listener *open_shared_at(const char *address)
{
    return listener_open_shared(fixture.bed.loop, &fixture.bed.metrics, address, on_accept,
                                &fixture, fixture.error, sizeof fixture.error);
}

static struct listener *join_first(void)
{
    return listener_join(fixture.bed.loop, &fixture.bed.metrics, fixture.listener, on_accept,
                         &fixture, fixture.error, sizeof fixture.error);
}

static void test_listener_shares_an_address_with_those_that_join(void **state)
{
    (void)state;
    fixture.listener = open_shared_at("127.0.0.1:0");
    assert_non_null(fixture.listener);
    const char *address = listener_address(fixture.listener);
    struct listener *second = join_first();
    assert_non_null(second);
    assert_string_equal(listener_address(second), address);
    assert_null(open_at(address)); // for nobody else
    assert_null(open_shared_at(address));
    assert_non_null(strstr(fixture.error, "address already in use"));
    for (int i = 0; i < 20; i++)
        connect_client();
    wait_accepted(20); // by the two together
    listener_close(&second);
}

// ---- Unix sockets

static bool is_there(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

static void test_listener_makes_and_removes_a_unix_socket(void **state)
{
    (void)state;
    listen_at(fixture.address);
    assert_string_equal(listener_address(fixture.listener), fixture.address);
    struct client *client = connect_client();
    wait_accepted(1);
    expect_bytes_flow(client);
    listener_close(&fixture.listener);
    assert_null(fixture.listener);
    assert_false(is_there(fixture.path));
}

// Those that join a Unix socket have no file of their own.
static void test_listener_shares_a_unix_socket(void **state)
{
    (void)state;
    fixture.listener = open_shared_at(fixture.address);
    assert_non_null(fixture.listener);
    struct listener *second = join_first();
    struct listener *third = join_first();
    assert_true(second && third);
    assert_string_equal(listener_address(second), fixture.address);
    for (int i = 0; i < 20; i++)
        connect_client();
    wait_accepted(20);
    listener_close(&second);
    assert_true(is_there(fixture.path));
    connect_client();
    wait_accepted(21);
    listener_close(&fixture.listener);
    assert_false(is_there(fixture.path));
    listener_close(&third);
}

static void leave_stale_socket(void)
{
    struct address address;
    assert_null(address_parse(fixture.address, &address));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address.path, sizeof address.path), 0);
    close(fd);
    assert_true(is_there(fixture.path));
}

static void test_listener_replaces_a_stale_unix_socket(void **state)
{
    (void)state;
    leave_stale_socket();
    listen_at(fixture.address);
    struct client *client = connect_client();
    wait_accepted(1);
    expect_bytes_flow(client);
}

static void test_listener_leaves_a_live_unix_socket_alone(void **state)
{
    (void)state;
    char error[256];
    listen_at(fixture.address);
    snprintf(error, sizeof error, "cannot listen on %s: address already in use", fixture.address);
    expect_failure(fixture.address, error);
    bed_turn(&fixture.bed);
    close_accepted(); // of the attempt to find out
    connect_client();
    wait_accepted(1);
}

static void test_listener_leaves_other_files_alone(void **state)
{
    (void)state;
    FILE *file = fopen(fixture.path, "w");
    assert_non_null(file);
    fclose(file);
    assert_null(open_at(fixture.address));
    assert_non_null(strstr(fixture.error, "address already in use"));
    assert_true(is_there(fixture.path));
}

static void test_listener_leaves_a_file_alone_that_took_its_place(void **state)
{
    (void)state;
    listen_at(fixture.address);
    assert_int_equal(unlink(fixture.path), 0);
    leave_stale_socket();
    listener_close(&fixture.listener);
    assert_true(is_there(fixture.path));
}

static void test_listener_says_that_a_path_is_too_long(void **state)
{
    (void)state;
    char address[200];
    char error[400];
    memset(address, 'x', sizeof address);
    memcpy(address, "unix:/", 6);
    address[5 + 108] = '\0';
    snprintf(error, sizeof error, "cannot listen on %s: the path is longer than 107 bytes",
             address);
    expect_failure(address, error);
}

// ---- Accepting

static void test_listener_accepts_more_than_one_batch(void **state)
{
    (void)state;
    listen_at("127.0.0.1:0");
    for (int i = 0; i < 200; i++)
        connect_client();
    gw_loop_turn(fixture.bed.loop, false);
    assert_true(fixture.count > 0 && fixture.count < 200); // a turn takes a part of them
    wait_accepted(200);
    assert_int_equal(bed_metric(&fixture.bed, GW_CONNECTIONS_TOTAL), 200);
}

static void test_listener_may_be_closed_when_it_accepts(void **state)
{
    (void)state;
    listen_at("127.0.0.1:0");
    fixture.closes_listener = true;
    for (int i = 0; i < 5; i++)
        connect_client();
    wait_accepted(1);
    assert_null(fixture.listener);
    bed_turn(&fixture.bed);
    assert_int_equal(fixture.count, 1);
}

// Sets the process's limit so that `more` descriptors can be opened; returns the former limit.
static struct rlimit leave_descriptors(rlim_t more)
{
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int lowest = dup(STDERR_FILENO);
    assert_true(lowest >= 0);
    close(lowest);
    struct rlimit now = {.rlim_cur = (rlim_t)lowest + more, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    return before;
}

// Opens the sockets first, since the test has the same limit as the listener.
static void open_sockets(int *sockets, int count)
{
    for (int i = 0; i < count; i++) {
        sockets[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(sockets[i] >= 0);
    }
}

static struct client *connect_socket(int fd)
{
    struct address address;
    struct sockaddr_in in = {.sin_family = AF_INET};
    assert_null(address_parse(listener_address(fixture.listener), &address));
    in.sin_port = htons((uint16_t)atoi(address.port));
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
    return client_adopt(&fixture.bed, fd);
}

static void test_listener_sheds_connections_without_descriptors(void **state)
{
    (void)state;
    enum { COUNT = 100, LEFT = 2 };
    int sockets[COUNT + 1];
    struct client *clients[COUNT];
    listen_at("127.0.0.1:0");
    bed_turn(&fixture.bed);
    open_sockets(sockets, COUNT + 1);
    struct rlimit before = leave_descriptors(LEFT);
    for (int i = 0; i < COUNT; i++)
        clients[i] = connect_socket(sockets[i]);
    // All but those that fit see their end; none hangs.
    for (int i = LEFT; i < COUNT; i++)
        client_wait_over(clients[i]);
    assert_int_equal(fixture.count, LEFT);
    assert_int_equal(bed_metric(&fixture.bed, GW_ACCEPT_FAILED), COUNT - LEFT);
    assert_false(clients[0]->is_over || clients[1]->is_over);

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    connect_socket(sockets[COUNT]);
    wait_accepted(LEFT + 1);
    bed_advance(&fixture.bed, 10000); // the log says how many were left out
}

static void test_listener_pauses_when_it_cannot_even_shed(void **state)
{
    (void)state;
    int sockets[1];
    open_sockets(sockets, 1);
    gw_loop_turn(fixture.bed.loop, false);
    struct rlimit before = leave_descriptors(1);
    listen_at("127.0.0.1:0"); // takes the last one: none is left for a reserve
    struct client *client = connect_socket(sockets[0]);
    for (int i = 0; i < 10; i++)
        bed_turn(&fixture.bed);
    assert_int_equal(fixture.count, 0);
    assert_int_equal(bed_metric(&fixture.bed, GW_ACCEPT_FAILED), 1); // it does not spin
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    bed_turn(&fixture.bed);
    assert_int_equal(fixture.count, 0);
    bed_advance(&fixture.bed, 100);
    wait_accepted(1);
    assert_false(client->is_over);
}

int main(void)
{
#define LISTENER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        LISTENER_TEST(test_listener_listens_on_ipv4_with_a_port_of_its_own),
        LISTENER_TEST(test_listener_prepares_descriptors),
        LISTENER_TEST(test_listener_listens_on_ipv6),
        LISTENER_TEST(test_listener_looks_names_up),
        LISTENER_TEST(test_listener_says_what_is_wrong),
        LISTENER_TEST(test_listener_cuts_errors_to_their_buffer),
        LISTENER_TEST(test_listener_shares_an_address_with_those_that_join),
        LISTENER_TEST(test_listener_makes_and_removes_a_unix_socket),
        LISTENER_TEST(test_listener_shares_a_unix_socket),
        LISTENER_TEST(test_listener_replaces_a_stale_unix_socket),
        LISTENER_TEST(test_listener_leaves_a_live_unix_socket_alone),
        LISTENER_TEST(test_listener_leaves_other_files_alone),
        LISTENER_TEST(test_listener_leaves_a_file_alone_that_took_its_place),
        LISTENER_TEST(test_listener_says_that_a_path_is_too_long),
        LISTENER_TEST(test_listener_accepts_more_than_one_batch),
        LISTENER_TEST(test_listener_may_be_closed_when_it_accepts),
        LISTENER_TEST(test_listener_sheds_connections_without_descriptors),
        LISTENER_TEST(test_listener_pauses_when_it_cannot_even_shed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
