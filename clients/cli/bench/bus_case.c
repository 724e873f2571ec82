// SPDX-License-Identifier: MIT
// The parent only waits. Sender and receiver share a page of memory, where each member has one
// writer, and a pipe, through which the receiver learns where to connect (and, by its end, that
// there is no sender).
#include "clients/cli/bench/bus_case.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clients/cli/bench/histogram.h"
#include "clients/cli/bench/order.h"
#include "clients/cli/bench/process.h"
#include "clients/cli/clock.h"
#include "clients/cli/report.h"

#define PAUSE_SECONDS 20e-6 // while the window is full
#define SPARE_SECONDS 40.0  // that a case may take beyond what it measures

enum { READY_MS = 10000, DRAIN_SECONDS = 10, BURST = 10000, BURSTS_MAX = 1000, CHECK_EVERY = 64 };

typedef struct shared {
    _Atomic uint64_t received;
    _Atomic uint64_t measure_from; // nanoseconds; messages from then on count for the latency
    atomic_bool is_over;
    atomic_bool has_failed;
    histogram_t latency; // the receiver's until it has ended
    order_t order;
    bus_result_t result; // the sender's
    double call;
} shared_t;

typedef struct bus_case {
    const bus_library_t *library;
    const char *endpoint;
    const bus_plan_t *plan;
    shared_t *shared;
    int pipe[2];
    clockid_t receiver_clock;
    bool is_inproc;
} bus_case_t;

static uint64_t now_ns(void)
{
    return (uint64_t)(clock_now() * 1e9);
}

static void pause_for(double seconds)
{
    struct timespec pause = {.tv_sec = (time_t)seconds};
    pause.tv_nsec = (long)((seconds - (double)pause.tv_sec) * 1e9);
    nanosleep(&pause, NULL);
}

static double cpu_of(clockid_t clock)
{
    struct timespec time = {0};
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

// ---- The receiver

static bool receive_all(bus_case_t *bus, void *receiver)
{
    shared_t *shared = bus->shared;
    uint64_t number, time;
    while (!atomic_load_explicit(&shared->is_over, memory_order_relaxed)) {
        int got = bus->library->receive(receiver, &number, &time);
        if (got < 0)
            return false;
        if (got == 0)
            continue;
        order_receive(&shared->order, 1, number);
        if (time >= atomic_load_explicit(&shared->measure_from, memory_order_relaxed)) {
            uint64_t now = now_ns();
            histogram_add(&shared->latency, now > time ? now - time : 0);
        }
        atomic_store_explicit(&shared->received, shared->order.received, memory_order_release);
    }
    return true;
}

static void *receive(void *arg)
{
    bus_case_t *bus = arg;
    char endpoint[BUS_ENDPOINT_MAX];
    if (read(bus->pipe[0], endpoint, sizeof(endpoint)) != sizeof(endpoint))
        return NULL;
    void *receiver = bus->library->receiver_new(endpoint);
    if (!receiver || !receive_all(bus, receiver))
        atomic_store(&bus->shared->has_failed, true);
    if (receiver)
        bus->library->receiver_destroy(receiver);
    return NULL;
}

// ---- The sender

static bool has_room(const bus_case_t *bus, uint64_t sent)
{
    return sent - atomic_load_explicit(&bus->shared->received, memory_order_acquire) <
           bus->plan->window;
}

// Sends what the window lets it. Returns how many were sent; -1: failed.
static bool send_flat_out(bus_case_t *bus, void *sender, double deadline, uint64_t *sent)
{
    while (!atomic_load(&bus->shared->has_failed)) {
        if (clock_now() >= deadline)
            return true;
        bool is_full = false;
        for (int i = 0; i < CHECK_EVERY && !is_full; i++) {
            int done = has_room(bus, *sent) ? bus->library->send(sender, *sent + 1, now_ns()) : 0;
            if (done < 0)
                return false;
            *sent += (uint64_t)done;
            is_full = done == 0;
        }
        if (is_full)
            pause_for(PAUSE_SECONDS);
    }
    return false;
}

static bool send_steadily(bus_case_t *bus, void *sender, uint64_t *sent)
{
    double start = clock_now(), deadline = start + bus->plan->seconds;
    for (uint64_t i = 0;; i++) {
        double due = start + (double)i / bus->plan->rate, now = clock_now();
        if (now >= deadline || atomic_load(&bus->shared->has_failed))
            return !atomic_load(&bus->shared->has_failed);
        if (due > now)
            pause_for(due - now);
        int done = bus->library->send(sender, *sent + 1, now_ns());
        if (done < 0)
            return false;
        *sent += (uint64_t)done;
    }
}

// Waits for what is on its way.
static void drain(bus_case_t *bus, uint64_t sent)
{
    double deadline = clock_now() + DRAIN_SECONDS;
    while (atomic_load(&bus->shared->received) < sent && clock_now() < deadline &&
           !atomic_load(&bus->shared->has_failed))
        pause_for(0.001);
}

static bool measure(bus_case_t *bus, void *sender)
{
    bus_result_t *result = &bus->shared->result;
    uint64_t sent = 0;
    // The first tenth warms both sides up.
    if (!send_flat_out(bus, sender, clock_now() + bus->plan->seconds / 10, &sent))
        return false;
    uint64_t before = atomic_load(&bus->shared->received);
    double start = clock_now(), receiver_cpu = cpu_of(bus->receiver_clock);
    double sender_cpu = cpu_of(CLOCK_PROCESS_CPUTIME_ID);
    if (!send_flat_out(bus, sender, start + bus->plan->seconds, &sent))
        return false;
    double messages = (double)(atomic_load(&bus->shared->received) - before);
    if (messages == 0)
        return false;
    receiver_cpu = cpu_of(bus->receiver_clock) - receiver_cpu;
    sender_cpu = cpu_of(CLOCK_PROCESS_CPUTIME_ID) - sender_cpu;
    if (bus->is_inproc) // there the process is both
        sender_cpu -= receiver_cpu;
    result->messages_per_second = messages / (clock_now() - start);
    result->sender_cpu = sender_cpu / messages;
    result->receiver_cpu = receiver_cpu / messages;
    drain(bus, sent);
    atomic_store(&bus->shared->measure_from, now_ns());
    if (!send_steadily(bus, sender, &sent))
        return false;
    drain(bus, sent);
    result->sent = sent;
    return true;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static bool measure_calls(bus_case_t *bus, void *sender)
{
    static double calls[BURSTS_MAX];
    double deadline = clock_now() + bus->plan->seconds;
    size_t count = 0;
    while (count < BURSTS_MAX && (count == 0 || clock_now() < deadline)) {
        double start = clock_now();
        for (int i = 0; i < BURST; i++)
            if (bus->library->send(sender, 0, 0) != 1)
                return false;
        calls[count++] = (clock_now() - start) / BURST;
        if (!bus->library->flush(sender))
            return false;
        bus->shared->result.sent += BURST;
        if (bus->receiver_clock)
            drain(bus, bus->shared->result.sent);
    }
    qsort(calls, count, sizeof(calls[0]), compare);
    bus->shared->call = calls[count / 2];
    return true;
}

// `waits`: for a receiver.
static bool send_with(bus_case_t *bus, bool waits, bool (*run)(bus_case_t *, void *))
{
    char bound[BUS_ENDPOINT_MAX] = "";
    void *sender = bus->library->sender_new(bus->endpoint, bound);
    bool is_well = sender && write(bus->pipe[1], bound, sizeof(bound)) == sizeof(bound) &&
                   (!waits || bus->library->wait_ready(sender, READY_MS)) && run(bus, sender);
    atomic_store(&bus->shared->is_over, true);
    if (sender)
        bus->library->sender_destroy(sender);
    return is_well;
}

// ---- The processes

typedef int role_fn(bus_case_t *bus);

static int be_receiver(bus_case_t *bus)
{
    close(bus->pipe[1]);
    receive(bus);
    return EXIT_DONE;
}

static int be_sender(bus_case_t *bus)
{
    return send_with(bus, true, measure) ? EXIT_DONE : EXIT_FAILED;
}

static int be_emitter(bus_case_t *bus)
{
    return send_with(bus, bus->receiver_clock != 0, measure_calls) ? EXIT_DONE : EXIT_FAILED;
}

static int be_both(bus_case_t *bus)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, receive, bus) != 0 ||
        pthread_getcpuclockid(thread, &bus->receiver_clock) != 0) {
        report("cannot make a thread");
        return EXIT_FAILED;
    }
    int status = be_sender(bus);
    close(bus->pipe[1]);
    pthread_join(thread, NULL);
    return status;
}

static pid_t start(bus_case_t *bus, role_fn *role)
{
    pid_t parent = getpid(), child = fork();
    if (child < 0)
        report("cannot make a process: %s", strerror(errno));
    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_FAILED);
    _exit(role(bus));
}

// Waits for a child until `deadline`, then ends it. Returns whether it ended well.
static bool await(pid_t child, double deadline)
{
    int status = 0;
    pid_t ended;
    if (child <= 0)
        return false;
    while ((ended = waitpid(child, &status, WNOHANG)) == 0 && clock_now() < deadline)
        pause_for(0.005);
    if (ended == 0) {
        report("a process took too long");
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_DONE;
}

static bool open_case(bus_case_t *bus)
{
    bus->shared =
        mmap(NULL, sizeof(shared_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (bus->shared == MAP_FAILED || pipe(bus->pipe) != 0) {
        report("cannot share memory: %s", strerror(errno));
        if (bus->shared != MAP_FAILED)
            munmap(bus->shared, sizeof(shared_t));
        return false;
    }
    atomic_store(&bus->shared->measure_from, UINT64_MAX);
    order_init(&bus->shared->order, 0);
    return true;
}

static void close_case(bus_case_t *bus)
{
    close(bus->pipe[0]);
    munmap(bus->shared, sizeof(shared_t));
}

// Runs the roles, `receiver` perhaps NULL.
static bool run_roles(bus_case_t *bus, role_fn *receiver, role_fn *sender)
{
    double deadline = clock_now() + 3 * bus->plan->seconds + SPARE_SECONDS;
    pid_t receiving = receiver ? start(bus, receiver) : 0;
    if (receiving > 0)
        clock_getcpuclockid(receiving, &bus->receiver_clock);
    pid_t sending = receiving < 0 ? -1 : start(bus, sender);
    close(bus->pipe[1]);
    bool is_well = await(sending, deadline);
    if (receiver)
        is_well = await(receiving, deadline) && is_well;
    return is_well && !atomic_load(&bus->shared->has_failed);
}

bool bus_case_run(const bus_library_t *library, const char *endpoint, const bus_plan_t *plan,
                  bus_result_t *result)
{
    bus_case_t bus = {.library = library, .endpoint = endpoint, .plan = plan};
    if (!open_case(&bus))
        return false;
    shared_t *shared = bus.shared;
    bus.is_inproc = strncmp(endpoint, "inproc:", strlen("inproc:")) == 0;
    bool is_well =
        bus.is_inproc ? run_roles(&bus, NULL, be_both) : run_roles(&bus, be_receiver, be_sender);
    *result = shared->result;
    order_end(&shared->order, 1, result->sent);
    result->lost = shared->order.lost;
    result->misplaced = shared->order.misplaced;
    result->p50 = (double)histogram_quantile(&shared->latency, 0.5) / 1e9;
    result->p90 = (double)histogram_quantile(&shared->latency, 0.9) / 1e9;
    result->p99 = (double)histogram_quantile(&shared->latency, 0.99) / 1e9;
    result->max = (double)shared->latency.max / 1e9;
    close_case(&bus);
    return is_well;
}

bool bus_case_emit(const char *endpoint, bool has_receiver, const bus_plan_t *plan, double *call)
{
    bus_case_t bus = {.library = &bus_libtalus, .endpoint = endpoint, .plan = plan};
    if (!open_case(&bus))
        return false;
    bool is_well = run_roles(&bus, has_receiver ? be_receiver : NULL, be_emitter);
    *call = bus.shared->call;
    close_case(&bus);
    return is_well;
}
