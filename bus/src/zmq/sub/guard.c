// SPDX-License-Identifier: MIT
// The guard thread.
//
// Invariants: the thread runs exactly while there are posts. It touches a post only under
// `guard.mutex`, so who removes one knows that it is done with it. Posts are named to the kernel by
// number, as one may be gone when its event is looked at.
#include "bus/src/zmq/sub/guard.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <talus/error.h>

#include "bus/src/base/fork.h"
#include "common/clock.h"

#define AGAIN_MS        1  // after a look that did not reach the end; an owner that waits is first
#define BEAT_AGAIN_MS   10 // when the owner did not give the post back
#define TRIES           50 // to find a post free; then later again
#define EVENTS_PER_TURN 16
#define WAKE            0 // the number of `guard.wake`; posts have others

int talus__guard_look_ms = 50;

static struct {
    pthread_mutex_t mutex;
    pthread_mutex_t starting; // held while the thread is started or ended; before `mutex`
    struct talus__post *posts;
    uint64_t last_number;
    bool is_stopping;
    bool is_running;
    int epoll;
    int wake;
    pthread_t thread;
} guard = {.mutex = PTHREAD_MUTEX_INITIALIZER,
           .starting = PTHREAD_MUTEX_INITIALIZER,
           .epoll = -1,
           .wake = -1};

// ---- Posts

void talus__post_wait(struct talus__post *post)
{
    int is_free;

    do {
        pthread_mutex_lock(&post->mutex); // until the guard is done
        pthread_mutex_unlock(&post->mutex);
        is_free = TALUS__POST_FREE;
    } while (!atomic_compare_exchange_weak_explicit(&post->holder, &is_free, TALUS__POST_OWNER,
                                                    memory_order_acquire, memory_order_relaxed));
}

void talus__post_pull(struct talus__post *post, bool is_away)
{
    if (post->pull(post->arg, is_away) && !post->is_knocked)
        post->is_knocked = eventfd_write(post->wake, 1) == 0;
}

static bool try_enter(struct talus__post *post)
{
    for (int i = 0; i < TRIES; i++) {
        int is_free = TALUS__POST_FREE;
        if (atomic_compare_exchange_strong_explicit(&post->holder, &is_free, TALUS__POST_GUARD,
                                                    memory_order_acquire, memory_order_relaxed))
            return true;
        sched_yield();
    }
    return false;
}

void talus__guard_ask(struct talus__post *post)
{
    atomic_store_explicit(&post->is_asked, true, memory_order_release);
    eventfd_write(guard.wake, 1);
}

void talus__guard_beat(struct talus__post *post)
{
    atomic_store_explicit(&post->is_beating, true, memory_order_release);
    eventfd_write(guard.wake, 1);
}

int talus__guard_watch(struct talus__post *post, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};

    return epoll_ctl(post->inputs, EPOLL_CTL_ADD, fd, &event);
}

void talus__guard_unwatch(struct talus__post *post, int fd)
{
    epoll_ctl(post->inputs, EPOLL_CTL_DEL, fd, NULL);
}

// ---- The thread

static int arm(struct talus__post *post, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = post->number};

    return epoll_ctl(guard.epoll, operation, post->inputs, &event);
}

// Has the owner read what it has left, or reads it if the owner did not when it was asked.
static void look(struct talus__post *post, long long now)
{
    post->due = now + talus__guard_look_ms;
    pthread_mutex_lock(&post->mutex);
    bool is_entered = try_enter(post); // else it is busy with its sockets, and there to be asked
    bool is_away = atomic_exchange_explicit(&post->is_due, true, memory_order_relaxed);
    // What is known of the sockets is true only after they were read: by the owner, if it was asked
    // to and did, else by the guard.
    bool is_known = post->has_asked;
    post->has_asked = true;
    if (is_entered) {
        if (is_away) {
            talus__post_pull(post, true);
            post->due = tl_monotonic_ms() + AGAIN_MS;
        }
        if (is_known && post->is_empty(post->arg)) {
            atomic_store_explicit(&post->is_due, false, memory_order_relaxed);
            atomic_store_explicit(&post->is_asked, false, memory_order_relaxed);
            post->has_asked = false;
            post->due = 0;
        }
        atomic_store_explicit(&post->holder, TALUS__POST_FREE, memory_order_release);
    }
    pthread_mutex_unlock(&post->mutex);
    if (post->due == 0)
        arm(post, EPOLL_CTL_MOD);
}

static void beat(struct talus__post *post, long long now)
{
    post->beat_at = now + BEAT_AGAIN_MS;
    pthread_mutex_lock(&post->mutex);
    if (try_enter(post)) {
        bool is_going_on = post->beat(post->arg);
        post->beat_at = is_going_on ? now + post->beat_ms : 0;
        atomic_store_explicit(&post->is_beating, is_going_on, memory_order_relaxed);
        atomic_store_explicit(&post->holder, TALUS__POST_FREE, memory_order_release);
    }
    pthread_mutex_unlock(&post->mutex);
}

// Returns when to look again; 0: not before something happens.
static long long look_at_all(const struct epoll_event *events, int count)
{
    long long now = tl_monotonic_ms(), next = 0;

    for (struct talus__post *post = guard.posts; post; post = post->next) {
        bool is_told = atomic_load_explicit(&post->is_asked, memory_order_acquire);
        for (int i = 0; i < count; i++)
            is_told |= events[i].data.u64 == post->number;
        if (post->due == 0 && is_told) {
            post->due = now + talus__guard_look_ms;
            atomic_store_explicit(&post->is_asked, true, memory_order_relaxed);
        } else if (post->due != 0 && now >= post->due) {
            look(post, now);
        }
        if (post->due != 0 && (next == 0 || post->due < next))
            next = post->due;
        if (atomic_load_explicit(&post->is_beating, memory_order_acquire)) {
            if (now >= post->beat_at)
                beat(post, now);
            if (post->beat_at != 0 && (next == 0 || post->beat_at < next))
                next = post->beat_at;
        }
    }
    return next;
}

static void *run(void *arg)
{
    struct epoll_event events[EVENTS_PER_TURN];
    long long next = 0;
    bool is_stopping = false;

    (void)arg;
    while (!is_stopping) {
        long long left = next ? next - tl_monotonic_ms() : -1;
        if (next && left < 0)
            left = 0;
        int count = epoll_wait(guard.epoll, events, EVENTS_PER_TURN, (int)left);
        eventfd_t told;
        eventfd_read(guard.wake, &told);
        pthread_mutex_lock(&guard.mutex);
        is_stopping = guard.is_stopping;
        if (!is_stopping)
            next = look_at_all(events, count > 0 ? count : 0);
        pthread_mutex_unlock(&guard.mutex);
    }
    return NULL;
}

// ---- Beginning and end

static void close_descriptors(void)
{
    if (guard.epoll >= 0)
        close(guard.epoll);
    if (guard.wake >= 0)
        close(guard.wake);
    guard.epoll = guard.wake = -1;
}

static int start(void)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = WAKE};
    sigset_t all, before;

    guard.epoll = epoll_create1(EPOLL_CLOEXEC);
    guard.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    guard.is_stopping = false;
    int failed = guard.epoll < 0 || guard.wake < 0 ||
                 epoll_ctl(guard.epoll, EPOLL_CTL_ADD, guard.wake, &event) != 0;
    if (!failed) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        failed = errno = pthread_create(&guard.thread, NULL, run, NULL);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (failed) {
        close_descriptors();
        return TALUS_ESYSTEM;
    }
    pthread_setname_np(guard.thread, "talus-guard");
    guard.is_running = true;
    return 0;
}

static void stop(void)
{
    pthread_mutex_lock(&guard.mutex);
    guard.is_stopping = true;
    pthread_mutex_unlock(&guard.mutex);
    eventfd_write(guard.wake, 1);
    pthread_join(guard.thread, NULL);
    close_descriptors();
    guard.is_running = false;
}

// ---- Forks

static void before_fork(void)
{
    pthread_mutex_lock(&guard.starting);
    pthread_mutex_lock(&guard.mutex);
}

// The thread is the parent's; the child starts one of its own with its first subscriber.
static void after_fork(bool is_child)
{
    if (is_child) {
        close_descriptors();
        guard.posts = NULL;
        guard.is_running = false;
    }
    pthread_mutex_unlock(&guard.mutex);
    pthread_mutex_unlock(&guard.starting);
}

// The context's come first: what the guard does under its mutex may take the context's.
static void watch_forks(void)
{
    static struct talus__fork_hooks hooks = {.before = before_fork, .after = after_fork};

    talus__fork_watch(&hooks);
}

// ---- Taking up posts

int talus__guard_add(struct talus__post *post)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, watch_forks);
    post->inputs = epoll_create1(EPOLL_CLOEXEC);
    if (post->inputs < 0)
        return TALUS_ESYSTEM;
    pthread_mutex_init(&post->mutex, NULL);
    pthread_mutex_lock(&guard.starting);
    int error = guard.is_running ? 0 : start();
    pthread_mutex_lock(&guard.mutex);
    post->number = ++guard.last_number;
    if (!error && arm(post, EPOLL_CTL_ADD) != 0)
        error = TALUS_ESYSTEM;
    if (!error) {
        post->next = guard.posts;
        guard.posts = post;
    }
    bool is_unused = guard.is_running && !guard.posts;
    pthread_mutex_unlock(&guard.mutex);
    if (is_unused)
        stop();
    pthread_mutex_unlock(&guard.starting);
    if (error) {
        close(post->inputs);
        pthread_mutex_destroy(&post->mutex);
        post->number = 0;
    }
    return error;
}

void talus__guard_remove(struct talus__post *post, bool is_forked)
{
    if (post->number == 0)
        return;
    if (!is_forked) {
        pthread_mutex_lock(&guard.starting);
        pthread_mutex_lock(&guard.mutex);
        struct talus__post **link = &guard.posts;
        while (*link != post)
            link = &(*link)->next;
        *link = post->next;
        epoll_ctl(guard.epoll, EPOLL_CTL_DEL, post->inputs, NULL);
        bool is_last = !guard.posts;
        pthread_mutex_unlock(&guard.mutex);
        if (is_last)
            stop();
        pthread_mutex_unlock(&guard.starting);
        pthread_mutex_destroy(&post->mutex);
    }
    close(post->inputs);
    post->number = 0;
}
