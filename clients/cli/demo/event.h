// SPDX-License-Identifier: MIT
// An event of the demo, waiting for its moment; the typed emits publish it.
#ifndef TALUS_CLI_DEMO_EVENT_H
#define TALUS_CLI_DEMO_EVENT_H

#include <stdbool.h>

#include <talus.h>

#include "clients/cli/demo/value.h"

// The kinds, from the table of typed events: DEMO_node_created, …
typedef enum demo_event_kind {
#define TALUS_EVENT(identifier, wire_name, fields) DEMO_##identifier,
#define TALUS_FIELD_STR(name)
#define TALUS_FIELD_OPT(name)
#define TALUS_FIELD_ANY(name)
#define TALUS_FIELD_BOOL(name)
#include <talus/events.def>
#undef TALUS_EVENT
#undef TALUS_FIELD_STR
#undef TALUS_FIELD_OPT
#undef TALUS_FIELD_ANY
#undef TALUS_FIELD_BOOL
    DEMO_KIND_COUNT,
} demo_event_kind_t;

enum { DEMO_ID_SIZE = 40, DEMO_ERROR_SIZE = 96 };

typedef struct demo_event {
    demo_event_kind_t kind;
    char subject[DEMO_ID_SIZE]; // node_id, command_id, client_id, template_id; a link's parent_id
    char other[DEMO_ID_SIZE];   // a link's child_id; node-created: parent_id, "" for none
    const char *word;           // property_name, command_type, blueprint_type_id; static
    char text[DEMO_ERROR_SIZE]; // name of a node; error of a command, "" for none
    demo_value_t old_value, new_value;
} demo_event_t;

// Emits it. Returns what the typed emit does.
talus_error_t demo_event_emit(const demo_event_t *event, talus_broadcaster_t *broadcaster,
                              const char *session);

#endif
