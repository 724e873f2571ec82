// SPDX-License-Identifier: MIT
#include "common/random.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

bool tl_random_bytes(void *bytes, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t got = getrandom((char *)bytes + done, size - done, 0);
        if (got < 0 && errno != EINTR)
            return false;
        done += got > 0 ? (size_t)got : 0;
    }
    return true;
}

bool tl_random_name(char *out, size_t size)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    const unsigned count = sizeof letters - 1;
    size_t done = 0;

    while (done < size) {
        unsigned char bytes[32];
        if (!tl_random_bytes(bytes, sizeof bytes))
            return false;
        for (size_t i = 0; i < sizeof bytes && done < size; i++) {
            if (bytes[i] < 256 / count * count) // else the first letters would be likelier
                out[done++] = letters[bytes[i] % count];
        }
    }
    out[size] = '\0';
    return true;
}
