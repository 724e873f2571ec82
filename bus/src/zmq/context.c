// SPDX-License-Identifier: MIT
// The ZeroMQ context of the process.
//
// Invariants: `shared.context` exists exactly while `shared.users` > 0. The fork hooks take
// `shared.mutex`, so that the child's copy of what it guards is whole.
#include "bus/src/zmq/context.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <zmq.h>

#include "bus/src/base/fork.h"

static struct {
    pthread_mutex_t mutex;
    void *context;
    unsigned users;
} shared = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void before_fork(void)
{
    pthread_mutex_lock(&shared.mutex);
}

static void after_fork(bool is_child)
{
    if (is_child) {
        shared.context = NULL;
        shared.users = 0;
    }
    pthread_mutex_unlock(&shared.mutex);
}

static void watch_forks(void)
{
    static struct talus__fork_hooks hooks = {.before = before_fork, .after = after_fork};

    talus__fork_watch(&hooks);
}

void *talus__context_ref(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&shared.mutex);
    if (!shared.context)
        shared.context = zmq_ctx_new();
    void *context = shared.context;
    if (context)
        shared.users++;
    pthread_mutex_unlock(&shared.mutex);
    return context;
}

void talus__context_unref(void)
{
    void *ended = NULL;

    pthread_mutex_lock(&shared.mutex);
    if (--shared.users == 0) {
        ended = shared.context;
        shared.context = NULL;
    }
    pthread_mutex_unlock(&shared.mutex);
    // Outside the mutex: it waits for lingering sockets, and the next user needs not wait for that.
    while (ended && zmq_ctx_term(ended) != 0 && errno == EINTR)
        ;
}
