// SPDX-License-Identifier: MIT
// A tcp proxy for tests, with a thread of its own: it passes bytes between those who connect to it
// and a port, and cuts connections when it is told to.
#ifndef TALUS_TESTS_TCP_PROXY_H
#define TALUS_TESTS_TCP_PROXY_H

#include <pthread.h>
#include <stdatomic.h>

#define TCP_PROXY_PAIRS 16

struct tcp_proxy {
    pthread_t thread;
    int listener;
    int wake;        // an eventfd: something was asked of the thread
    int target_port; // of the loopback
    int port;        // where it listens
    int pairs[TCP_PROXY_PAIRS][2];
    atomic_bool is_ending;
    atomic_bool is_open; // else connections are refused as soon as they come
    atomic_bool is_holding;
    atomic_uint cuts; // asked for
    atomic_uint cut;  // done
};

void tcp_proxy_start(struct tcp_proxy *proxy, int target_port);
void tcp_proxy_stop(struct tcp_proxy *proxy);

// Ends all connections, and lets new ones in only if `is_open`. Returns when that is done.
void tcp_proxy_cut(struct tcp_proxy *proxy, bool is_open);

// Passes nothing on, and leaves the connections as they are, until it is told to go on.
void tcp_proxy_hold(struct tcp_proxy *proxy, bool is_holding);

#endif
