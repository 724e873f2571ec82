// SPDX-License-Identifier: MIT
// Forks: the knowledge whether this process was forked since an object was made, the descriptors
// that a child must not keep, and hooks for those whose state must be whole in the child.
//
// A fork is counted by a handler that runs in the child, so asking costs a load.
#ifndef TALUS__FORK_H
#define TALUS__FORK_H

#include <stdbool.h>

// A number that is another one in every forked child. Remember it at creation. Any thread; costs a
// load, no system call.
unsigned talus__fork_generation(void);

static inline bool talus__is_forked(unsigned generation)
{
    return generation != talus__fork_generation();
}

// Keeps `fd` on a list of descriptors that a forked child closes at once, since a lock held through
// a descriptor would otherwise outlive the process that took it. Forget it before closing it.
// Returns 0 or TALUS_ENOMEM. Any thread. Does not block.
int talus__close_in_child(int fd);
void talus__forget_in_child(int fd);

struct talus__fork_hooks {
    void (*before)(void); // in the parent: takes the locks, so that the child's copy is whole
    void (*after)(bool is_child); // in the parent, then in the child: frees the locks
    struct talus__fork_hooks *older;
};

// Has the hooks called at each fork from now on. `hooks` must live as long as the process, and be
// given before the first fork that matters to them; giving them again changes nothing. Hooks that
// were given later run before those given earlier: so their locks may be held while the earlier
// ones' are taken, and not the other way round. No lock that a hook takes may be held by the
// caller. Any thread.
void talus__fork_watch(struct talus__fork_hooks *hooks);

#endif
