// SPDX-License-Identifier: MIT
// The graph that the demo's editors work on: nodes of a few blueprints with properties, in groups,
// linked without cycles. It knows nothing of events.
//
// Invariants: links join nodes that are alive and are no groups; a node's parent is a group, alive.
#ifndef TALUS_CLI_DEMO_GRAPH_H
#define TALUS_CLI_DEMO_GRAPH_H

#include <stdbool.h>

#include "clients/cli/demo/random.h"
#include "clients/cli/demo/value.h"

enum {
    GRAPH_NODES = 24,
    GRAPH_GROUPS = 3,
    GRAPH_PROPERTIES = 8,
    GRAPH_NAME_SIZE = 32,
    GRAPH_ID_SIZE = 24,
    GRAPH_NONE = -1,
};

// How values of a property are drawn.
typedef struct property_spec {
    const char *name; // NULL ends a blueprint's list
    demo_value_kind_t kind;
    double min, max;            // INTEGER, NUMBER
    const char *const *choices; // TEXT: up to NULL
} property_spec_t;

typedef struct blueprint {
    const char *id;    // blueprint_type_id
    const char *title; // of which names are made
    int group;         // in which its nodes live; GRAPH_NONE: it is a group
    property_spec_t properties[GRAPH_PROPERTIES];
} blueprint_t;

typedef struct graph_node {
    bool is_alive;
    unsigned number; // its id is node-NUMBER
    const blueprint_t *blueprint;
    int parent; // index, or GRAPH_NONE
    char name[GRAPH_NAME_SIZE];
    demo_value_t values[GRAPH_PROPERTIES]; // as in the blueprint
} graph_node_t;

typedef struct graph {
    graph_node_t nodes[GRAPH_NODES];      // the groups first
    bool links[GRAPH_NODES][GRAPH_NODES]; // [parent][child]
    unsigned last_number;
} graph_t;

// The group of this index.
const blueprint_t *graph_group(int group);
// Some blueprint that is no group.
const blueprint_t *graph_blueprint(demo_random_t *random);

// A free index that is no group's, or GRAPH_NONE.
int graph_free_index(const graph_t *graph);
// Some node that is alive and no group, or GRAPH_NONE.
int graph_pick(const graph_t *graph, demo_random_t *random);
unsigned graph_count(const graph_t *graph);

// Fills in a new node (not yet alive), with a number and a name of its own.
void graph_new_node(graph_t *graph, const blueprint_t *blueprint, graph_node_t *node);
void graph_node_id(const graph_node_t *node, char id[GRAPH_ID_SIZE]);

// Whether a link from `parent` to `child` would close a cycle.
bool graph_makes_cycle(const graph_t *graph, int parent, int child);

// A new value for a property, other than `old`.
demo_value_t graph_draw_value(const property_spec_t *spec, const demo_value_t *old,
                              demo_random_t *random);
unsigned graph_property_count(const blueprint_t *blueprint);

#endif
