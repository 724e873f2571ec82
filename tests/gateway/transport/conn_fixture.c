// SPDX-License-Identifier: MIT
#include "tests/gateway/transport/conn_fixture.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/common/cmocka_all.h"

struct conn_fixture fixture;

static void on_data(struct conn *conn, void *owner, uint8_t *bytes, size_t size)
{
    struct conn_fixture *f = owner;
    assert_ptr_equal(conn, f->conn);
    assert_false(conn_is_closing(conn));
    assert_true(size > 0);
    assert_true(tl_buffer_append(&f->in, bytes, size));
    memset(bytes, '!', size); // they may be changed
    if (f->on_data)
        f->on_data(f);
}

static void on_drained(struct conn *conn, void *owner)
{
    struct conn_fixture *f = owner;
    assert_true(outq_is_empty(conn_queue(conn)));
    f->drained++;
    if (f->on_drained)
        f->on_drained(f);
}

static void on_end(struct conn *conn, void *owner, enum conn_end end)
{
    struct conn_fixture *f = owner;
    assert_ptr_equal(conn, f->conn);
    assert_true(conn_is_closing(conn));
    assert_false(f->is_in_call);
    f->conn = NULL;
    f->end = end;
    f->ended++;
}

const struct conn_handler fixture_handler = {
    .on_data = on_data, .on_drained = on_drained, .on_end = on_end};

void open_pair(int ends[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
}

// A TCP connection over loopback.
static void open_tcp_pair(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &size), 0);
    ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(ends[1], (struct sockaddr *)&address, size), 0);
    ends[0] = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(ends[0] >= 0);
    close(listening);
}

static int setup_with(void (*open_ends)(int ends[2]))
{
    int ends[2];
    memset(&fixture, 0, sizeof fixture);
    bed_init(&fixture.bed);
    tl_buffer_init(&fixture.in, 64 * 1024 * 1024);
    open_ends(ends);
    fixture.client = client_adopt(&fixture.bed, ends[1]);
    fixture.conn =
        conn_open(fixture.bed.loop, &fixture.bed.metrics, ends[0], &fixture_handler, &fixture);
    return fixture.conn ? 0 : -1;
}

int conn_setup(void **state)
{
    (void)state;
    return setup_with(open_pair);
}

int conn_setup_tcp(void **state)
{
    (void)state;
    return setup_with(open_tcp_pair);
}

int conn_teardown(void **state)
{
    (void)state;
    if (fixture.conn)
        conn_abort(fixture.conn);
    bed_turn(&fixture.bed);
    bool is_over_once = fixture.ended == 1 && bed_metric(&fixture.bed, GW_CONNECTIONS) == 0;
    bed_fini(&fixture.bed);
    tl_buffer_fini(&fixture.in);
    return is_over_once ? 0 : -1;
}

static bool has_ended(void *arg)
{
    (void)arg;
    return fixture.ended > 0;
}

void wait_end(enum conn_end end)
{
    bed_wait(&fixture.bed, has_ended, NULL);
    assert_int_equal(fixture.end, end);
}

void wait_input(size_t size)
{
    bed_wait_size(&fixture.bed, &fixture.in, size);
    assert_int_equal(fixture.in.size, size);
}

void send_text(const char *text)
{
    assert_true(outq_append_copy(conn_queue(fixture.conn), text, strlen(text)));
    conn_flush(fixture.conn);
}

void call_abort(struct conn_fixture *f)
{
    f->is_in_call = true;
    conn_abort(f->conn);
    conn_abort(f->conn);
    conn_close(f->conn, 1000);
    f->is_in_call = false;
}

void call_close(struct conn_fixture *f)
{
    f->is_in_call = true;
    conn_close(f->conn, 1000);
    f->is_in_call = false;
}
