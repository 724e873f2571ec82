// SPDX-License-Identifier: MIT
// The ledger of a dead broadcaster, as a survivor finds it: what is accepted keeps within its
// bounds and never tells of more than was emitted. The input is the file.
#include <string.h>

#include "bus/src/codec/ledger.h"
#include "fuzz_check.h"

struct file {
    const uint8_t *bytes;
    size_t size;
};

static bool read_bytes(void *arg, uint64_t offset, void *out, size_t size)
{
    const struct file *file = arg;
    if (offset > file->size || size > file->size - offset)
        return false;
    memcpy(out, file->bytes + offset, size);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const sessions[] = {"", "a", "session-1",
                                           "3f2504e0-4f89-11d3-9a0c-0305e82c3301"};
    struct file file = {data, size};
    struct talus__ledger ledger;
    if (talus__ledger_open(&ledger, read_bytes, &file, "origin01") != 0)
        return 0;
    CHECK(ledger.sent <= ledger.newest && ledger.watermark <= ledger.sent);
    CHECK(ledger.unsent_count <= TALUS__LEDGER_RING_MAX);
    for (size_t i = 0; i < sizeof(sessions) / sizeof(sessions[0]); i++)
        CHECK(talus__ledger_last(&ledger, sessions[i], strlen(sessions[i])) <= ledger.newest);
    talus__ledger_close(&ledger);
    return 0;
}
