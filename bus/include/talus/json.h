// SPDX-License-Identifier: MIT
// Writes a payload as JSON (docs/protocol.md, "From msgpack to JSON").
#ifndef TALUS_JSON_H
#define TALUS_JSON_H

#include <stddef.h>

#include <talus/export.h>

TALUS_BEGIN_DECLS

// Receives one `bin` value (or an extension other than the timestamp), in order of appearance;
// `bytes` borrows from the payload.
typedef void talus_json_bin_fn(const void *bytes, size_t size, void *arg);

// Writes one msgpack value as JSON text into `buffer`, of `capacity` bytes, without a NUL.
// `data` must be well-formed, as an event's is, and nested no deeper than 64.
// Maps become objects (keys that are no strings: their text form), integers stay as they are, NaN
// and infinities become null, invalid UTF-8 becomes U+FFFD, the timestamp extension becomes ISO
// 8601 text. A `bin` becomes {"_placeholder":true,"num":N}, and is given to `on_bin`; with `on_bin`
// NULL it becomes {"base64":"…"}.
// Gives in `written` the bytes that the whole text takes, also when `capacity` is smaller: then the
// text is cut and the call is to be repeated with a larger buffer (on_bin was called all the same).
// Returns 0; TALUS_ETOOLARGE: `capacity` is too small; TALUS_EMSGPACK: `data` is not well-formed.
// Any thread. Does not block.
TALUS_API int talus_json_encode(const void *data, size_t size, talus_json_bin_fn *on_bin, void *arg,
                                char *buffer, size_t capacity, size_t *written) TALUS_MUST_USE;

TALUS_END_DECLS

#endif
