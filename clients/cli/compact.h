// SPDX-License-Identifier: MIT
// A payload for a narrow terminal: its JSON without what the eye can spare.
#ifndef TALUS_CLI_COMPACT_H
#define TALUS_CLI_COMPACT_H

#include "clients/cli/text.h"

// Appends a payload, given as the JSON text of libtalus's encoder, safe for a terminal.
// An object is written as key=value …, texts without quotes where they need none; a typed event
// with exactly its fields, in the order of the table, as the values alone. `session` is left out
// where the first member, session_id, repeats it. Anything else is written as it is.
void compact_append(text_t *text, const char *type, const char *session, const char *json,
                    size_t size);

#endif
