// SPDX-License-Identifier: MIT
// The ZeroMQ context of the process, forks, names and clocks.
//
// Invariants: `shared.context` exists exactly while `shared.users` > 0. The fork handlers take
// `shared.mutex`, so that the child's copy of what it guards is whole.
#include "bus/src/zmq/context.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include <talus/error.h>

#include "bus/src/zmq/sub/guard.h"

static struct {
    pthread_mutex_t mutex;
    void *context;
    unsigned users;
    int *fds; // to be closed in a forked child
    size_t fd_count;
    size_t fd_capacity;
} shared = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static atomic_uint fork_generation;

static void on_fork_prepare(void)
{
    talus__guard_before_fork();
    pthread_mutex_lock(&shared.mutex);
}

static void on_fork_parent(void)
{
    pthread_mutex_unlock(&shared.mutex);
    talus__guard_after_fork(false);
}

static void on_fork_child(void)
{
    for (size_t i = 0; i < shared.fd_count; i++)
        close(shared.fds[i]);
    shared.fd_count = 0;
    shared.context = NULL;
    shared.users = 0;
    atomic_fetch_add_explicit(&fork_generation, 1, memory_order_relaxed);
    pthread_mutex_unlock(&shared.mutex);
    talus__guard_after_fork(true);
}

// At load time, as an object made before the handlers are in place would not notice a fork. It
// fails only for want of memory, before main.
__attribute__((constructor)) static void watch_forks(void)
{
    if (pthread_atfork(on_fork_prepare, on_fork_parent, on_fork_child) != 0)
        abort();
}

void *talus__context_ref(void)
{
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

unsigned talus__fork_generation(void)
{
    return atomic_load_explicit(&fork_generation, memory_order_relaxed);
}

int talus__close_in_child(int fd)
{
    int error = 0;

    pthread_mutex_lock(&shared.mutex);
    if (shared.fd_count == shared.fd_capacity) {
        size_t capacity = shared.fd_capacity ? shared.fd_capacity * 2 : 8;
        int *fds = realloc(shared.fds, capacity * sizeof *fds);
        if (fds) {
            shared.fds = fds;
            shared.fd_capacity = capacity;
        } else {
            error = TALUS_ENOMEM;
        }
    }
    if (!error)
        shared.fds[shared.fd_count++] = fd;
    pthread_mutex_unlock(&shared.mutex);
    return error;
}

void talus__forget_in_child(int fd)
{
    pthread_mutex_lock(&shared.mutex);
    for (size_t i = 0; i < shared.fd_count; i++) {
        if (shared.fds[i] == fd) {
            shared.fds[i] = shared.fds[--shared.fd_count];
            break;
        }
    }
    if (shared.fd_count == 0) {
        free(shared.fds);
        shared.fds = NULL;
        shared.fd_capacity = 0;
    }
    pthread_mutex_unlock(&shared.mutex);
}

int talus__random_name(char *out, size_t size)
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

unsigned long long talus__now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (unsigned long long)now.tv_sec * 1000000u + (unsigned long long)now.tv_nsec / 1000u;
}

long long talus__monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
