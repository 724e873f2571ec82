// SPDX-License-Identifier: MIT
// A second process for a test: the test program itself, started anew with arguments, so that no
// fork of a process with threads is needed. It says what it has done by single bytes on its
// standard output, and is told to go on by bytes on its standard input.
#ifndef TALUS_TESTS_CHILD_H
#define TALUS_TESTS_CHILD_H

#include <sys/types.h>

struct child {
    pid_t pid; // 0: none
    int to;    // its standard input
    int from;  // its standard output
};

// Starts this program with two arguments.
void child_start(struct child *child, const char *role, const char *argument);

// Waits until the child has said something.
void child_wait_said(struct child *child);

// Lets it go on from child_await.
void child_tell(struct child *child);

// Stops it (SIGSTOP) and waits until it stands still: its threads go on until one of them has run
// and taken the signal.
void child_stop(struct child *child);
void child_continue(struct child *child);

// Ends it without a chance to clean up, and waits for its end.
void child_kill(struct child *child);

// Tells it to end and checks that it does so with status 0.
void child_finish(struct child *child);

// ---- For the child

void child_say(void);

// Waits to be told; ends the process if the test is gone.
void child_await(void);

#endif
