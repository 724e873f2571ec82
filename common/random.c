// SPDX-License-Identifier: MIT
// Random names.
#include "common/random.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

#include <talus/error.h>

int tl_random_name(char *out, size_t size)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    const unsigned count = sizeof letters - 1;
    size_t done = 0;

    while (done < size) {
        unsigned char bytes[32];
        ssize_t got = getrandom(bytes, sizeof bytes, 0);
        if (got < 0 && errno != EINTR)
            return TALUS_ESYSTEM;
        for (ssize_t i = 0; i < got && done < size; i++) {
            if (bytes[i] < 256 / count * count) // else the first letters would be likelier
                out[done++] = letters[bytes[i] % count];
        }
    }
    out[size] = '\0';
    return 0;
}
