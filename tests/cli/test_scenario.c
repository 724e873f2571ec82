// SPDX-License-Identifier: MIT
// The demo's story, checked by a listener that knows nothing but the events: whoever follows them
// must never be told of a node, link, value or command that cannot be.
#include "tests/common/cmocka_all.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/demo/scenario.h"

enum { NODES = 2048, PROPERTIES = 8, COMMANDS = 16384, EVENTS = 20000, SEEDS = 8 };

struct listener {
    struct {
        bool is_alive;
        const char *names[PROPERTIES];
        demo_value_t values[PROPERTIES];
    } nodes[NODES];
    bool links[NODES][NODES];
    enum { UNKNOWN, RUNNING, DONE, UNDONE, FAILED } commands[COMMANDS];
    unsigned connected;
    unsigned seen[DEMO_KIND_COUNT];
};

static struct listener listener;

static unsigned number_after(const char *prefix, const char *id, unsigned bound)
{
    const char *start = strstr(id, prefix);
    unsigned number = start ? (unsigned)strtoul(start + strlen(prefix), NULL, 10) : 0;
    if (number == 0 || number >= bound)
        fail_msg("\"%s\" is no id", id);
    return number;
}

static unsigned alive(const char *id)
{
    unsigned node = number_after("node-", id, NODES);
    if (!listener.nodes[node].is_alive)
        fail_msg("%s is not there", id);
    return node;
}

static demo_value_t *value_of(unsigned node, const char *property)
{
    for (int i = 0; i < PROPERTIES; i++) {
        if (!listener.nodes[node].names[i])
            listener.nodes[node].names[i] = property;
        if (strcmp(listener.nodes[node].names[i], property) == 0)
            return &listener.nodes[node].values[i];
    }
    fail_msg("node-%u has too many properties", node);
    return NULL;
}

static void hear_node(const demo_event_t *event)
{
    unsigned node = number_after("node-", event->subject, NODES);
    bool is_created = event->kind == DEMO_node_created;
    assert_true(listener.nodes[node].is_alive != is_created);
    memset(&listener.nodes[node], 0, sizeof(listener.nodes[node]));
    listener.nodes[node].is_alive = is_created;
    if (is_created) {
        assert_true(event->word && event->text[0]);
        if (event->other[0])
            alive(event->other);
    }
    for (unsigned other = 0; other < NODES; other++)
        assert_false(listener.links[node][other] || listener.links[other][node]);
}

static void hear_link(const demo_event_t *event)
{
    unsigned parent = alive(event->subject), child = alive(event->other);
    bool is_linked = event->kind == DEMO_node_linked;
    assert_true(parent != child);
    assert_true(listener.links[parent][child] != is_linked);
    listener.links[parent][child] = is_linked;
}

static bool is_same_value(const demo_value_t *one, const demo_value_t *other)
{
    return one->kind == other->kind && one->integer == other->integer &&
           one->number == other->number && one->x == other->x && one->y == other->y &&
           strcmp(one->text, other->text) == 0;
}

static void hear_property(const demo_event_t *event)
{
    demo_value_t *value = value_of(alive(event->subject), event->word);
    if (event->kind == DEMO_property_deleted) {
        assert_true(value->kind != VALUE_NONE);
        *value = (demo_value_t){.kind = VALUE_NONE};
        return;
    }
    assert_true(is_same_value(value, &event->old_value));
    assert_true(event->new_value.kind != VALUE_NONE);
    *value = event->new_value;
}

static void hear_command(const demo_event_t *event)
{
    unsigned command = number_after("-", event->subject, COMMANDS);
    static const int before[] = {
        [DEMO_command_executing] = UNKNOWN,
        [DEMO_command_executed] = RUNNING,
        [DEMO_undo] = DONE,
        [DEMO_redo] = UNDONE,
    };
    assert_int_equal(listener.commands[command], before[event->kind]);
    if (event->kind == DEMO_command_executing)
        listener.commands[command] = RUNNING;
    else if (event->kind == DEMO_undo)
        listener.commands[command] = UNDONE;
    else
        listener.commands[command] = event->text[0] ? FAILED : DONE;
}

static void hear(const demo_event_t *event)
{
    listener.seen[event->kind]++;
    switch (event->kind) {
    case DEMO_node_created:
    case DEMO_node_deleted:
        hear_node(event);
        break;
    case DEMO_node_updated:
        alive(event->subject);
        break;
    case DEMO_node_linked:
    case DEMO_node_unlinked:
        hear_link(event);
        break;
    case DEMO_property_changed:
    case DEMO_property_deleted:
        hear_property(event);
        break;
    case DEMO_command_executing:
    case DEMO_command_executed:
    case DEMO_undo:
    case DEMO_redo:
        hear_command(event);
        break;
    case DEMO_session_connected:
        listener.connected++;
        break;
    case DEMO_session_disconnected:
        assert_true(listener.connected-- > 1);
        break;
    case DEMO_external_template_update:
        assert_true(event->subject[0]);
        break;
    case DEMO_KIND_COUNT:
        fail();
    }
}

static void test_scenario_tells_nothing_impossible(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        static scenario_t scenario;
        memset(&listener, 0, sizeof(listener));
        scenario_init(&scenario, seed);
        for (int i = 0; i < EVENTS; i++) {
            hear(scenario_next(&scenario));
            scenario_advance(&scenario);
        }
        for (int kind = 0; kind < DEMO_KIND_COUNT; kind++)
            if (listener.seen[kind] < EVENTS / 1000)
                fail_msg("kind %d came only %u times", kind, listener.seen[kind]);
    }
}

static void test_scenario_shows_every_kind_early(void **state)
{
    (void)state;
    static scenario_t scenario;
    bool seen[DEMO_KIND_COUNT] = {false};
    bool has_failure = false, has_thumbnail = false;
    scenario_init(&scenario, 1);
    for (int i = 0; i < 1000; i++) {
        const demo_event_t *event = scenario_next(&scenario);
        seen[event->kind] = true;
        has_failure |= event->kind == DEMO_command_executed && event->text[0];
        has_thumbnail |= event->new_value.kind == VALUE_THUMBNAIL;
        scenario_advance(&scenario);
    }
    for (int kind = 0; kind < DEMO_KIND_COUNT; kind++)
        if (!seen[kind])
            fail_msg("kind %d did not come", kind);
    assert_true(has_failure && has_thumbnail);
}

static bool is_same_event(const demo_event_t *one, const demo_event_t *other)
{
    return one->kind == other->kind && strcmp(one->subject, other->subject) == 0 &&
           strcmp(one->other, other->other) == 0 && one->word == other->word &&
           strcmp(one->text, other->text) == 0 && is_same_value(&one->new_value, &other->new_value);
}

static void test_scenario_follows_its_seed(void **state)
{
    (void)state;
    static scenario_t one, same, other;
    unsigned differences = 0;
    scenario_init(&one, 7);
    scenario_init(&same, 7);
    scenario_init(&other, 8);
    for (int i = 0; i < 5000; i++) {
        assert_true(is_same_event(scenario_next(&one), scenario_next(&same)));
        differences += !is_same_event(scenario_next(&one), scenario_next(&other));
        scenario_advance(&one);
        scenario_advance(&same);
        scenario_advance(&other);
    }
    assert_true(differences > 4000);
}

static void test_scenario_values_are_well_formed(void **state)
{
    (void)state;
    unsigned char scratch[DEMO_SCRATCH_SIZE];
    char json[128];
    size_t size;
    demo_value_t point = {.kind = VALUE_POINT, .x = 40, .y = 1060};
    talus_value_t value = demo_value_of(&point, scratch);
    assert_int_equal(value.type, TALUS_MSGPACK);
    assert_int_equal(talus_json_encode(value.as.bytes.ptr, value.as.bytes.size, NULL, NULL, json,
                                       sizeof(json), &size),
                     0);
    assert_int_equal(size, strlen("{\"x\":40,\"y\":1060}"));
    assert_memory_equal(json, "{\"x\":40,\"y\":1060}", size);

    demo_value_t thumbnail = {.kind = VALUE_THUMBNAIL, .integer = 5};
    value = demo_value_of(&thumbnail, scratch);
    assert_int_equal(value.type, TALUS_BIN);
    assert_memory_equal(value.as.bytes.ptr, "BM", 2);
    // The header says how long the file is.
    assert_int_equal(scratch[2] | scratch[3] << 8, value.as.bytes.size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scenario_tells_nothing_impossible),
        cmocka_unit_test(test_scenario_shows_every_kind_early),
        cmocka_unit_test(test_scenario_follows_its_seed),
        cmocka_unit_test(test_scenario_values_are_well_formed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
