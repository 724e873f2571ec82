// SPDX-License-Identifier: MIT
// The guard thread: bounds what waits for subscribers whose threads do not call.
//
// A subscriber's sockets have no high-water mark, so somebody must read them to the end also while
// the owner is slow, or stands still in what it does with an event. A twentieth of a second after
// the owner has left something unread, or something has come that the owner has not read, the guard
// asks the owner to do that with its next message: a thread that is there does it for less than
// another one, which it would wait for. If it has not after another twentieth, the guard does it.
// It rests while all sockets are empty. What it does at once is bounded, also under a flood: then
// it gives the post back for a moment, and goes on. There is one for the process: the first
// subscriber starts it, the last one ends it.
//
// It also sends the subscribers' heartbeats (heartbeat.h), as it never stands still in what an
// owner does.
//
// A post is where the two meet: who reads a subscriber's sockets holds its post. The owner takes it
// for each of its calls, which costs one atomic operation while the guard is not there.
#ifndef TALUS__GUARD_H
#define TALUS__GUARD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum talus__post_holder { TALUS__POST_FREE, TALUS__POST_OWNER, TALUS__POST_GUARD };

struct talus__post {
    // Set by the owner before talus__guard_add.
    int wake;                    // an eventfd that tells the owner of what was read
    bool (*is_empty)(void *arg); // nothing is left unread, as far as its holder knows
    // Reads all, up to a bound; returns whether the owner has something. `is_away`: the owner was
    // asked to, and did not.
    bool (*pull)(void *arg, bool is_away);
    bool (*beat)(void *arg); // sends a heartbeat; returns whether to go on
    int beat_ms;             // … after so long
    void *arg;

    int inputs;             // an epoll instance with the sockets' descriptors
    bool is_knocked;        // the guard has written to `wake`; the post's holder's
    atomic_int holder;      // enum talus__post_holder
    pthread_mutex_t mutex;  // held by the guard while it holds the post
    atomic_bool is_asked;   // the guard will look
    atomic_bool is_due;     // the owner is to call `pull` with its next message
    atomic_bool is_beating; // … and calls `beat`; changed by the post's holder

    // The guard's, under its mutex.
    struct talus__post *next;
    uint64_t number;
    long long due;     // when to look; 0: not before `inputs` tells something
    bool has_asked;    // `is_due` was set since then
    long long beat_at; // when to call `beat`; 0: at once
};

// When the guard looks after something was left, or came, and after the owner was asked. A program
// for which time passes more slowly (valgrind) may change it before there is a subscriber.
extern int talus__guard_look_ms;

// Takes the post up, and starts the thread if it is the first. Returns 0 or TALUS_ESYSTEM.
int talus__guard_add(struct talus__post *post);

// Waits until the guard is done with it. NULL-safe for one that was not added.
void talus__guard_remove(struct talus__post *post, bool is_forked);

// A descriptor of a socket that the guard is to watch; it must be watched no more before it is
// closed. Returns 0 or -1.
int talus__guard_watch(struct talus__post *post, int fd);
void talus__guard_unwatch(struct talus__post *post, int fd);

// Has the guard look in a while.
void talus__guard_ask(struct talus__post *post);

// Has the guard call `beat`, for the first time at once, until that returns false. For the post's
// holder.
void talus__guard_beat(struct talus__post *post);

static inline bool talus__guard_is_beating(const struct talus__post *post)
{
    return atomic_load_explicit(&post->is_beating, memory_order_relaxed);
}

void talus__post_wait(struct talus__post *post);

// Calls `pull`, for the post's holder, and tells the owner if it has something.
void talus__post_pull(struct talus__post *post, bool is_away);

static inline void talus__post_enter(struct talus__post *post)
{
    int is_free = TALUS__POST_FREE;

    if (!atomic_compare_exchange_strong_explicit(&post->holder, &is_free, TALUS__POST_OWNER,
                                                 memory_order_acquire, memory_order_relaxed))
        talus__post_wait(post);
}

// For the owner, which holds the post and is about to take a message.
static inline void talus__post_tend(struct talus__post *post)
{
    if (atomic_load_explicit(&post->is_due, memory_order_relaxed)) {
        atomic_store_explicit(&post->is_due, false, memory_order_relaxed);
        talus__post_pull(post, false);
    }
}

// `is_empty`: as post->is_empty.
static inline void talus__post_leave(struct talus__post *post, bool is_empty)
{
    if (!is_empty && !atomic_load_explicit(&post->is_asked, memory_order_relaxed))
        talus__guard_ask(post);
    atomic_store_explicit(&post->holder, TALUS__POST_FREE, memory_order_release);
}

#endif
