// SPDX-License-Identifier: MIT
// Forks.
//
// The handlers take both mutexes, so that the child's copy of what they guard is whole.
#include "bus/src/base/fork.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <talus/error.h>

static struct {
    pthread_mutex_t mutex;
    int *items; // to be closed in a forked child
    size_t count;
    size_t capacity;
} fds = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static struct {
    pthread_mutex_t mutex; // held throughout a fork
    struct talus__fork_hooks *newest;
} hooks = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static atomic_uint generation;

static void on_prepare(void)
{
    pthread_mutex_lock(&hooks.mutex);
    for (const struct talus__fork_hooks *hook = hooks.newest; hook; hook = hook->older)
        hook->before();
    pthread_mutex_lock(&fds.mutex);
}

static void on_end(bool is_child)
{
    pthread_mutex_unlock(&fds.mutex);
    for (const struct talus__fork_hooks *hook = hooks.newest; hook; hook = hook->older)
        hook->after(is_child);
    pthread_mutex_unlock(&hooks.mutex);
}

static void on_parent(void)
{
    on_end(false);
}

static void on_child(void)
{
    for (size_t i = 0; i < fds.count; i++)
        close(fds.items[i]);
    fds.count = 0;
    atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
    on_end(true);
}

// At load time, as an object made before the handlers are in place would not notice a fork. It
// fails only for want of memory, before main.
__attribute__((constructor)) static void watch_forks(void)
{
    if (pthread_atfork(on_prepare, on_parent, on_child) != 0)
        abort();
}

void talus__fork_watch(struct talus__fork_hooks *added)
{
    pthread_mutex_lock(&hooks.mutex);
    const struct talus__fork_hooks *hook = hooks.newest;
    while (hook && hook != added) // a child of a fork that interrupted its parent gives them again
        hook = hook->older;
    if (!hook) {
        added->older = hooks.newest;
        hooks.newest = added;
    }
    pthread_mutex_unlock(&hooks.mutex);
}

unsigned talus__fork_generation(void)
{
    return atomic_load_explicit(&generation, memory_order_relaxed);
}

int talus__close_in_child(int fd)
{
    int error = 0;

    pthread_mutex_lock(&fds.mutex);
    if (fds.count == fds.capacity) {
        size_t capacity = fds.capacity ? fds.capacity * 2 : 8;
        int *items = realloc(fds.items, capacity * sizeof *items);
        if (items) {
            fds.items = items;
            fds.capacity = capacity;
        } else {
            error = TALUS_ENOMEM;
        }
    }
    if (!error)
        fds.items[fds.count++] = fd;
    pthread_mutex_unlock(&fds.mutex);
    return error;
}

void talus__forget_in_child(int fd)
{
    pthread_mutex_lock(&fds.mutex);
    for (size_t i = 0; i < fds.count; i++) {
        if (fds.items[i] == fd) {
            fds.items[i] = fds.items[--fds.count];
            break;
        }
    }
    if (fds.count == 0) {
        free(fds.items);
        fds.items = NULL;
        fds.capacity = 0;
    }
    pthread_mutex_unlock(&fds.mutex);
}
