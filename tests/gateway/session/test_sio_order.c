// SPDX-License-Identifier: MIT
// The order of what a client receives, against a model: random programs of emits to rooms, sockets
// and everybody, of joins, leaves and disconnects, many in one turn. The model is a list for each
// client of what it is owed, in the order of the calls; whatever way the server takes (pending in a
// room's chunk, at once for members of several rooms, chunks of their own), the client must receive
// exactly that. Clients poll or use WebSockets, and some do not read for a while.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/protocol/eio.h"
#include "gateway/protocol/sio_frames.h"
#include "tests/gateway/session/sio_harness.h"

enum {
    PROGRAMS = 100,
    TURNS = 14,
    CALLS = 14, // in one turn, at most
    CLIENTS = 6,
    ROOMS = 3,
    OWED_MAX = 1024, // messages to one client in one program
    ATTACHMENTS = 2,
    FRAMES_MAX = 1 << 20,
};

static const char *const room_names[ROOMS] = {"a", "b", "c"};

#define DISCONNECT 0 // in the place of a message's number

struct member {
    bool is_there;     // the socket is, until on_disconnect
    bool is_leaving;   // sio_socket_disconnect was called
    bool is_ghost;     // on_disconnect is being called
    bool is_deaf;      // the client has gone, and what it is owed is lost
    bool is_listening; // the client is to receive what it is owed
    struct sio_socket *socket;
    struct client *ws;     // NULL: it polls
    struct client *poller; // the connection of its polls
    bool is_polling;       // one waits
    struct sid sid;
    bool rooms[ROOMS];
    unsigned owed[OWED_MAX]; // numbers of messages
    unsigned owed_count;
    unsigned next; // of `owed`, to be received
    unsigned part; // of that: 0 the packet, 1… its attachments
};

struct world {
    struct sio_harness *harness;
    struct member members[CLIENTS];
    uint64_t random;
    unsigned seed;
    unsigned messages; // made so far
    int64_t deliveries;
};

static unsigned draw(struct world *world, unsigned below)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return (unsigned)((world->random >> 33) % below);
}

// ---- Messages: all about one follows from its number

struct content {
    json_t *args;
    struct sio_attachment attachments[ATTACHMENTS];
    unsigned attachment_count;
};

static unsigned scatter(unsigned number)
{
    return number * 2654435761u >> 8;
}

static size_t filler_size(unsigned number)
{
    unsigned kind = scatter(number) % 100;
    if (kind < 80)
        return kind;
    if (kind < 92)
        return 1000 + kind * 20;
    return kind < 97 ? 16000 : 70000; // more than a chunk of a room ever holds
}

static unsigned attachment_count(unsigned number)
{
    return scatter(number * 7) % 5 == 0 ? 1 + number % ATTACHMENTS : 0;
}

static void content_init(struct content *content, unsigned number)
{
    static uint8_t bytes[256];
    static char filler[80000];
    size_t size = filler_size(number);
    memset(filler, 'a' + (int)(number % 26), size);
    filler[size] = '\0';
    memset(bytes, 0x5a, sizeof bytes);
    *content = (struct content){.attachment_count = attachment_count(number)};
    content->args = json_pack("[s,i,s]", "m", (int)number, filler);
    assert_non_null(content->args);
    for (unsigned i = 0; i < content->attachment_count; i++) {
        json_array_append_new(content->args,
                              json_pack("{s:b,s:i}", "_placeholder", 1, "num", (int)i));
        content->attachments[i] = (struct sio_attachment){bytes, (number + i) % sizeof bytes};
    }
}

// The packet's text, as the protocol has it.
static char *packet_text(unsigned number)
{
    struct content content;
    char head[16] = "2";
    if (number == DISCONNECT)
        return strdup("1");
    content_init(&content, number);
    if (content.attachment_count > 0)
        snprintf(head, sizeof head, "5%u-", content.attachment_count);
    char *json = json_dumps(content.args, JSON_COMPACT);
    json_decref(content.args);
    char *text = malloc(strlen(json) + sizeof head);
    strcat(strcpy(text, head), json);
    free(json);
    return text;
}

// ---- Receiving

static void check_packet(const struct world *world, struct member *member, bool is_binary,
                         const uint8_t *bytes, size_t size)
{
    int index = (int)(member - world->members);
    if (member->next == member->owed_count)
        fail_msg("seed %u: client %d got what it was not owed: %.*s", world->seed, index,
                 is_binary ? 0 : (int)size, (const char *)bytes);
    unsigned number = member->owed[member->next];
    if (is_binary != (member->part > 0))
        fail_msg("seed %u: client %d got the wrong kind of frame", world->seed, index);
    if (is_binary) {
        assert_int_equal(size, (number + member->part - 1) % 256);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(bytes[i], 0x5a);
    } else {
        char *expected = packet_text(number);
        if (size != strlen(expected) || memcmp(bytes, expected, size) != 0)
            fail_msg("seed %u: client %d, message %u of %u: %.40s… instead of %.40s…", world->seed,
                     index, member->next, member->owed_count, (const char *)bytes, expected);
        free(expected);
    }
    unsigned parts = number == DISCONNECT ? 0 : attachment_count(number);
    if (member->part++ == parts) {
        member->part = 0;
        member->next++;
    }
}

// The server has closed the connection, after all that it owed.
static void hang_up(const struct world *world, struct member *member)
{
    member->is_listening = false;
    if (member->next < member->owed_count)
        fail_msg("seed %u: a client was closed before it had everything", world->seed);
}

static void read_frames(const struct world *world, struct member *member)
{
    struct tl_buffer *in = &member->ws->in;
    size_t used = 0, size, frame;
    enum ws_opcode opcode;
    const uint8_t *payload;
    while ((frame = ws_split_server_frame(in->bytes + used, in->size - used, &opcode, &payload,
                                          &size)) > 0) {
        if (opcode == WS_CLOSE)
            hang_up(world, member);
        else if (opcode == WS_BINARY)
            check_packet(world, member, true, payload, size);
        else
            check_packet(world, member, false, payload + 1, size - 1); // behind the type
        used += frame;
    }
    tl_buffer_consume(in, used);
}

static void read_payload(const struct world *world, struct member *member, const char *body)
{
    struct tl_buffer scratch;
    struct eio_packet packet;
    size_t position = 0;
    tl_buffer_init(&scratch, FRAMES_MAX);
    while (eio_payload_next((const uint8_t *)body, strlen(body), &position, &scratch, &packet) ==
           1) {
        if (packet.type == EIO_MESSAGE)
            check_packet(world, member, packet.is_binary, packet.bytes, packet.size);
        else if (packet.type == EIO_CLOSE)
            hang_up(world, member);
        else
            assert_int_equal(packet.type, EIO_NOOP);
    }
    tl_buffer_fini(&scratch);
}

static bool is_owed_more(const struct member *member)
{
    return member->is_listening && member->next < member->owed_count;
}

static void begin_poll(struct member *member)
{
    client_request(member->poller, "GET", poll_target(&member->sid), "", NULL);
    member->is_polling = true;
}

static void end_poll(const struct world *world, struct member *member)
{
    member->is_polling = false;
    read_payload(world, member, client_response(member->poller));
    assert_int_equal(last_response()->status, 200);
}

// Reads what is there. A poll that is to wait is begun only now and then.
static void receive(struct world *world, struct member *member)
{
    if (!member->is_listening)
        return;
    if (member->ws) {
        read_frames(world, member);
        member->ws->is_reading = draw(world, 3) > 0;
    } else if (member->is_polling && member->poller->in.size > 0) {
        end_poll(world, member);
    } else if (!member->is_polling && draw(world, 3) == 0) {
        begin_poll(member);
    }
}

struct wait {
    const struct world *world;
    struct member *member;
};

static bool has_all(void *arg)
{
    struct wait *wait = arg;
    read_frames(wait->world, wait->member);
    return !is_owed_more(wait->member);
}

static void receive_all(struct world *world, struct member *member)
{
    struct wait wait = {world, member};
    if (!member->is_listening)
        return;
    if (member->ws) {
        member->ws->is_reading = true;
        bed_wait(&world->harness->base.bed, has_all, &wait);
    }
    while (!member->ws && is_owed_more(member)) {
        if (!member->is_polling)
            begin_poll(member);
        end_poll(world, member);
    }
}

// ---- The model: what each call means

static void owe(struct member *member, unsigned number)
{
    assert_true(member->owed_count < OWED_MAX);
    member->owed[member->owed_count++] = number;
}

static bool is_heard(const struct member *member)
{
    return member->is_there && !member->is_leaving;
}

// Who gets a message to a room (ROOMS: to everybody).
static bool is_addressed(const struct member *member, unsigned room)
{
    return is_heard(member) && (room == ROOMS || member->rooms[room]);
}

static const char *id_of(const struct member *member)
{
    return member->is_there ? sio_socket_id(member->socket) : "nobody";
}

static size_t owe_room(struct world *world, unsigned room, unsigned number,
                       const struct member *const *except, unsigned except_count)
{
    size_t count = 0;
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct member *member = &world->members[i];
        bool is_excepted = false;
        for (unsigned at = 0; at < except_count; at++)
            is_excepted |= except[at] == member;
        if (!is_addressed(member, room) || is_excepted)
            continue;
        owe(member, number);
        count++;
    }
    return count;
}

// Members on their way out are counted by the room's own way of sending.
static size_t count_leaving(const struct world *world, unsigned room, const struct member *except)
{
    size_t count = 0;
    for (unsigned i = 0; i < CLIENTS && room < ROOMS; i++) {
        const struct member *member = &world->members[i];
        bool is_leaving = member->is_there && member->is_leaving && member != except;
        count += member->rooms[room] && (is_leaving || member->is_ghost);
    }
    return count;
}

// A client that has gone may have been noticed or not.
static void check_count(const struct world *world, size_t count, size_t expected)
{
    size_t deaf = 0;
    for (unsigned i = 0; i < CLIENTS; i++)
        deaf += world->members[i].is_there && world->members[i].is_deaf;
    if (count > expected || count + deaf < expected)
        fail_msg("seed %u: %zu receivers instead of %zu", world->seed, count, expected);
}

// ---- The calls

static unsigned draw_room(struct world *world)
{
    return draw(world, 8) == 0 ? ROOMS : draw(world, ROOMS);
}

static const char *name_of(unsigned room)
{
    return room == ROOMS ? NULL : room_names[room];
}

static void emit_to_room(struct world *world)
{
    struct content content;
    unsigned room = draw_room(world);
    unsigned number = ++world->messages;
    const struct member *except[2];
    const char *ids[2];
    unsigned except_count = draw(world, 3);
    for (unsigned i = 0; i < except_count; i++) {
        except[i] = &world->members[draw(world, CLIENTS)];
        ids[i] = id_of(except[i]);
    }
    content_init(&content, number);
    const struct sio_message message = {content.args, content.attachments,
                                        content.attachment_count};
    size_t count = sio_room_emit(world->harness->main, name_of(room), &message, ids, except_count);
    check_count(world, count, owe_room(world, room, number, except, except_count));
    json_decref(content.args);
}

static void emit_encoded(struct world *world)
{
    struct content content;
    struct tl_buffer frames;
    unsigned room = draw_room(world);
    unsigned number = ++world->messages;
    const struct member *except =
        draw(world, 3) == 0 ? &world->members[draw(world, CLIENTS)] : NULL;
    content_init(&content, number);
    tl_buffer_init(&frames, FRAMES_MAX);
    assert_true(sio_frames_encode(&frames, SIO_EVENT, "/", SIO_NO_ID, content.args,
                                  content.attachments, content.attachment_count));
    const struct sio_encoded encoded = {frames.bytes, frames.size};
    size_t count = sio_room_emit_encoded(world->harness->main, name_of(room), &encoded,
                                         except ? id_of(except) : NULL);
    check_count(world, count,
                owe_room(world, room, number, &except, 1) + count_leaving(world, room, except));
    world->deliveries += (int64_t)count;
    json_decref(content.args);
    tl_buffer_fini(&frames);
}

static void emit_to_one(struct world *world, struct member *member)
{
    struct content content;
    unsigned number = ++world->messages;
    if (!member->is_there)
        return;
    content_init(&content, number);
    const struct sio_message message = {content.args, content.attachments,
                                        content.attachment_count};
    bool is_sent = sio_emit(member->socket, &message);
    assert_true(is_sent == is_heard(member) || member->is_deaf);
    if (is_sent)
        owe(member, number);
    json_decref(content.args);
}

static void move(struct world *world, struct member *member)
{
    unsigned room = draw(world, ROOMS);
    bool is_joining = draw(world, 3) > 0;
    if (!member->is_there)
        return;
    if (is_joining)
        assert_true(sio_join(member->socket, room_names[room]));
    else
        sio_leave(member->socket, room_names[room]);
    member->rooms[room] = is_joining;
    assert_int_equal(sio_is_in(member->socket, room_names[room]), is_joining);
}

static void disconnect(struct world *world, struct member *member)
{
    if (!is_heard(member))
        return;
    owe(member, DISCONNECT);
    member->is_leaving = true;
    sio_socket_disconnect(member->socket, draw(world, 2) == 0);
}

static void call(struct world *world)
{
    unsigned kind = draw(world, 100);
    struct member *member = &world->members[draw(world, CLIENTS)];
    if (kind < 35)
        emit_encoded(world);
    else if (kind < 50)
        emit_to_room(world);
    else if (kind < 70)
        emit_to_one(world, member);
    else if (kind < 98)
        move(world, member);
    else
        disconnect(world, member);
}

// The others may be told at once.
static void on_disconnect(struct sio_socket *socket, const char *reason, void *arg)
{
    struct world *world = ((struct sio_harness *)arg)->data;
    struct member *member = sio_socket_data(socket);
    (void)reason;
    member->is_there = false;
    member->is_ghost = true;
    for (unsigned i = draw(world, 4); i > 0; i--)
        call(world);
    member->is_ghost = false;
    memset(member->rooms, 0, sizeof member->rooms);
}

// ---- Clients come and go

// The client goes, which the server is yet to notice.
static void drop(struct world *world, struct member *member)
{
    static const uint8_t close_frame[] = {0x88, 0x80, 0, 0, 0, 0};
    member->is_listening = false;
    member->is_deaf = true;
    if (!member->ws) {
        // Only a poll that waits is missed at once when it breaks off.
        harness_settle(&world->harness->base);
        bool is_waiting = member->is_polling && member->poller->in.size == 0;
        if (is_heard(member) && (!is_waiting || draw(world, 2) == 0))
            post(&world->harness->base, &member->sid, "1");
        client_close(member->poller);
        return;
    }
    if (draw(world, 2) == 0)
        client_send(member->ws, close_frame, sizeof close_frame);
    if (draw(world, 2) == 0)
        client_reset(member->ws);
    else
        client_close(member->ws);
}

static void come(struct world *world, struct member *member)
{
    struct sio_harness *harness = world->harness;
    harness_settle(&harness->base); // so that nothing is sent until it is there
    *member = (struct member){.is_listening = true, .is_there = true};
    if (draw(world, 2) == 0) {
        member->socket = sio_ws_open(&member->ws, harness);
    } else {
        member->socket = sio_polling_open(&member->sid, harness);
        client_open(&member->poller, &harness->base);
    }
    sio_socket_set_data(member->socket, member);
}

static void turn(struct world *world)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct member *member = &world->members[i];
        if (member->is_there && !member->is_deaf && draw(world, 40) == 0) {
            drop(world, member);
        } else if (!member->is_there && draw(world, 2) == 0) {
            receive_all(world, member);
            if (member->socket && !member->is_deaf)
                drop(world, member);
            come(world, member);
        }
    }
    for (unsigned i = draw(world, CALLS + 1); i > 0; i--)
        call(world);
    bed_turn(&world->harness->base.bed);
    for (unsigned i = 0; i < CLIENTS; i++)
        receive(world, &world->members[i]);
}

static void run(struct sio_harness *harness, unsigned seed)
{
    struct bed *bed = &harness->base.bed;
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->harness = harness;
    world->seed = seed;
    world->random = seed * UINT64_C(0x9e3779b97f4a7c15);
    int64_t before = bed_metric(bed, GW_PUBLISHED);
    int64_t written_before = bed_metric(bed, GW_DELIVERED);
    int64_t dropped_before = bed_dropped(bed);
    harness->data = world;
    for (unsigned i = 0; i < TURNS; i++)
        turn(world);
    for (unsigned i = 0; i < CLIENTS; i++)
        receive_all(world, &world->members[i]);
    for (unsigned i = 0; i < CLIENTS; i++)
        if (world->members[i].socket && !world->members[i].is_deaf)
            drop(world, &world->members[i]);
    sio_forget_log(harness);
    // Each copy has met one fate, whatever became of its client.
    int64_t published = bed_metric(bed, GW_PUBLISHED) - before;
    assert_true(published >= world->deliveries); // clients on their way out are owed it, too
    assert_int_equal(published, bed_metric(bed, GW_DELIVERED) - written_before + bed_dropped(bed) -
                                    dropped_before);
    assert_int_equal(bed_metric(bed, GW_SIO_SOCKETS), 0);
    assert_int_equal(bed_metric(bed, GW_ROOMS), 0);
    free(world);
}

static void test_each_client_receives_what_it_is_owed(void **state)
{
    struct sio_harness *harness = *state;
    harness->hooks.on_disconnect = on_disconnect;
    for (unsigned seed = 1; seed <= PROGRAMS; seed++)
        run(harness, seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_client_receives_what_it_is_owed, sio_setup,
                                        sio_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
