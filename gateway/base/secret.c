// SPDX-License-Identifier: MIT
#include "gateway/base/secret.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "common/base64.h"

enum { KEY_BYTES = 32, SECRET_BYTES = 15 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint8_t key[KEY_BYTES];
static bool has_key;

static void draw_key(void)
{
    has_key = RAND_bytes(key, sizeof key) == 1;
}

bool gw_secret_of(const char *id, char out[GW_SECRET_SIZE + 1])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    pthread_once(&once, draw_key);
    if (!has_key ||
        !HMAC(EVP_sha256(), key, sizeof key, (const uint8_t *)id, strlen(id), digest, NULL))
        return false;
    out[tl_base64_encode(digest, SECRET_BYTES, out)] = '\0'; // 15 bytes need no padding
    return true;
}
