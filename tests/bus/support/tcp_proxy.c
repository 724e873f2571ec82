// SPDX-License-Identifier: MIT
// A tcp proxy for tests.
#include <stdbool.h>

#include "tests/bus/support/tcp_proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void close_pair(int pair[2])
{
    const struct linger at_once = {.l_onoff = 1};

    for (int i = 0; i < 2; i++) {
        setsockopt(pair[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(pair[i]);
        pair[i] = -1;
    }
}

static void accept_one(struct tcp_proxy *proxy)
{
    const struct sockaddr_in target = loopback(proxy->target_port);
    int client = accept(proxy->listener, NULL, NULL);
    int server = socket(AF_INET, SOCK_STREAM, 0);
    int slot = 0;

    while (slot < TCP_PROXY_PAIRS && proxy->pairs[slot][0] >= 0)
        slot++;
    if (!atomic_load(&proxy->is_open) || slot == TCP_PROXY_PAIRS ||
        connect(server, (const struct sockaddr *)&target, sizeof target) != 0) {
        close(client);
        close(server);
        return;
    }
    proxy->pairs[slot][0] = client;
    proxy->pairs[slot][1] = server;
}

static bool write_all(int fd, const char *bytes, ssize_t size)
{
    while (size > 0) {
        ssize_t written = send(fd, bytes, (size_t)size, MSG_NOSIGNAL);
        if (written <= 0)
            return false;
        bytes += written;
        size -= written;
    }
    return true;
}

static bool pass(int from, int to)
{
    char bytes[65536];
    ssize_t size = recv(from, bytes, sizeof bytes, 0);

    return size > 0 && write_all(to, bytes, size);
}

static void do_cuts(struct tcp_proxy *proxy)
{
    eventfd_t count;
    unsigned asked = atomic_load(&proxy->cuts);

    eventfd_read(proxy->wake, &count);
    if (asked == atomic_load(&proxy->cut))
        return;
    for (int i = 0; i < TCP_PROXY_PAIRS; i++) {
        if (proxy->pairs[i][0] >= 0)
            close_pair(proxy->pairs[i]);
    }
    atomic_store(&proxy->cut, asked);
}

static void *run(void *arg)
{
    struct tcp_proxy *proxy = arg;

    while (!atomic_load(&proxy->is_ending)) {
        struct pollfd items[2 + 2 * TCP_PROXY_PAIRS];
        items[0] = (struct pollfd){.fd = proxy->listener, .events = POLLIN};
        items[1] = (struct pollfd){.fd = proxy->wake, .events = POLLIN};
        for (int i = 0; i < TCP_PROXY_PAIRS; i++) {
            bool is_held = atomic_load(&proxy->is_holding);
            for (int j = 0; j < 2; j++)
                items[2 + 2 * i + j] =
                    (struct pollfd){.fd = is_held ? -1 : proxy->pairs[i][j], .events = POLLIN};
        }
        poll(items, 2 + 2 * TCP_PROXY_PAIRS, -1);
        for (int i = 0; i < TCP_PROXY_PAIRS; i++) {
            int *pair = proxy->pairs[i];
            bool is_whole = true;
            if (pair[0] >= 0 && items[2 + 2 * i].revents)
                is_whole = pass(pair[0], pair[1]);
            if (pair[0] >= 0 && is_whole && items[3 + 2 * i].revents)
                is_whole = pass(pair[1], pair[0]);
            if (!is_whole)
                close_pair(pair);
        }
        if (items[1].revents)
            do_cuts(proxy);
        if (items[0].revents)
            accept_one(proxy);
    }
    return NULL;
}

void tcp_proxy_start(struct tcp_proxy *proxy, int target_port)
{
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;

    memset(proxy, 0, sizeof *proxy);
    memset(proxy->pairs, -1, sizeof proxy->pairs);
    proxy->target_port = target_port;
    atomic_store(&proxy->is_open, true);
    proxy->wake = eventfd(0, EFD_NONBLOCK);
    proxy->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(proxy->listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(proxy->listener, 16), 0);
    assert_int_equal(getsockname(proxy->listener, (struct sockaddr *)&address, &size), 0);
    proxy->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&proxy->thread, NULL, run, proxy), 0);
}

void tcp_proxy_cut(struct tcp_proxy *proxy, bool is_open)
{
    atomic_store(&proxy->is_open, is_open);
    unsigned asked = atomic_fetch_add(&proxy->cuts, 1) + 1;
    eventfd_write(proxy->wake, 1);
    while (atomic_load(&proxy->cut) != asked)
        poll(NULL, 0, 1);
}

void tcp_proxy_hold(struct tcp_proxy *proxy, bool is_holding)
{
    atomic_store(&proxy->is_holding, is_holding);
    eventfd_write(proxy->wake, 1);
}

void tcp_proxy_stop(struct tcp_proxy *proxy)
{
    if (proxy->port == 0)
        return;
    atomic_store(&proxy->is_ending, true);
    eventfd_write(proxy->wake, 1);
    pthread_join(proxy->thread, NULL);
    for (int i = 0; i < TCP_PROXY_PAIRS; i++) {
        if (proxy->pairs[i][0] >= 0)
            close_pair(proxy->pairs[i]);
    }
    close(proxy->listener);
    close(proxy->wake);
    proxy->port = 0;
}
