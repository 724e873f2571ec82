// SPDX-License-Identifier: MIT
// What the parts of the bus directory share: the names of lock files, and who holds them.
#ifndef TALUS__DIRECTORY_LOCK_H
#define TALUS__DIRECTORY_LOCK_H

#include <stdbool.h>

#define TALUS__PUBLISHER_LOCK  ".pub.lock"
#define TALUS__SUBSCRIBER_LOCK ".sub.lock"
#define TALUS__PUBLISHER_DEAD  ".pub.dead"
#define TALUS__MAKING_SUFFIX   8 // random characters of a lock file in the making

// Whether somebody holds the lock file. One that nobody holds is removed.
bool talus__lock_is_held(int directory, const char *name);

// Removes a file in the making, or one of the dead, once it was left alone long enough.
void talus__lock_remove_old(int directory, const char *name);

#endif
