// SPDX-License-Identifier: MIT
// What the parts of the bus directory share: the names of lock files, and who holds them.
#ifndef TALUS__DIRECTORY_LOCK_H
#define TALUS__DIRECTORY_LOCK_H

#define TALUS__PUBLISHER_LOCK  ".pub.lock"
#define TALUS__SUBSCRIBER_LOCK ".sub.lock"
#define TALUS__PUBLISHER_DEAD  ".pub.dead"
#define TALUS__MAKING_SUFFIX   8 // random characters of a lock file in the making

enum talus__lock_state {
    TALUS__LOCK_NONE,      // there is no such file, or it is none that can be a lock
    TALUS__LOCK_HELD,      // somebody lives
    TALUS__LOCK_LEFT,      // nobody holds it: its owner is dead
    TALUS__LOCK_UNSETTLED, // the same, but it is new and empty, as one that another program has
                           // made and not locked yet
};

// Who has the lock file. One that was left is removed; a broadcaster's becomes NAME.pub.dead.
enum talus__lock_state talus__lock_look(int directory, const char *name);

// Removes a file in the making, or one of the dead, once it was left alone long enough.
void talus__lock_remove_old(int directory, const char *name);

#endif
