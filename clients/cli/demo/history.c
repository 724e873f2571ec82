// SPDX-License-Identifier: MIT
#include "clients/cli/demo/history.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

demo_event_t *outbox_add(outbox_t *outbox, demo_event_kind_t kind, const char *subject)
{
    assert(outbox->first + outbox->count < OUTBOX_MAX);
    demo_event_t *event = &outbox->events[outbox->first + outbox->count++];
    *event = (demo_event_t){.kind = kind};
    snprintf(event->subject, sizeof(event->subject), "%s", subject);
    return event;
}

static demo_event_t *add_for_node(outbox_t *outbox, demo_event_kind_t kind,
                                  const graph_node_t *node)
{
    char id[GRAPH_ID_SIZE];
    graph_node_id(node, id);
    return outbox_add(outbox, kind, id);
}

static void create_node(int index, const graph_node_t *node, graph_t *graph, outbox_t *outbox)
{
    graph->nodes[index] = *node;
    graph->nodes[index].is_alive = true;
    demo_event_t *event = add_for_node(outbox, DEMO_node_created, node);
    if (node->parent != GRAPH_NONE)
        graph_node_id(&graph->nodes[node->parent], event->other);
    event->word = node->blueprint->id;
    snprintf(event->text, sizeof(event->text), "%s", node->name);
}

static void delete_node(int index, graph_t *graph, outbox_t *outbox)
{
    graph->nodes[index].is_alive = false;
    add_for_node(outbox, DEMO_node_deleted, &graph->nodes[index]);
}

static void set_link(int parent, int child, bool is_linked, graph_t *graph, outbox_t *outbox)
{
    graph->links[parent][child] = is_linked;
    demo_event_t *event = add_for_node(outbox, is_linked ? DEMO_node_linked : DEMO_node_unlinked,
                                       &graph->nodes[parent]);
    graph_node_id(&graph->nodes[child], event->other);
}

// Links or unlinks all that a deleted node was linked with.
static void set_links_of(const demo_command_t *command, bool is_linked, graph_t *graph,
                         outbox_t *outbox)
{
    for (int other = 0; other < GRAPH_NODES; other++) {
        if (command->parents[other])
            set_link(other, command->node, is_linked, graph, outbox);
        if (command->children[other])
            set_link(command->node, other, is_linked, graph, outbox);
    }
}

static void set_value(int index, unsigned property, const demo_value_t *value, graph_t *graph,
                      outbox_t *outbox)
{
    graph_node_t *node = &graph->nodes[index];
    bool is_deleted = value->kind == VALUE_NONE;
    demo_event_t *event =
        add_for_node(outbox, is_deleted ? DEMO_property_deleted : DEMO_property_changed, node);
    event->word = node->blueprint->properties[property].name;
    event->old_value = node->values[property];
    event->new_value = *value;
    node->values[property] = *value;
}

// The node comes back as it was: for the listeners, each value was never there before.
static void restore_node(const demo_command_t *command, graph_t *graph, outbox_t *outbox)
{
    create_node(command->node, &command->copy, graph, outbox);
    for (unsigned i = 0; i < GRAPH_PROPERTIES; i++) {
        if (command->copy.values[i].kind == VALUE_NONE)
            continue;
        graph->nodes[command->node].values[i] = (demo_value_t){.kind = VALUE_NONE};
        set_value(command->node, i, &command->copy.values[i], graph, outbox);
    }
    set_links_of(command, true, graph, outbox);
}

static void set_property(const demo_command_t *command, const demo_value_t *value, graph_t *graph,
                         outbox_t *outbox)
{
    set_value(command->node, command->property, value, graph, outbox);
    if (command->is_update)
        add_for_node(outbox, DEMO_node_updated, &graph->nodes[command->node]);
}

void command_apply(const demo_command_t *command, graph_t *graph, outbox_t *outbox)
{
    switch (command->kind) {
    case COMMAND_CREATE:
        create_node(command->node, &command->copy, graph, outbox);
        break;
    case COMMAND_DELETE:
        set_links_of(command, false, graph, outbox);
        delete_node(command->node, graph, outbox);
        break;
    case COMMAND_SET:
    case COMMAND_CLEAR:
        set_property(command, &command->new_value, graph, outbox);
        break;
    case COMMAND_LINK:
    case COMMAND_UNLINK:
        set_link(command->node, command->child, command->kind == COMMAND_LINK, graph, outbox);
        break;
    }
}

void command_revert(const demo_command_t *command, graph_t *graph, outbox_t *outbox)
{
    switch (command->kind) {
    case COMMAND_CREATE:
        delete_node(command->node, graph, outbox);
        break;
    case COMMAND_DELETE:
        restore_node(command, graph, outbox);
        break;
    case COMMAND_SET:
    case COMMAND_CLEAR:
        set_property(command, &command->old_value, graph, outbox);
        break;
    case COMMAND_LINK:
    case COMMAND_UNLINK:
        set_link(command->node, command->child, command->kind == COMMAND_UNLINK, graph, outbox);
        break;
    }
}

void history_push(history_t *history, const demo_command_t *command)
{
    if (history->done == HISTORY_MAX) {
        history->done--;
        memmove(history->commands, history->commands + 1,
                history->done * sizeof(history->commands[0]));
    }
    history->commands[history->done++] = *command;
    history->count = history->done;
}
