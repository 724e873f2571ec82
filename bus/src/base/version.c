// SPDX-License-Identifier: MIT
#include <talus/version.h>

const char *talus_version(void)
{
    return TALUS_VERSION;
}
