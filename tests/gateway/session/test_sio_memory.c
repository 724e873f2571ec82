// SPDX-License-Identifier: MIT
// Memory that runs out: each allocation of each step in the life of a few clients fails once.
// Nothing may crash or leak, every socket ends once, every question is answered once, and a client
// that comes afterwards is served. JSON counts too: the library allocates through us.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/protocol/sio_frames.h"
#include "gateway/session/eio_internal.h"
#include "gateway/session/sio_internal.h"
#include "tests/common/faults.h"
#include "tests/gateway/session/sio_harness.h"

enum { WEBSOCKET, POLLS, POSTS, CONNECTIONS };

struct scene {
    struct sio_harness *harness;
    int fds[CONNECTIONS]; // -1: none
    char sid[32];         // of the client that polls
    unsigned asked;
    unsigned answered;
    // What is sent was made before memory runs out.
    struct sio_message text;
    struct sio_message binary;
    struct sio_attachment attachment;
    struct tl_buffer frames;
    struct tl_buffer large_frames;
};

static void turn(struct scene *scene)
{
    for (int i = 0; i < 6; i++)
        gw_loop_turn(scene->harness->base.bed.loop, false);
}

// ---- Clients, which allocate nothing

static void connect_to_server(struct scene *scene, int connection)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    scene->fds[connection] = fds[0];
    http_server_take(scene->harness->base.http, fds[1]);
}

static void write_to(struct scene *scene, int connection, const void *bytes, size_t size)
{
    if (scene->fds[connection] >= 0)
        send(scene->fds[connection], bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void write_frame(struct scene *scene, enum ws_opcode opcode, const char *text)
{
    uint8_t frame[128] = {0x80 | (uint8_t)opcode, 0x80 | (uint8_t)strlen(text)};
    assert_true(strlen(text) < 120);
    memcpy(frame + 6, text, strlen(text));
    write_to(scene, WEBSOCKET, frame, 6 + strlen(text));
    turn(scene);
}

static void request(struct scene *scene, int connection, const char *method, const char *target,
                    const char *rest)
{
    char text[512];
    int size = snprintf(text, sizeof text, "%s %s&sid=%s HTTP/1.1\r\nHost: x\r\n%s", method, target,
                        scene->sid, rest);
    write_to(scene, connection, text, (size_t)size);
    turn(scene);
}

// ---- What the server does

static bool refuse_third(struct sio_socket *socket, const json_t *auth, struct sio_refusal *refusal,
                         void *arg)
{
    struct sio_harness *harness = arg;
    (void)auth;
    strcpy(refusal->message, "no");
    refusal->data = json_pack("{s:i}", "code", 1);
    return sio_socket_namespace(socket) != harness->third && sio_join(socket, "all");
}

static void answer(struct sio_socket *socket, const struct sio_message *message,
                   struct sio_ack *ack, void *arg)
{
    (void)arg;
    sio_emit(socket, message);
    if (ack)
        sio_ack_answer(ack, message->args, message->attachments, message->attachment_count);
}

static void on_ack(struct sio_socket *socket, const struct sio_message *got, void *arg)
{
    struct scene *scene = arg;
    (void)socket;
    scene->answered++;
    assert_true(!got || json_is_array(got->args));
}

// ---- The steps

static void step_open(struct scene *scene)
{
    connect_to_server(scene, WEBSOCKET);
    request(scene, WEBSOCKET, "GET", WS, WS_HEADERS "\r\n");
}

static void step_enter(struct scene *scene)
{
    write_frame(scene, WS_TEXT, "40{\"token\":[1,\"x\"]}");
    write_frame(scene, WS_TEXT, "40/nowhere,");
    write_frame(scene, WS_TEXT, "40/third,");
    write_frame(scene, WS_TEXT, "40/custom,");
}

static void step_receive(struct scene *scene)
{
    write_frame(scene, WS_TEXT, "421[\"a\",{\"b\":[1,2.5]}]");
    write_frame(scene, WS_TEXT, "42/custom,[\"c\"]");
}

static void step_receive_binary(struct scene *scene)
{
    write_frame(scene, WS_TEXT, "452-7[\"d\",{\"_placeholder\":true,\"num\":0,\"x\":1}]");
    write_frame(scene, WS_BINARY, "bytes");
    write_frame(scene, WS_BINARY, "more bytes");
}

static void step_open_polling(struct scene *scene)
{
    char response[2048];
    connect_to_server(scene, POLLS);
    request(scene, POLLS, "GET", POLL, "\r\n");
    ssize_t size = recv(scene->fds[POLLS], response, sizeof response - 1, MSG_DONTWAIT);
    response[size > 0 ? size : 0] = '\0';
    const char *open = strstr(response, "\r\n\r\n0{\"sid\":\"");
    if (open)
        snprintf(scene->sid, sizeof scene->sid, "%.20s", open + strlen("\r\n\r\n0{\"sid\":\""));
}

static void step_enter_polling(struct scene *scene)
{
    connect_to_server(scene, POSTS);
    request(scene, POSTS, "POST", POLL,
            "Content-Length: 11\r\n\r\n40\x1e"
            "42[\"ab\"]");
}

// The sockets in the order of their sessions, so that a step does the same each time. Steps that
// failed may have left none.
static unsigned sockets_of(const struct sio_namespace *nsp, struct sio_socket *sockets[CONNECTIONS])
{
    struct tl_list *sessions = &nsp->server->engine->sessions;
    unsigned count = 0;
    for (struct tl_list *at = sessions->next; at != sessions; at = at->next) {
        const struct eio_session *session = TL_LIST_ENTRY(at, struct eio_session, link);
        for (struct tl_node *node = tl_table_first(&nsp->sockets); node;
             node = tl_table_next(&nsp->sockets, node))
            if (sio__socket_at(node)->session == session)
                sockets[count++] = sio__socket_at(node);
    }
    return count;
}

static void step_join(struct scene *scene)
{
    struct sio_socket *sockets[CONNECTIONS];
    unsigned count = sockets_of(scene->harness->main, sockets);
    for (unsigned i = 0; i < count; i++)
        sio_join(sockets[i], "a");
    if (count > 0)
        sio_join(sockets[0], "b");
    turn(scene);
}

static void step_emit(struct scene *scene)
{
    struct sio_namespace *nsp = scene->harness->main;
    struct sio_socket *sockets[CONNECTIONS];
    unsigned count = sockets_of(scene->harness->main, sockets);
    for (unsigned i = 0; i < count; i++) {
        sio_emit(sockets[i], &scene->text);
        sio_emit(sockets[i], &scene->binary);
    }
    sio_room_emit(nsp, "a", &scene->text, NULL, 0);
    sio_room_emit(nsp, NULL, &scene->binary, NULL, 0);
    turn(scene);
}

static void step_emit_encoded(struct scene *scene)
{
    struct sio_namespace *nsp = scene->harness->main;
    const struct sio_encoded small = {scene->frames.bytes, scene->frames.size};
    const struct sio_encoded large = {scene->large_frames.bytes, scene->large_frames.size};
    sio_room_emit_encoded(nsp, "a", &small, NULL);
    sio_room_emit_encoded(nsp, "b", &small, NULL);
    struct sio_socket *sockets[CONNECTIONS];
    bool is_any = sockets_of(scene->harness->main, sockets) > 0;
    sio_room_emit_encoded(nsp, "a", &large, is_any ? sio_socket_id(sockets[0]) : NULL);
    sio_room_emit_encoded(nsp, NULL, &small, NULL);
    turn(scene);
}

static void step_ask(struct scene *scene)
{
    struct sio_socket *sockets[CONNECTIONS];
    unsigned count = sockets_of(scene->harness->main, sockets);
    for (unsigned i = 0; i < count; i++) {
        scene->asked += sio_emit_with_ack(sockets[i], &scene->text, 50, on_ack, scene);
        scene->asked += sio_emit_with_ack(sockets[i], &scene->binary, 60, on_ack, scene);
    }
    turn(scene);
    write_frame(scene, WS_TEXT, "430");
    write_frame(scene, WS_TEXT, "431[{}]");
}

static void step_poll(struct scene *scene)
{
    request(scene, POLLS, "GET", POLL, "\r\n");
}

static void step_leave(struct scene *scene)
{
    struct sio_socket *sockets[CONNECTIONS];
    if (sockets_of(scene->harness->main, sockets) > 0)
        sio_leave(sockets[0], "b");
    write_frame(scene, WS_TEXT, "41");
}

static void step_disconnect(struct scene *scene)
{
    struct sio_socket *sockets[CONNECTIONS];
    if (sockets_of(scene->harness->custom, sockets) > 0)
        sio_socket_disconnect(sockets[0], false);
    turn(scene);
    if (sockets_of(scene->harness->main, sockets) > 0)
        sio_socket_disconnect(sockets[0], true);
    turn(scene);
}

static void (*const steps[])(struct scene *scene) = {
    step_open,          step_enter, step_receive,    step_receive_binary, step_open_polling,
    step_enter_polling, step_join,  step_emit,       step_emit_encoded,   step_ask,
    step_poll,          step_leave, step_disconnect,
};
enum { STEPS = sizeof steps / sizeof steps[0] };

// ---- Runs

static void scene_init(struct scene *scene, struct sio_harness *harness)
{
    static char large[100000];
    *scene = (struct scene){.harness = harness, .fds = {-1, -1, -1}};
    scene->attachment = (struct sio_attachment){(const uint8_t *)"bytes", 5};
    scene->text = message_of("[\"text\",{\"x\":1}]");
    scene->binary = message_of("[\"binary\",{\"_placeholder\":true,\"num\":0}]");
    scene->binary.attachments = &scene->attachment;
    scene->binary.attachment_count = 1;
    tl_buffer_init(&scene->frames, 1000);
    tl_buffer_init(&scene->large_frames, sizeof large * 2);
    assert_true(
        sio_frames_encode(&scene->frames, SIO_EVENT, "/", SIO_NO_ID, scene->text.args, NULL, 0));
    memset(large, 'x', sizeof large);
    assert_true(ws_append_frame(&scene->large_frames, WS_TEXT, large, sizeof large));
    harness->hooks.on_connect = refuse_third;
    harness->hooks.on_event = answer;
    assert_non_null(tl_buffer_reserve(&harness->base.log, 65536)); // the log is not the server's
}

static void scene_fini(struct scene *scene)
{
    json_decref(scene->text.args);
    json_decref(scene->binary.args);
    tl_buffer_fini(&scene->frames);
    tl_buffer_fini(&scene->large_frames);
}

static void expect_service(struct sio_harness *harness)
{
    struct client *client;
    sio_ws_open(&client, harness);
    ws_send(client, "42[\"still here\"]");
    ws_expect(client, "42[\"still here\"]");
    client_close(client);
}

// Whether an allocation failed.
static bool run(int failing_step, unsigned allocation)
{
    void *state;
    struct scene scene;
    bool has_failed = false;
    sio_setup(&state);
    scene_init(&scene, state);
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
    sio_server_destroy(&scene.harness->sio);
    assert_int_equal(scene.asked, scene.answered);
    harness_settle(&scene.harness->base);
    const struct bed *bed = &scene.harness->base.bed;
    assert_true(bed_metric(bed, GW_PUBLISHED) > 0 || failing_step >= 0);
    assert_int_equal(bed_metric(bed, GW_PUBLISHED),
                     bed_metric(bed, GW_DELIVERED) + bed_dropped(bed));
    if (failing_step < 0)
        assert_int_equal(scene.asked, 4);
    scene_fini(&scene);
    sio_teardown(&state);
    return has_failed;
}

static void test_life_without_failures(void **state)
{
    (void)state;
    assert_false(run(-1, 0));
}

static void test_every_allocation_fails_once(void **state)
{
    (void)state;
    for (int step = 0; step < STEPS; step++) {
        unsigned allocation = 0;
        while (run(step, allocation))
            allocation++;
        print_message("step %d: %u allocations\n", step, allocation);
        if (steps[step] != step_leave && steps[step] != step_poll)
            assert_true(allocation > 0);
    }
}

// ---- What is missed is not hidden

static void expect_closed(struct sio_harness *harness, struct client *const clients[2])
{
    for (int i = 0; i < 2; i++)
        ws_expect_close(clients[i], 0);
    sio_expect_log(harness, "disconnect / transport close\ndisconnect / transport close\n");
}

static void test_members_are_closed_when_a_message_is_lost(void **state)
{
    static const char *const rooms[] = {"a", NULL};
    struct sio_harness *harness = *state;
    struct scene scene;
    struct client *clients[2], *other;
    scene_init(&scene, harness);
    harness->hooks = (struct sio_handler){0};
    sio_ws_open(&other, harness);
    for (int i = 0; i < 2; i++) {
        struct sio_socket *sockets[2];
        for (int at = 0; at < 2; at++) {
            sockets[at] = sio_ws_open(&clients[at], harness);
            assert_true(sio_join(sockets[at], "a"));
        }
        assert_true(sio_join(sockets[0], "b"));
        if (!rooms[i])
            client_close(other); // or it would be closed, too
        sio_forget_log(harness);
        const struct sio_encoded encoded = {scene.frames.bytes, scene.frames.size};
        faults_fail_allocation_after(0);
        assert_int_equal(sio_room_emit_encoded(harness->main, rooms[i], &encoded, NULL), 0);
        assert_true(faults_stop());
        assert_int_equal(harness->disconnections, i * 3);
        expect_closed(harness, clients);
        for (int at = 0; at < 2; at++)
            client_close(clients[at]);
    }
    scene_fini(&scene);
}

static void test_server_needs_memory(void **state)
{
    struct sio_harness *harness = *state;
    struct bed *bed = &harness->base.bed;
    struct sio_server_options options;
    const struct sio_handler handler = {0};
    sio_server_options_init(&options);
    unsigned allocation = 0;
    struct sio_server *server = NULL;
    while (!server) {
        faults_fail_allocation_after(allocation++);
        server = sio_server_new(bed->loop, &bed->metrics, &options);
        assert_int_equal(faults_stop(), !server);
    }
    assert_true(allocation > 1);
    faults_fail_allocation_after(0);
    assert_null(sio_server_add_namespace(server, "/", &handler, NULL));
    faults_stop();
    assert_non_null(sio_server_add_namespace(server, "/", &handler, NULL));
    assert_null(sio_server_add_namespace(server, "/", &handler, NULL)); // it exists
    sio_server_destroy(&server);
    assert_null(server);
    sio_server_destroy(&server);
}

#define sio_test(name) cmocka_unit_test_setup_teardown(name, sio_setup, sio_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life_without_failures),
        cmocka_unit_test(test_every_allocation_fails_once),
        sio_test(test_members_are_closed_when_a_message_is_lost),
        sio_test(test_server_needs_memory),
    };
    json_set_alloc_funcs(malloc, free);
    gw_log_set_level(GW_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
