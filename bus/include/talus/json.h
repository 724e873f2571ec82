// SPDX-License-Identifier: MIT
// Writes a payload as JSON (docs/protocol.md, "From msgpack to JSON").
#ifndef TALUS_JSON_H
#define TALUS_JSON_H

#include <stddef.h>

#include <talus/error.h>
#include <talus/export.h>

TALUS_BEGIN_DECLS

// Receives one `bin` value (or the bytes of an extension other than the timestamp, without its
// type), in order of appearance; `bytes` borrows from the payload.
typedef void talus_json_bin_fn(const void *bytes, size_t size, void *arg);

// Writes one msgpack value as JSON text, in UTF-8 and without spaces.
// `data`, of `size` bytes: an event's payload, or any other bytes; they are checked.
// `on_bin`, `arg`: what takes the `bin` values, each of which becomes
//   {"_placeholder":true,"num":N}; with `on_bin` NULL a `bin` becomes {"base64":"…"}.
// `buffer`, of `capacity` bytes: receives the text, without a NUL. NULL is allowed with 0.
// `written`: receives the bytes that the whole text takes, also when `capacity` is smaller: the
//   text is cut then, and the call is to be repeated with a larger buffer (on_bin was called all
//   the same).
//
// Maps become objects, integers stay as they are, NaN and infinities become null, other floats are
// written as JavaScript does, invalid UTF-8 becomes U+FFFD, the timestamp extension becomes ISO
// 8601 text. A key that is not a string becomes its JSON text as a string, with a `bin` in it as
// base64; a container, `bin` or extension that is a key inside such a key becomes the base64 text
// of its msgpack bytes.
//
// Returns 0; TALUS_ETOOLARGE: `capacity` is too small; TALUS_EMSGPACK: `data` is not exactly one
// well-formed value; TALUS_ETOODEEP: it is nested deeper than 64. After the last two, `written` is
// left alone, and on_bin may have been called. Takes linear time and no memory.
// Any thread. Does not block. on_bin is called before it returns.
TALUS_API talus_error_t talus_json_encode(const void *data, size_t size, talus_json_bin_fn *on_bin,
                                          void *arg, char *buffer, size_t capacity,
                                          size_t *written) TALUS_MUST_USE;

TALUS_END_DECLS

#endif
