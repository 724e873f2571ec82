// SPDX-License-Identifier: MIT
// What happens in the demo: editors come and go, and work on a graph with commands that succeed,
// fail, are undone and redone. The same seed tells the same story.
// Pure: no clock, no socket.
#ifndef TALUS_CLI_DEMO_SCENARIO_H
#define TALUS_CLI_DEMO_SCENARIO_H

#include "clients/cli/demo/history.h"

enum { EDITOR_COUNT = 5 };

typedef struct editor {
    bool is_connected;
    char client_id[DEMO_ID_SIZE];
} editor_t;

typedef struct scenario {
    demo_random_t random;
    graph_t graph;
    history_t history;
    outbox_t outbox;
    editor_t editors[EDITOR_COUNT];
    unsigned connected;
    unsigned last_command;
    unsigned scene; // of the opening; beyond it: free play
} scenario_t;

void scenario_init(scenario_t *scenario, uint64_t seed);

// The event that is next; it stays so until scenario_advance.
const demo_event_t *scenario_next(scenario_t *scenario);
void scenario_advance(scenario_t *scenario);

#endif
