// SPDX-License-Identifier: MIT
#include "tests/gateway/transport/http_fixture.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/common/cmocka_all.h"

struct http_fixture fixture;

static const char *const METHODS[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "OTHER"};

// ---- The handler

static void respond_echo(struct http_exchange *exchange, const struct http_request *request)
{
    struct tl_buffer body;
    tl_buffer_init(&body, 1 << 20);
    assert_true(tl_buffer_append_format(&body, "%s %s?%s ", METHODS[request->method], request->path,
                                        request->query));
    assert_true(tl_buffer_append(&body, request->body, request->body_size));
    http_respond(exchange, 200, "Content-Type: text/plain\r\n", body.bytes, body.size, false);
    tl_buffer_fini(&body);
}

static void respond_big(struct http_exchange *exchange)
{
    struct outq body;
    outq_init(&body);
    // Halves in the other order, so that ranges do not merge.
    for (int i = 0; i < BIG_RANGES; i++) {
        assert_true(outq_append(&body, fixture.big, BIG_CHUNK / 2, BIG_CHUNK));
        assert_true(outq_append(&body, fixture.big, 0, BIG_CHUNK / 2));
    }
    http_respond_ranges(exchange, 200, "", &body, false);
    assert_true(outq_is_empty(&body));
}

void on_fixture_abort(struct http_exchange *exchange, void *arg)
{
    struct http_fixture *f = arg;
    f->aborted++;
    for (unsigned i = 0; i < f->owed_count; i++)
        if (f->owed[i] == exchange)
            f->owed[i] = NULL;
}

void keep_exchange(struct http_exchange *exchange)
{
    assert_true(fixture.owed_count < OWED_MAX);
    fixture.owed[fixture.owed_count++] = exchange;
    http_exchange_on_abort(exchange, on_fixture_abort, &fixture);
}

static void on_head(struct http_exchange *exchange, const struct http_request *request, void *arg)
{
    assert_ptr_equal(arg, &fixture);
    fixture.heads++;
    if (fixture.on_head)
        fixture.on_head(exchange, request);
}

static void on_request(struct http_exchange *exchange, const struct http_request *request,
                       void *arg)
{
    assert_ptr_equal(arg, &fixture);
    fixture.requests++;
    if (fixture.intercept && fixture.intercept(exchange, request))
        return;
    if (request->is_oversized)
        http_respond(exchange, 413, "", "too large", 9, false);
    else if (strncmp(request->path, "/echo", 5) == 0)
        respond_echo(exchange, request);
    else if (strcmp(request->path, "/close") == 0)
        http_respond(exchange, 200, "", "bye", 3, true);
    else if (strcmp(request->path, "/later") == 0)
        keep_exchange(exchange);
    else if (strcmp(request->path, "/big") == 0)
        respond_big(exchange);
    else if (strcmp(request->path, "/upgrade") == 0)
        upgrade(exchange);
    else
        http_respond(exchange, atoi(request->path + 1), "", "gone", 4, false);
}

// ---- Upgrades

static void on_upgraded_data(struct conn *conn, void *owner, uint8_t *bytes, size_t size)
{
    assert_ptr_equal(owner, &fixture);
    assert_false(fixture.is_in_upgrade);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)toupper(bytes[i]);
    if (outq_append_copy(conn_queue(conn), bytes, size))
        conn_flush(conn);
    else
        conn_abort(conn);
}

static void on_upgraded_end(struct conn *conn, void *owner, enum conn_end end)
{
    (void)end;
    assert_ptr_equal(owner, &fixture);
    assert_ptr_equal(conn, fixture.upgraded);
    fixture.upgraded = NULL;
    fixture.upgrades_ended++;
}

static const struct conn_handler upgraded_handler = {.on_data = on_upgraded_data,
                                                     .on_end = on_upgraded_end};

void upgrade(struct http_exchange *exchange)
{
    static const char head[] = "HTTP/1.1 101 Switching Protocols\r\n"
                               "Connection: Upgrade\r\nUpgrade: shout\r\n\r\n";
    fixture.is_in_upgrade = true;
    fixture.upgraded = http_upgrade(exchange, head, sizeof head - 1, &upgraded_handler, &fixture);
    fixture.is_in_upgrade = false;
}

// ---- What is owed

static struct http_exchange *take_owed(unsigned index)
{
    assert_true(index < fixture.owed_count);
    struct http_exchange *exchange = fixture.owed[index];
    assert_non_null(exchange);
    fixture.owed_count--;
    memmove(fixture.owed + index, fixture.owed + index + 1,
            (fixture.owed_count - index) * sizeof fixture.owed[0]);
    return exchange;
}

void answer_owed(const char *body)
{
    answer_owed_at(0, body, false);
}

void answer_owed_at(unsigned index, const char *body, bool close)
{
    http_respond(take_owed(index), 200, "", body, strlen(body), close);
}

struct conn *upgrade_owed(void)
{
    upgrade(take_owed(0));
    return fixture.upgraded;
}

static bool has_owed(void *arg)
{
    return fixture.owed_count >= *(unsigned *)arg;
}

void wait_owed(unsigned count)
{
    bed_wait(&fixture.bed, has_owed, &count);
}

void http_settle(void)
{
    for (int i = 0; i < 200; i++)
        bed_turn(&fixture.bed);
}

// ---- Setup

static void on_accept(int fd, void *arg)
{
    http_server_take(arg, fd);
}

static int set_up(size_t max_head, size_t max_body)
{
    char error[256];
    struct http_server_options options;
    memset(&fixture, 0, sizeof fixture);
    bed_init(&fixture.bed);
    http_server_options_init(&options);
    options.limits.max_head = max_head;
    options.limits.max_body = max_body;
    options.on_head = on_head;
    fixture.server =
        http_server_new(fixture.bed.loop, &fixture.bed.metrics, &options, on_request, &fixture);
    assert_non_null(fixture.server);
    fixture.listener = listener_open(fixture.bed.loop, &fixture.bed.metrics, "127.0.0.1:0",
                                     on_accept, fixture.server, error, sizeof error);
    assert_non_null(fixture.listener);
    fixture.big = chunk_new(BIG_CHUNK);
    assert_non_null(fixture.big);
    memset(fixture.big->bytes, 'b', BIG_CHUNK);
    fixture.big->size = BIG_CHUNK;
    return 0;
}

int http_setup(void **state)
{
    (void)state;
    return set_up(16 * 1024, 1000000);
}

int http_setup_small(void **state)
{
    (void)state;
    return set_up(1000, 10000);
}

int http_teardown(void **state)
{
    (void)state;
    listener_close(&fixture.listener);
    http_server_destroy(&fixture.server);
    if (fixture.upgraded)
        conn_abort(fixture.upgraded);
    bed_turn(&fixture.bed);
    bool is_clean = bed_metric(&fixture.bed, GW_CONNECTIONS) == 0 && fixture.big->refs == 1;
    bed_fini(&fixture.bed);
    chunk_unref(fixture.big);
    return is_clean ? 0 : -1;
}

// ---- Clients

struct client *connect_client(void)
{
    return client_connect(&fixture.bed, listener_address(fixture.listener));
}

void expect_response(struct client *client, int status, const char *body)
{
    struct response response;
    client_take_response(client, &response, true);
    assert_int_equal(response.status, status);
    assert_string_equal(response.body, body);
    response_fini(&response);
}

void expect(struct client *client, const char *request, int status, const char *body)
{
    client_send_text(client, request);
    expect_response(client, status, body);
}
