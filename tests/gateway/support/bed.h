// SPDX-License-Identifier: MIT
// A test bed: a loop with a clock of the test's own, and clients with real sockets, all in the
// test's thread. Waiting means turning the loop and the clients until what is waited for is there;
// after BED_PATIENCE_MS of real time the test fails.
#ifndef TALUS_TESTS_GATEWAY_SUPPORT_BED_H
#define TALUS_TESTS_GATEWAY_SUPPORT_BED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/list.h"
#include "gateway/base/loop.h"
#include "gateway/base/metrics.h"

enum { BED_PATIENCE_MS = 20000 };

struct bed {
    struct gw_loop *loop;
    struct gw_metrics metrics;
    int64_t now; // of the loop's clock
    struct tl_list clients;
};

void bed_init(struct bed *bed);
// Everything on the loop must have been closed. Closes the clients.
void bed_fini(struct bed *bed);

// Two turns that do not wait (what one hands to libuv reaches epoll in the next), and the clients.
void bed_turn(struct bed *bed);
// Moves the clock, and turns.
void bed_advance(struct bed *bed, int64_t ms);
// Turns until `is_done` says so.
void bed_wait(struct bed *bed, bool (*is_done)(void *arg), void *arg);
// Turns until the buffer has `size` bytes or more.
void bed_wait_size(struct bed *bed, const struct tl_buffer *buffer, size_t size);

// Makes a folder of the test's own, where TMPDIR says, and writes its path, of 63 bytes at most.
void bed_make_folder(char path[64]);

int64_t bed_metric(const struct bed *bed, enum gw_metric metric);
// Copies that were dropped, for all reasons together.
int64_t bed_dropped(const struct bed *bed);

struct client {
    struct tl_list link;
    struct bed *bed;
    int fd;
    struct tl_buffer in;
    struct tl_buffer out;
    bool is_reading;
    bool is_over; // the peer closed, or the connection failed
    int error;    // of the failure, 0 if there was none
};

// Connects to `127.0.0.1:PORT`, `[::1]:PORT` or `unix:PATH`. The client lives until client_close,
// or bed_fini.
struct client *client_connect(struct bed *bed, const char *address);
// Takes over a connected socket.
struct client *client_adopt(struct bed *bed, int fd);
// Closes and frees it.
void client_close(struct client *client);
// The same with a reset.
void client_reset(struct client *client);

void client_send(struct client *client, const void *bytes, size_t size);
void client_send_text(struct client *client, const char *text);
// Waits until all is handed to the kernel.
void client_flush(struct client *client);
void client_wait_size(struct client *client, size_t size);
void client_wait_over(struct client *client);

struct response {
    int status;
    char head[4096]; // with the status line, up to the empty line
    char *body;      // NUL-terminated, owned
    size_t body_size;
};

// Waits for a response and takes it out of what came. `has_body` false: of HEAD, 204, 304.
void client_take_response(struct client *client, struct response *response, bool has_body);
void response_fini(struct response *response);
// The value of a header, which must not be longer than 511 bytes, or NULL.
const char *response_header(const struct response *response, const char *name);

#endif
