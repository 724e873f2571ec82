// SPDX-License-Identifier: MIT
// The version: of these headers, and of the library that runs. The build takes it from here.
#ifndef TALUS_VERSION_H
#define TALUS_VERSION_H

#include <talus/export.h>

TALUS_BEGIN_DECLS

#define TALUS_VERSION_MAJOR 0
#define TALUS_VERSION_MINOR 2
#define TALUS_VERSION_PATCH 0

#define TALUS_VERSION_NUMBER                                                                       \
    (TALUS_VERSION_MAJOR * 10000 + TALUS_VERSION_MINOR * 100 + TALUS_VERSION_PATCH)

#define TALUS_VERSION_JOIN_(major, minor, patch) #major "." #minor "." #patch
#define TALUS_VERSION_JOIN(major, minor, patch)  TALUS_VERSION_JOIN_(major, minor, patch)
#define TALUS_VERSION                                                                              \
    TALUS_VERSION_JOIN(TALUS_VERSION_MAJOR, TALUS_VERSION_MINOR, TALUS_VERSION_PATCH)

// The version of the library, such as "0.2.0", which may be another than that of the headers. Any
// thread. Does not block.
TALUS_API const char *talus_version(void);

TALUS_END_DECLS

#endif
