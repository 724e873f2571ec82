// SPDX-License-Identifier: MIT
// A peer that speaks ZMTP by hand.
#include "tests/bus/support/zmtp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define DEADLINE_S 30

void zmtp_send(int fd, const void *bytes, size_t size)
{
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
}

static void read_all(int fd, void *bytes, size_t size)
{
    assert_int_equal(recv(fd, bytes, size, MSG_WAITALL), size);
}

static void send_ready(int fd, const char *type)
{
    static const char head[] = "\x05READY\x0bSocket-Type\x00\x00\x00";
    unsigned char frame[64] = {0x04};
    size_t size = 2, type_size = strlen(type);

    memcpy(frame + size, head, sizeof head - 1);
    size += sizeof head - 1;
    frame[size++] = (unsigned char)type_size;
    memcpy(frame + size, type, type_size);
    size += type_size;
    frame[1] = (unsigned char)(size - 2);
    zmtp_send(fd, frame, size);
}

int zmtp_connect(int port, const char *type)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)port)};
    unsigned char greeting[64] = {0xff, [9] = 0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    unsigned char received[256], header[2];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    zmtp_send(fd, greeting, sizeof greeting);
    read_all(fd, received, sizeof greeting);
    send_ready(fd, type);
    read_all(fd, header, sizeof header); // its READY
    read_all(fd, received, header[1]);
    return fd;
}

void zmtp_ping(int fd)
{
    static const unsigned char ping[] = {4, 7, 4, 'P', 'I', 'N', 'G', 0, 0};

    zmtp_send(fd, ping, sizeof ping);
}

void zmtp_expect_pong(int fd)
{
    static const unsigned char pong[] = {4, 5, 4, 'P', 'O', 'N', 'G'};
    const struct timeval deadline = {.tv_sec = DEADLINE_S};
    unsigned char received[sizeof pong];

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline), 0);
    read_all(fd, received, sizeof received);
    assert_memory_equal(received, pong, sizeof pong);
}
