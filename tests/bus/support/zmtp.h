// SPDX-License-Identifier: MIT
// A peer that speaks ZMTP by hand, and so can send what libzmq's sockets never would. Everything
// that fails ends the test.
#ifndef TALUS_TESTS_ZMTP_H
#define TALUS_TESTS_ZMTP_H

#include <stddef.h>

// Connects to a port of the loopback as a socket of `type`, such as "PUB". Returns the descriptor.
int zmtp_connect(int port, const char *type);

void zmtp_send(int fd, const void *bytes, size_t size);

// Sends a PING, which libzmq's sockets answer.
void zmtp_ping(int fd);

// Waits for the answer, with a deadline. Nothing else comes before it.
void zmtp_expect_pong(int fd);

#endif
