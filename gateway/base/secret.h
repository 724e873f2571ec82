// SPDX-License-Identifier: MIT
// Secrets that belong to public ids: what only this process can tell from the id, and tells again
// whenever it is asked, so that nothing has to be kept.
#ifndef TALUS_GATEWAY_BASE_SECRET_H
#define TALUS_GATEWAY_BASE_SECRET_H

#include <stdbool.h>

#define GW_SECRET_SIZE 20 // characters of base64: 120 bits

// Writes the secret of an id and a NUL: HMAC-SHA-256 (RFC 2104) under a key drawn once in the
// process, cut short. Any thread. False: no random key could be drawn, or memory is out.
bool gw_secret_of(const char *id, char out[GW_SECRET_SIZE + 1]);

#endif
