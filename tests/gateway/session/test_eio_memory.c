// SPDX-License-Identifier: MIT
// Memory that runs out: each allocation of each step in a session's life fails once. Nothing may
// crash or leak, no session may end twice or never, and a client that comes afterwards is served.
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/random.h"
#include "tests/common/faults.h"
#include "tests/gateway/session/eio_harness.h"

enum { CONNECTIONS = 3 };

struct scene {
    struct harness *harness;
    int fds[CONNECTIONS]; // -1: none
    char sid[GW_ID_SIZE + 1];
};

static void turn(struct scene *scene)
{
    for (int i = 0; i < 6; i++)
        gw_loop_turn(scene->harness->bed.loop, false);
}

static void write_to(struct scene *scene, int connection, const void *bytes, size_t size)
{
    if (scene->fds[connection] >= 0)
        send(scene->fds[connection], bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void request(struct scene *scene, int connection, const char *method, const char *target,
                    const char *rest)
{
    char text[1024];
    int size = snprintf(text, sizeof text, "%s %s&sid=%s HTTP/1.1\r\nHost: x\r\n%s", method, target,
                        scene->sid, rest);
    write_to(scene, connection, text, (size_t)size);
}

static void connect_to_server(struct scene *scene, int connection)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    scene->fds[connection] = fds[0];
    http_server_take(scene->harness->http, fds[1]);
}

// ---- The steps of a session's life. What they write was made before memory runs out.

static void step_handshake(struct scene *scene)
{
    connect_to_server(scene, 0);
    request(scene, 0, "GET", POLL, "\r\n");
    turn(scene);
    if (scene->harness->session)
        snprintf(scene->sid, sizeof scene->sid, "%s", eio_session_id(scene->harness->session));
}

static void step_poll(struct scene *scene)
{
    request(scene, 0, "GET", POLL, "\r\n");
    turn(scene);
}

static void step_post(struct scene *scene)
{
    connect_to_server(scene, 1);
    request(scene, 1, "POST", POLL,
            "Content-Length: 14\r\n\r\n4text\x1e"
            "bAQIDBAU");
    turn(scene);
}

static void step_connect_websocket(struct scene *scene)
{
    connect_to_server(scene, 2);
    request(scene, 2, "GET", PATH "&transport=websocket&b64=1", WS_HEADERS "\r\n");
    turn(scene);
}

static void step_probe(struct scene *scene)
{
    static const uint8_t frame[] = "\x81\x86\0\0\0\0"
                                   "2probe";
    write_to(scene, 2, frame, sizeof frame - 1);
    turn(scene);
}

static void step_queue(struct scene *scene)
{
    char message[1000];
    memset(message, 'm', sizeof message);
    if (scene->harness->session)
        eio_session_send_message(scene->harness->session, true, message, 10);
    if (scene->harness->session)
        eio_session_send_message(scene->harness->session, false, message, sizeof message);
    turn(scene);
}

static void step_upgrade(struct scene *scene)
{
    static const uint8_t frame[] = "\x81\x81\0\0\0\0"
                                   "5";
    write_to(scene, 2, frame, sizeof frame - 1);
    turn(scene);
}

static void step_fragments(struct scene *scene)
{
    static const uint8_t first[] = "\x01\x83\0\0\0\0"
                                   "4ab";
    static const uint8_t ping[] = "\x89\x81\0\0\0\0"
                                  "p";
    static const uint8_t last[] = "\x80\x82\0\0\0\0"
                                  "cd";
    write_to(scene, 2, first, sizeof first - 1);
    turn(scene);
    write_to(scene, 2, ping, sizeof ping - 1);
    turn(scene);
    write_to(scene, 2, last, sizeof last - 1);
    turn(scene);
}

static void step_heartbeat(struct scene *scene)
{
    scene->harness->bed.now += PING_INTERVAL;
    turn(scene);
}

static void step_close(struct scene *scene)
{
    if (scene->harness->session)
        eio_session_close(scene->harness->session, "forced close");
    turn(scene);
}

static void (*const steps[])(struct scene *scene) = {
    step_handshake, step_poll,    step_post,      step_connect_websocket, step_probe,
    step_queue,     step_upgrade, step_fragments, step_heartbeat,         step_close,
};
enum { STEPS = sizeof steps / sizeof steps[0] };

// ---- Runs

static unsigned count_lines(const struct harness *harness, const char *start)
{
    unsigned count = 0;
    const char *at = (const char *)harness->log.bytes;
    for (; (at = memmem(at, harness->log.size - (size_t)(at - (const char *)harness->log.bytes),
                        start, strlen(start)));
         at += strlen(start))
        count++;
    return count;
}

static void expect_service(struct harness *harness)
{
    struct client *client;
    ws_connect(&client, harness, PATH "&transport=websocket");
    client_wait_size(client, 10);
    tl_buffer_clear(&client->in);
    ws_send(client, "4still here");
    ws_expect(client, "4still here");
    client_close(client);
}

// Whether an allocation failed.
static bool run(int failing_step, unsigned allocation)
{
    void *state;
    struct scene scene = {.fds = {-1, -1, -1}};
    bool has_failed = false;
    harness_setup(&state);
    scene.harness = state;
    assert_non_null(tl_buffer_reserve(&scene.harness->log, 65536)); // the log is not the server's
    for (int step = 0; step < STEPS; step++) {
        if (step == failing_step)
            faults_fail_allocation_after(allocation);
        steps[step](&scene);
        if (step == failing_step)
            has_failed = faults_stop();
    }
    for (int i = 0; i < CONNECTIONS; i++)
        if (scene.fds[i] >= 0)
            close(scene.fds[i]);
    expect_service(scene.harness);
    eio_server_destroy(&scene.harness->eio);
    assert_int_equal(count_lines(scene.harness, "open\n"), count_lines(scene.harness, "close:"));
    harness_teardown(&state);
    return has_failed;
}

static void test_every_allocation_fails_once(void **state)
{
    (void)state;
    unsigned failures = 0;
    for (int step = 0; step < STEPS; step++)
        for (unsigned allocation = 0; run(step, allocation); allocation++)
            failures++;
    assert_true(failures > STEPS); // each step allocates something, most several things
}

static void test_life_without_failures(void **state)
{
    (void)state;
    assert_false(run(-1, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life_without_failures),
        cmocka_unit_test(test_every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
