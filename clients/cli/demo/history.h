// SPDX-License-Identifier: MIT
// The commands that were done, and how each changes the graph, forwards and backwards.
//
// Invariant: the graph is as the last done command left it, so that undoing it always succeeds;
// what was undone can be redone until another command is done.
#ifndef TALUS_CLI_DEMO_HISTORY_H
#define TALUS_CLI_DEMO_HISTORY_H

#include "clients/cli/demo/event.h"
#include "clients/cli/demo/graph.h"

// Events on their way out, in order; bounded by the largest command.
enum { OUTBOX_MAX = 64 };

typedef struct outbox {
    demo_event_t events[OUTBOX_MAX];
    unsigned first, count;
} outbox_t;

// Adds an event and returns it, cleared but for its kind and subject.
demo_event_t *outbox_add(outbox_t *outbox, demo_event_kind_t kind, const char *subject);

typedef enum command_kind {
    COMMAND_CREATE,
    COMMAND_DELETE,
    COMMAND_SET,   // a property
    COMMAND_CLEAR, // a property
    COMMAND_LINK,
    COMMAND_UNLINK,
} command_kind_t;

typedef struct demo_command {
    command_kind_t kind;
    const char *type; // command_type, such as "MoveNode"
    char id[DEMO_ID_SIZE];
    int node;  // index; a link's parent
    int child; // index; of a link
    unsigned property;
    bool is_update;                                   // SET: the node is worked out anew
    graph_node_t copy;                                // CREATE, DELETE: the node
    bool parents[GRAPH_NODES], children[GRAPH_NODES]; // DELETE: its links
    demo_value_t old_value, new_value;                // SET, CLEAR
} demo_command_t;

enum { HISTORY_MAX = 32 };

typedef struct history {
    demo_command_t commands[HISTORY_MAX];
    unsigned done;  // of them, the first
    unsigned count; // those above `done` were undone
} history_t;

// Changes the graph as the command says and adds the events that tell it.
void command_apply(const demo_command_t *command, graph_t *graph, outbox_t *outbox);
void command_revert(const demo_command_t *command, graph_t *graph, outbox_t *outbox);

// Remembers a command that was applied; forgets those undone, and the oldest if it must.
void history_push(history_t *history, const demo_command_t *command);

#endif
