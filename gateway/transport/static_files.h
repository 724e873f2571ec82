// SPDX-License-Identifier: MIT
// Serves a folder of a built page: read once at start, held in memory, and sent from there without
// copies. The files belong to the loop whose connections they are sent to.
#ifndef TALUS_GATEWAY_TRANSPORT_STATIC_FILES_H
#define TALUS_GATEWAY_TRANSPORT_STATIC_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/transport/http_server.h"

struct static_files;

// Reads every file below `folder`: 16 MiB together at most, no hidden files or folders, no links
// that lead out of it. Blocks; at start. NULL on failure, with a text for people in `error`:
// "cannot read the page from FOLDER: …".
struct static_files *static_files_load(const char *folder, char *error, size_t error_size);
// NULL-safe. Responses that are still being written keep the bytes that they need.
void static_files_destroy(struct static_files **files);

// Answers a GET or HEAD for a file: "/" is index.html; content type by ending, ETag and
// If-None-Match, Cache-Control (immutable for names with a hash below /assets/), nosniff, and on
// pages a strict Content-Security-Policy. Other methods on a file that exists: 405 with Allow.
// Returns false, and does nothing, if there is no such file; else the exchange is consumed.
bool static_files_respond(const struct static_files *files, struct http_exchange *exchange,
                          const struct http_request *request);

#endif
