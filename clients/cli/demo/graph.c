// SPDX-License-Identifier: MIT
#include "clients/cli/demo/graph.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MATERIALS, FILTERS, OUTPUTS };

static const char *const colours[] = {"#c8553d", "#588b8b", "#f2d0a4", "#2d3047",
                                      "#93b7be", "#e0ca3c", NULL};
static const char *const textures[] = {"textures/oak_bark.png", "textures/slate_wet.exr",
                                       "textures/linen_fine.png", "textures/copper_aged.exr", NULL};
static const char *const modes[] = {"normal", "multiply", "screen", "overlay", NULL};
static const char *const notes[] = {"check against the reference", "ask Priya before changing",
                                    "too dark in the hall scene", "für die Präsentation", NULL};
static const char *const formats[] = {"png", "exr", "jpeg", "webp", NULL};

#define POSITION                                                                                   \
    {                                                                                              \
        "position", VALUE_POINT                                                                    \
    }
#define NOTE                                                                                       \
    {                                                                                              \
        "note", VALUE_TEXT, .choices = notes                                                       \
    }
#define PREVIEW                                                                                    \
    {                                                                                              \
        "thumbnail", VALUE_THUMBNAIL                                                               \
    }

static const blueprint_t groups[GRAPH_GROUPS] = {
    [MATERIALS] = {"group", "Materials", GRAPH_NONE},
    [FILTERS] = {"group", "Filters", GRAPH_NONE},
    [OUTPUTS] = {"group", "Outputs", GRAPH_NONE},
};

static const blueprint_t blueprints[] = {
    {"material.pbr",
     "Material",
     MATERIALS,
     {{"base_color", VALUE_TEXT, .choices = colours},
      {"roughness", VALUE_NUMBER, 0, 1},
      {"metallic", VALUE_NUMBER, 0, 1},
      {"double_sided", VALUE_BOOL},
      POSITION,
      NOTE,
      PREVIEW}},
    {"texture.image",
     "Texture",
     MATERIALS,
     {{"file", VALUE_TEXT, .choices = textures},
      {"scale", VALUE_NUMBER, 0.25, 8},
      {"tiled", VALUE_BOOL},
      POSITION,
      NOTE,
      PREVIEW}},
    {"filter.blur",
     "Blur",
     FILTERS,
     {{"radius", VALUE_NUMBER, 0, 64}, {"passes", VALUE_INTEGER, 1, 8}, POSITION, NOTE}},
    {"filter.levels",
     "Levels",
     FILTERS,
     {{"black", VALUE_INTEGER, 0, 96},
      {"white", VALUE_INTEGER, 160, 255},
      {"gamma", VALUE_NUMBER, 0.4, 2.4},
      POSITION,
      NOTE}},
    {"filter.mix",
     "Mix",
     FILTERS,
     {{"factor", VALUE_NUMBER, 0, 1}, {"mode", VALUE_TEXT, .choices = modes}, POSITION, NOTE}},
    {"output.render",
     "Render",
     OUTPUTS,
     {{"samples", VALUE_INTEGER, 16, 1024},
      {"format", VALUE_TEXT, .choices = formats},
      {"denoise", VALUE_BOOL},
      POSITION,
      NOTE,
      PREVIEW}},
};
enum { BLUEPRINT_COUNT = sizeof(blueprints) / sizeof(blueprints[0]) };

const blueprint_t *graph_group(int group)
{
    return &groups[group];
}

const blueprint_t *graph_blueprint(demo_random_t *random)
{
    return &blueprints[random_below(random, BLUEPRINT_COUNT)];
}

int graph_free_index(const graph_t *graph)
{
    for (int i = GRAPH_GROUPS; i < GRAPH_NODES; i++)
        if (!graph->nodes[i].is_alive)
            return i;
    return GRAPH_NONE;
}

unsigned graph_count(const graph_t *graph)
{
    unsigned count = 0;
    for (int i = GRAPH_GROUPS; i < GRAPH_NODES; i++)
        count += graph->nodes[i].is_alive;
    return count;
}

int graph_pick(const graph_t *graph, demo_random_t *random)
{
    unsigned count = graph_count(graph);
    if (count == 0)
        return GRAPH_NONE;
    unsigned skipped = random_below(random, count);
    int index = GRAPH_GROUPS;
    while (!graph->nodes[index].is_alive || skipped-- > 0)
        index++;
    return index;
}

void graph_new_node(graph_t *graph, const blueprint_t *blueprint, graph_node_t *node)
{
    *node = (graph_node_t){
        .number = ++graph->last_number,
        .blueprint = blueprint,
        .parent = blueprint->group,
    };
    if (blueprint->group == GRAPH_NONE)
        snprintf(node->name, sizeof(node->name), "%s", blueprint->title);
    else
        snprintf(node->name, sizeof(node->name), "%s %u", blueprint->title, node->number);
}

void graph_node_id(const graph_node_t *node, char id[GRAPH_ID_SIZE])
{
    snprintf(id, GRAPH_ID_SIZE, "node-%u", node->number);
}

// Depth first, each node once: what `child` leads to.
static bool leads_to(const graph_t *graph, int from, int to, bool *visited)
{
    if (from == to)
        return true;
    visited[from] = true;
    for (int next = GRAPH_GROUPS; next < GRAPH_NODES; next++)
        if (graph->links[from][next] && !visited[next] && leads_to(graph, next, to, visited))
            return true;
    return false;
}

bool graph_makes_cycle(const graph_t *graph, int parent, int child)
{
    bool visited[GRAPH_NODES] = {false};
    return leads_to(graph, child, parent, visited);
}

static const char *draw_choice(const char *const *choices, const char *old, demo_random_t *random)
{
    unsigned count = 1; // no list is empty
    while (choices[count])
        count++;
    unsigned index = random_below(random, count);
    if (strcmp(choices[index], old) == 0)
        index = (index + 1) % count;
    return choices[index];
}

// Two digits behind the point, as from a slider.
static double draw_number(const property_spec_t *spec, double old, demo_random_t *random)
{
    double number = spec->min + (spec->max - spec->min) * random_below(random, 1001) / 1000;
    number = round(number * 100) / 100;
    if (number == old)
        number = number < spec->max ? spec->max : spec->min;
    return number;
}

demo_value_t graph_draw_value(const property_spec_t *spec, const demo_value_t *old,
                              demo_random_t *random)
{
    demo_value_t value = {.kind = spec->kind};
    unsigned range;
    switch (spec->kind) {
    case VALUE_NONE:
        break;
    case VALUE_BOOL:
        value.integer = old->kind == VALUE_NONE || !old->integer;
        break;
    case VALUE_INTEGER:
        range = (unsigned)(spec->max - spec->min) + 1;
        value.integer = (int64_t)spec->min + random_below(random, range);
        if (old->kind == VALUE_INTEGER && value.integer == old->integer)
            value.integer += value.integer < (int64_t)spec->max ? 1 : -1;
        break;
    case VALUE_NUMBER:
        value.number =
            draw_number(spec, old->kind == VALUE_NONE ? spec->min - 1 : old->number, random);
        break;
    case VALUE_TEXT:
        snprintf(value.text, sizeof(value.text), "%s",
                 draw_choice(spec->choices, old->kind == VALUE_NONE ? "" : old->text, random));
        break;
    case VALUE_POINT:
        value.x = 20 * (int)random_below(random, 96);
        value.y = 20 * (int)random_below(random, 54);
        break;
    case VALUE_THUMBNAIL:
        value.integer = random_below(random, 1u << 24);
        break;
    }
    return value;
}

unsigned graph_property_count(const blueprint_t *blueprint)
{
    unsigned count = 0;
    while (count < GRAPH_PROPERTIES && blueprint->properties[count].name)
        count++;
    return count;
}
