// SPDX-License-Identifier: MIT
// Invariant: the outbox is refilled only when it is empty, with one whole scene: so one that plays
// on for ever never holds more than the largest.
#include "clients/cli/demo/scenario.h"

#include <stdio.h>
#include <string.h>

static const char *const names[EDITOR_COUNT] = {"mira", "jonas", "aiko", "tomas", "priya"};

enum {
    FEW_NODES = 5,
    MANY_NODES = 18, // below GRAPH_NODES - GRAPH_GROUPS
    OPENING_EDITORS = 2,
};

void scenario_init(scenario_t *scenario, uint64_t seed)
{
    *scenario = (scenario_t){.random = {.state = seed}};
}

static void connect_editor(scenario_t *scenario, int index)
{
    static const char digits[] = "abcdefghijkmnpqrstuvwxyz23456789";
    editor_t *editor = &scenario->editors[index];
    size_t size =
        (size_t)snprintf(editor->client_id, sizeof(editor->client_id), "%s-", names[index]);
    for (int i = 0; i < 8; i++)
        editor->client_id[size++] = digits[random_below(&scenario->random, sizeof(digits) - 1)];
    editor->client_id[size] = '\0';
    editor->is_connected = true;
    scenario->connected++;
    outbox_add(&scenario->outbox, DEMO_session_connected, editor->client_id);
}

static void disconnect_editor(scenario_t *scenario, int index)
{
    editor_t *editor = &scenario->editors[index];
    editor->is_connected = false;
    scenario->connected--;
    outbox_add(&scenario->outbox, DEMO_session_disconnected, editor->client_id);
}

static void come_or_go(scenario_t *scenario)
{
    int index = (int)random_below(&scenario->random, EDITOR_COUNT);
    if (!scenario->editors[index].is_connected)
        connect_editor(scenario, index);
    else if (scenario->connected > 1)
        disconnect_editor(scenario, index);
}

// A command of some editor who is there.
static demo_command_t new_command(scenario_t *scenario, command_kind_t kind, const char *type)
{
    demo_command_t command = {.kind = kind, .type = type};
    unsigned editor = random_below(&scenario->random, EDITOR_COUNT);
    while (!scenario->editors[editor].is_connected)
        editor = (editor + 1) % EDITOR_COUNT;
    snprintf(command.id, sizeof(command.id), "%s-%04u", names[editor], ++scenario->last_command);
    return command;
}

static void do_command(scenario_t *scenario, const demo_command_t *command)
{
    outbox_add(&scenario->outbox, DEMO_command_executing, command->id)->word = command->type;
    command_apply(command, &scenario->graph, &scenario->outbox);
    outbox_add(&scenario->outbox, DEMO_command_executed, command->id);
    history_push(&scenario->history, command);
}

static void fail_command(scenario_t *scenario, const char *type, const char *error)
{
    demo_command_t command = new_command(scenario, COMMAND_SET, type);
    outbox_add(&scenario->outbox, DEMO_command_executing, command.id)->word = type;
    demo_event_t *event = outbox_add(&scenario->outbox, DEMO_command_executed, command.id);
    snprintf(event->text, sizeof(event->text), "%s", error);
}

// ---- The commands. Each returns false if the graph as it is gives no occasion for it.

static bool create(scenario_t *scenario, int index, const blueprint_t *blueprint)
{
    if (index == GRAPH_NONE)
        return false;
    demo_command_t command = new_command(scenario, COMMAND_CREATE, "CreateNode");
    command.node = index;
    graph_new_node(&scenario->graph, blueprint, &command.copy);
    do_command(scenario, &command);
    return true;
}

static bool create_some(scenario_t *scenario)
{
    return create(scenario, graph_free_index(&scenario->graph), graph_blueprint(&scenario->random));
}

static bool delete_some(scenario_t *scenario)
{
    graph_t *graph = &scenario->graph;
    int index = graph_pick(graph, &scenario->random);
    if (index == GRAPH_NONE)
        return false;
    demo_command_t command = new_command(scenario, COMMAND_DELETE, "DeleteNode");
    command.node = index;
    command.copy = graph->nodes[index];
    for (int other = 0; other < GRAPH_NODES; other++) {
        command.parents[other] = graph->links[other][index];
        command.children[other] = graph->links[index][other];
    }
    do_command(scenario, &command);
    return true;
}

static bool set_property(scenario_t *scenario, int index, unsigned property, const char *type)
{
    graph_node_t *node = &scenario->graph.nodes[index];
    const property_spec_t *spec = &node->blueprint->properties[property];
    demo_command_t command = new_command(scenario, COMMAND_SET, type);
    command.node = index;
    command.property = property;
    command.old_value = node->values[property];
    command.new_value = graph_draw_value(spec, &command.old_value, &scenario->random);
    command.is_update = random_percent(&scenario->random, 30);
    do_command(scenario, &command);
    return true;
}

static const char *command_type_for(demo_value_kind_t kind)
{
    return kind == VALUE_POINT       ? "MoveNode"
           : kind == VALUE_THUMBNAIL ? "RenderThumbnail"
                                     : "SetProperty";
}

static bool set_some(scenario_t *scenario)
{
    int index = graph_pick(&scenario->graph, &scenario->random);
    if (index == GRAPH_NONE)
        return false;
    const blueprint_t *blueprint = scenario->graph.nodes[index].blueprint;
    unsigned property = random_below(&scenario->random, graph_property_count(blueprint));
    // Pictures are rarer than the rest: every other time another property is taken.
    if (blueprint->properties[property].kind == VALUE_THUMBNAIL &&
        random_percent(&scenario->random, 50))
        property = 0;
    return set_property(scenario, index, property,
                        command_type_for(blueprint->properties[property].kind));
}

static bool clear_some(scenario_t *scenario)
{
    int index = graph_pick(&scenario->graph, &scenario->random);
    if (index == GRAPH_NONE)
        return false;
    graph_node_t *node = &scenario->graph.nodes[index];
    for (unsigned i = 0; i < GRAPH_PROPERTIES; i++) {
        if (node->values[i].kind != VALUE_TEXT)
            continue;
        demo_command_t command = new_command(scenario, COMMAND_CLEAR, "DeleteProperty");
        command.node = index;
        command.property = i;
        command.old_value = node->values[i];
        do_command(scenario, &command);
        return true;
    }
    return false;
}

static bool link_some(scenario_t *scenario)
{
    graph_t *graph = &scenario->graph;
    int parent = graph_pick(graph, &scenario->random);
    int child = graph_pick(graph, &scenario->random);
    if (parent == GRAPH_NONE || parent == child || graph->links[parent][child])
        return false;
    if (graph_makes_cycle(graph, parent, child)) {
        char error[DEMO_ERROR_SIZE];
        snprintf(error, sizeof(error), "linking %s to %s would close a cycle",
                 graph->nodes[parent].name, graph->nodes[child].name);
        fail_command(scenario, "LinkNodes", error);
        return true;
    }
    demo_command_t command = new_command(scenario, COMMAND_LINK, "LinkNodes");
    command.node = parent;
    command.child = child;
    do_command(scenario, &command);
    return true;
}

static bool unlink_some(scenario_t *scenario)
{
    int parent = graph_pick(&scenario->graph, &scenario->random);
    if (parent == GRAPH_NONE)
        return false;
    for (int child = 0; child < GRAPH_NODES; child++) {
        if (!scenario->graph.links[parent][child])
            continue;
        demo_command_t command = new_command(scenario, COMMAND_UNLINK, "UnlinkNodes");
        command.node = parent;
        command.child = child;
        do_command(scenario, &command);
        return true;
    }
    return false;
}

static bool fail_some(scenario_t *scenario)
{
    char error[DEMO_ERROR_SIZE];
    switch (random_below(&scenario->random, 3)) {
    case 0:
        fail_command(scenario, "ImportTexture", "file not found: textures/moss_04.exr");
        break;
    case 1:
        snprintf(error, sizeof(error), "group %s cannot be deleted: nodes may live in it",
                 scenario->graph.nodes[random_below(&scenario->random, GRAPH_GROUPS)].name);
        fail_command(scenario, "DeleteNode", error);
        break;
    default:
        fail_command(scenario, "ExportScene", "the disk is full: 0 bytes of 48 MiB were written");
    }
    return true;
}

static bool undo(scenario_t *scenario)
{
    history_t *history = &scenario->history;
    if (history->done == 0)
        return false;
    const demo_command_t *command = &history->commands[--history->done];
    outbox_add(&scenario->outbox, DEMO_undo, command->id);
    command_revert(command, &scenario->graph, &scenario->outbox);
    return true;
}

static bool redo(scenario_t *scenario)
{
    history_t *history = &scenario->history;
    if (history->done == history->count)
        return false;
    const demo_command_t *command = &history->commands[history->done++];
    outbox_add(&scenario->outbox, DEMO_redo, command->id);
    command_apply(command, &scenario->graph, &scenario->outbox);
    return true;
}

// ---- The story

// Two editors arrive and make the groups. That is the ground: it is not undone.
static void open_scene(scenario_t *scenario)
{
    unsigned scene = scenario->scene++;
    if (scene < OPENING_EDITORS) {
        connect_editor(scenario, (int)scene);
        return;
    }
    int group = (int)(scene - OPENING_EDITORS);
    create(scenario, group, graph_group(group));
    scenario->history = (history_t){0};
}

static void update_template(scenario_t *scenario)
{
    static const char *const templates[] = {"studio-lighting", "product-shot", "archviz-day"};
    char id[DEMO_ID_SIZE];
    snprintf(id, sizeof(id), "%s@%u", templates[random_below(&scenario->random, 3)],
             2 + random_below(&scenario->random, 30));
    outbox_add(&scenario->outbox, DEMO_external_template_update, id);
}

static bool play_command(scenario_t *scenario)
{
    unsigned count = graph_count(&scenario->graph);
    unsigned draw = random_below(&scenario->random, 100);
    if (count < FEW_NODES && draw < 60)
        return create_some(scenario);
    if (count >= MANY_NODES && draw < 30)
        return delete_some(scenario);
    if (draw < 14)
        return create_some(scenario);
    if (draw < 58)
        return set_some(scenario);
    if (draw < 74)
        return link_some(scenario);
    if (draw < 80)
        return unlink_some(scenario);
    if (draw < 86)
        return delete_some(scenario);
    if (draw < 90)
        return clear_some(scenario);
    return draw < 94 && fail_some(scenario);
}

// One scene of free play. It may come to nothing: then another is tried.
static void play_scene(scenario_t *scenario)
{
    bool has_undone = scenario->history.done < scenario->history.count;
    unsigned draw = random_below(&scenario->random, 100);
    if (draw < 5)
        come_or_go(scenario);
    else if (draw < 7)
        update_template(scenario);
    else if (draw < 15 || (has_undone && draw < 30))
        undo(scenario);
    else if (has_undone && draw < 65)
        redo(scenario);
    else
        play_command(scenario);
}

const demo_event_t *scenario_next(scenario_t *scenario)
{
    outbox_t *outbox = &scenario->outbox;
    while (outbox->count == 0) {
        outbox->first = 0;
        if (scenario->scene < OPENING_EDITORS + GRAPH_GROUPS)
            open_scene(scenario);
        else
            play_scene(scenario);
    }
    return &outbox->events[outbox->first];
}

void scenario_advance(scenario_t *scenario)
{
    scenario->outbox.first++;
    scenario->outbox.count--;
}
