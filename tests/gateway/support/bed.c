// SPDX-License-Identifier: MIT
// The test bed. It sleeps in poll on the loop's and the clients' descriptors, never for a time.
#include "tests/gateway/support/bed.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "gateway/transport/address.h"
#include "tests/common/cmocka_all.h"

enum { BUFFER_MAX = 64 * 1024 * 1024 };

static int64_t read_clock(void *arg)
{
    return ((struct bed *)arg)->now;
}

void bed_init(struct bed *bed)
{
    *bed = (struct bed){.now = 1000000};
    bed->loop = gw_loop_new();
    assert_non_null(bed->loop);
    gw_loop_set_clock(bed->loop, read_clock, bed);
    tl_list_init(&bed->clients);
}

void bed_fini(struct bed *bed)
{
    while (!tl_list_is_empty(&bed->clients))
        client_close(TL_LIST_ENTRY(bed->clients.next, struct client, link));
    gw_loop_destroy(&bed->loop);
}

int64_t bed_metric(const struct bed *bed, enum gw_metric metric)
{
    return atomic_load(&bed->metrics.values[metric]);
}

int64_t bed_dropped(const struct bed *bed)
{
    int64_t count = 0;
    for (int metric = GW_DROPPED_CLOSE; metric <= GW_DROPPED_MEMORY; metric++)
        count += bed_metric(bed, (enum gw_metric)metric);
    return count;
}

void bed_make_folder(char path[64])
{
    const char *parent = getenv("TMPDIR");
    int size = snprintf(path, 64, "%s/talus-XXXXXX", parent ? parent : P_tmpdir);
    assert_true(size > 0 && size < 64);
    assert_non_null(mkdtemp(path));
}

// ---- Clients' input and output

static void note_failure(struct client *client, int error)
{
    client->is_over = true;
    client->error = error;
}

static void pump_input(struct client *client)
{
    while (client->is_reading && !client->is_over) {
        uint8_t bytes[65536];
        ssize_t got = recv(client->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got > 0)
            assert_true(tl_buffer_append(&client->in, bytes, (size_t)got));
        else if (got < 0 && errno == EAGAIN)
            return;
        else
            note_failure(client, got == 0 ? 0 : errno);
    }
}

static void pump_output(struct client *client)
{
    while (client->out.size > 0) {
        ssize_t sent =
            send(client->fd, client->out.bytes, client->out.size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            return;
        // What the peer does not take is lost, as it would be for any client; reading goes on.
        tl_buffer_consume(&client->out, sent < 0 ? client->out.size : (size_t)sent);
    }
}

static struct client *client_of(struct tl_list *link)
{
    return TL_LIST_ENTRY(link, struct client, link);
}

void bed_turn(struct bed *bed)
{
    gw_loop_turn(bed->loop, false);
    gw_loop_turn(bed->loop, false);
    for (struct tl_list *at = bed->clients.next; at != &bed->clients; at = at->next) {
        pump_output(client_of(at));
        pump_input(client_of(at));
    }
}

void bed_advance(struct bed *bed, int64_t ms)
{
    bed->now += ms;
    bed_turn(bed);
}

static size_t gather_descriptors(struct bed *bed, struct pollfd **descriptors)
{
    size_t count = 1;
    for (struct tl_list *at = bed->clients.next; at != &bed->clients; at = at->next)
        count++;
    struct pollfd *all = calloc(count, sizeof *all);
    assert_non_null(all);
    all[0] = (struct pollfd){.fd = uv_backend_fd(gw_loop_uv(bed->loop)), .events = POLLIN};
    size_t i = 1;
    for (struct tl_list *at = bed->clients.next; at != &bed->clients; at = at->next) {
        struct client *client = client_of(at);
        bool is_reading = client->is_reading && !client->is_over;
        bool is_writing = client->out.size > 0;
        all[i++] = (struct pollfd){
            .fd = is_reading || is_writing ? client->fd : -1,
            .events = (short)((is_reading ? POLLIN : 0) | (is_writing ? POLLOUT : 0)),
        };
    }
    *descriptors = all;
    return count;
}

// Until something can be done; not for long, since what the last turn began to watch may be
// missing.
static void wait_for_events(struct bed *bed)
{
    enum { AT_MOST_MS = 5 };
    struct pollfd *descriptors;
    size_t count = gather_descriptors(bed, &descriptors);
    poll(descriptors, count, AT_MOST_MS);
    free(descriptors);
}

static int64_t real_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void bed_wait(struct bed *bed, bool (*is_done)(void *arg), void *arg)
{
    int64_t deadline = real_ms() + BED_PATIENCE_MS;
    for (;;) {
        bed_turn(bed);
        if (is_done(arg))
            return;
        if (real_ms() > deadline)
            fail_msg("what was waited for did not happen in %d ms", BED_PATIENCE_MS);
        if (!gw_loop_is_busy(bed->loop))
            wait_for_events(bed);
    }
}

struct size_wait {
    const struct tl_buffer *buffer;
    size_t size;
};

static bool has_size(void *arg)
{
    struct size_wait *wait = arg;
    return wait->buffer->size >= wait->size;
}

void bed_wait_size(struct bed *bed, const struct tl_buffer *buffer, size_t size)
{
    struct size_wait wait = {buffer, size};
    bed_wait(bed, has_size, &wait);
}

// ---- Clients' life

struct client *client_adopt(struct bed *bed, int fd)
{
    struct client *client = calloc(1, sizeof *client);
    assert_non_null(client);
    *client = (struct client){.bed = bed, .fd = fd, .is_reading = true};
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    tl_buffer_init(&client->in, BUFFER_MAX);
    tl_buffer_init(&client->out, BUFFER_MAX);
    tl_list_append(&bed->clients, &client->link);
    return client;
}

static int connect_to(const struct sockaddr *address, socklen_t size)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int receive_buffer = 64 * 1024; // so that a client that does not read is soon felt
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    // On loopback the kernel completes it at once; the backlog takes it.
    assert_int_equal(connect(fd, address, size), 0);
    return fd;
}

struct client *client_connect(struct bed *bed, const char *text)
{
    struct address address;
    assert_null(address_parse(text, &address));
    if (address.is_unix) {
        const struct sockaddr *path = (const struct sockaddr *)&address.path;
        return client_adopt(bed, connect_to(path, sizeof address.path));
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *found = NULL;
    assert_int_equal(getaddrinfo(address.host, address.port, &hints, &found), 0);
    int on = 1;
    int fd = connect_to(found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    // Small pieces are to leave at once.
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return client_adopt(bed, fd);
}

void client_close(struct client *client)
{
    tl_list_remove(&client->link);
    tl_buffer_fini(&client->in);
    tl_buffer_fini(&client->out);
    close(client->fd);
    free(client);
}

void client_reset(struct client *client)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    client_close(client);
}

void client_send(struct client *client, const void *bytes, size_t size)
{
    assert_true(tl_buffer_append(&client->out, bytes, size));
    pump_output(client);
}

void client_send_text(struct client *client, const char *text)
{
    client_send(client, text, strlen(text));
}

// ---- Waiting

static bool is_flushed(void *arg)
{
    return ((struct client *)arg)->out.size == 0;
}

void client_flush(struct client *client)
{
    bed_wait(client->bed, is_flushed, client);
}

void client_wait_size(struct client *client, size_t size)
{
    bed_wait_size(client->bed, &client->in, size);
}

static bool is_over(void *arg)
{
    return ((struct client *)arg)->is_over;
}

void client_wait_over(struct client *client)
{
    bed_wait(client->bed, is_over, client);
}

// ---- Responses

struct response_wait {
    struct client *client;
    struct response *response;
    bool has_body;
    size_t size; // of the whole response
};

static bool has_response(void *arg)
{
    struct response_wait *wait = arg;
    struct tl_buffer *in = &wait->client->in;
    struct response *response = wait->response;
    const char *end = in->size > 0 ? memmem(in->bytes, in->size, "\r\n\r\n", 4) : NULL;
    if (!end)
        return false;
    size_t head = (size_t)(end + 4 - (const char *)in->bytes);
    assert_true(head < sizeof response->head);
    memcpy(response->head, in->bytes, head);
    response->head[head] = '\0';
    assert_int_equal(sscanf(response->head, "HTTP/1.1 %d ", &response->status), 1);
    const char *length = response_header(response, "Content-Length");
    response->body_size = length && wait->has_body ? strtoul(length, NULL, 10) : 0;
    wait->size = head + response->body_size;
    return in->size >= wait->size;
}

void client_take_response(struct client *client, struct response *response, bool has_body)
{
    *response = (struct response){0};
    struct response_wait wait = {client, response, has_body, 0};
    bed_wait(client->bed, has_response, &wait);
    response->body = calloc(1, response->body_size + 1);
    assert_non_null(response->body);
    memcpy(response->body, client->in.bytes + wait.size - response->body_size, response->body_size);
    tl_buffer_consume(&client->in, wait.size);
}

void response_fini(struct response *response)
{
    free(response->body);
    response->body = NULL;
}

const char *response_header(const struct response *response, const char *name)
{
    static char value[512];
    size_t size = strlen(name);
    const char *line = strstr(response->head, "\r\n");
    while (line && line[2] != '\r') {
        line += 2;
        const char *end = strstr(line, "\r\n");
        if (strncasecmp(line, name, size) == 0 && line[size] == ':') {
            const char *start = line + size + 1 + strspn(line + size + 1, " ");
            snprintf(value, sizeof value, "%.*s", (int)(end - start), start);
            return value;
        }
        line = end;
    }
    return NULL;
}
