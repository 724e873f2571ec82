// SPDX-License-Identifier: MIT
// Connections: what is watched of their sockets, reads and writes.
//
// Invariants: the state only moves forward. The descriptor is open, and watched, exactly while the
// state is not ENDED. Writability is watched only while a write would block. The conn is freed when
// on_end was called, in the reap phase.
#include "gateway/transport/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/fd_watcher.h"
#include "gateway/base/log.h"

enum {
    IOV_PER_WRITE = 64,
    WRITES_PER_TURN = 4, // then the others have their turn
    // What a peer may still send after we closed: it may be in the middle of a large request when
    // the error goes out, and reads the answer only behind it.
    DISCARD_MAX = 8 * 1024 * 1024,
    // For the rest of the output after the peer has closed its sending side.
    PEER_LINGER_MS = 5000,
};

enum conn_state {
    STATE_OPEN,
    STATE_DRAINING,  // output is being written, input dropped
    STATE_LINGERING, // our side is shut; waits for the peer to close its own
    STATE_ENDED,
};

// Bytes that a handler gave back.
struct unread {
    struct gw_task task;
    struct conn *conn;
    size_t size;
    uint8_t bytes[];
};

// The end of a connection's patience with its peer.
struct patience {
    struct gw_deadline deadline;
    struct conn *conn;
    size_t discarded; // bytes that it has sent since we closed
};

// Held for each client: what only some need, or only at times, is behind a pointer.
struct conn {
    void *owner;
    // What a delivery touches, together.
    struct outq queue;
    struct gw_task task; // flushes; once the state is ENDED, reaps
    uint8_t state;       // enum conn_state
    uint8_t end;         // enum conn_end; valid once the state is not OPEN
    bool is_paused : 1;
    bool is_blocked : 1;          // a write would block
    bool is_peer_done : 1;        // the peer will send no more
    struct gw_fd_watcher watcher; // of the socket
    const struct conn_handler *handler;
    struct gw_metrics *metrics;
    struct patience *linger; // NULL: no time-out is running
    struct unread *unread;   // NULL: none
};

static_assert(sizeof(struct conn) <= 152, "idle connections are to stay small");

static struct gw_loop *loop_of(const struct conn *conn)
{
    return conn->watcher.watchers->loop;
}

static void set_state(struct conn *conn, enum conn_state state)
{
    assert(state > (enum conn_state)conn->state);
#ifndef NDEBUG
    static const char *const names[] = {"open", "draining", "lingering", "ended"};
    gw_log(GW_LOG_DEBUG, "conn", "fd=%d %s -> %s", conn->watcher.fd, names[conn->state],
           names[state]);
#endif
    conn->state = (uint8_t)state;
}

// ---- The end

static void on_reap(struct gw_task *task)
{
    struct conn *conn = TL_LIST_ENTRY(task, struct conn, task);
    conn->handler->on_end(conn, conn->owner, (enum conn_end)conn->end);
    outq_fini(&conn->queue); // of what was queued after the end
    free(conn);
}

static void drop_unread(struct conn *conn)
{
    if (!conn->unread)
        return;
    gw_task_cancel(&conn->unread->task);
    free(conn->unread);
    conn->unread = NULL;
}

static void stop_linger(struct conn *conn)
{
    if (!conn->linger)
        return;
    gw_deadline_stop(&conn->linger->deadline);
    free(conn->linger);
    conn->linger = NULL;
}

// `end` counts only if the end had not begun before. The descriptor stays open.
static void let_go(struct conn *conn, enum conn_end end)
{
    if (conn->state == STATE_OPEN)
        conn->end = (uint8_t)end;
    set_state(conn, STATE_ENDED);
    stop_linger(conn);
    gw_task_cancel(&conn->task);
    gw_task_init(&conn->task, on_reap);
    drop_unread(conn);
    gw_metric_add(conn->metrics, GW_CONNECTIONS, -1);
    gw_task_schedule(loop_of(conn), GW_PHASE_REAP, &conn->task);
}

static void finish(struct conn *conn, enum conn_end end)
{
    if (conn->state == STATE_ENDED)
        return;
    let_go(conn, end);
    gw_fd_watcher_forget(&conn->watcher);
    close(conn->watcher.fd);
}

static void finish_failed(struct conn *conn, int error)
{
    bool is_peer = error == ECONNRESET || error == EPIPE || error == 0;
    if (!is_peer)
        gw_log(GW_LOG_DEBUG, "conn", "fd=%d failed: %s", conn->watcher.fd, strerror(error));
    finish(conn, is_peer ? CONN_END_PEER : CONN_END_ERROR);
}

static void on_linger_expired(struct gw_deadline *deadline)
{
    finish(TL_LIST_ENTRY(deadline, struct patience, deadline)->conn,
           CONN_END_PEER); // if open still
}

static struct patience *new_patience(struct conn *conn)
{
    struct patience *patience = malloc(sizeof *patience);
    if (!patience)
        return NULL;
    gw_deadline_init(&patience->deadline, on_linger_expired);
    patience->conn = conn;
    patience->discarded = 0;
    return patience;
}

// Starts the time that what is left may take. False: out of memory, the connection has ended.
static bool start_linger(struct conn *conn, enum conn_end end, int64_t linger_ms)
{
    struct gw_deadline_queue *deadlines = gw_loop_deadlines(loop_of(conn), linger_ms);
    if (deadlines && !conn->linger)
        conn->linger = new_patience(conn);
    if (!deadlines || !conn->linger) {
        finish(conn, end);
        return false;
    }
    gw_deadline_start(deadlines, &conn->linger->deadline);
    return true;
}

// ---- Watching

static uint32_t wanted_events(const struct conn *conn)
{
    uint32_t events = conn->is_blocked ? EPOLLOUT : 0;
    if (conn->is_peer_done)
        return events;
    bool is_reading = conn->state != STATE_OPEN || !conn->is_paused;
    return events | (is_reading ? EPOLLIN : EPOLLRDHUP);
}

static void update_events(struct conn *conn)
{
    if (conn->state == STATE_ENDED)
        return;
    const uint32_t wanted = wanted_events(conn);
    int error = wanted == conn->watcher.events ? 0 : gw_fd_watcher_set(&conn->watcher, wanted);
    if (error)
        finish_failed(conn, error);
}

// ---- Input

// What is queued, and what the handler makes of input that it still has when it is drained, may go
// out: the peer can have shut its sending side alone.
static void on_peer_done(struct conn *conn)
{
    conn->is_peer_done = true;
    if (conn->state == STATE_LINGERING || outq_is_empty(&conn->queue))
        finish(conn, CONN_END_PEER);
    else if (conn->state != STATE_OPEN || start_linger(conn, CONN_END_PEER, PEER_LINGER_MS))
        update_events(conn);
}

static void deliver_unread(struct conn *conn)
{
    struct unread *unread = conn->unread;
    conn->unread = NULL;
    gw_task_cancel(&unread->task);
    conn->handler->on_data(conn, conn->owner, unread->bytes, unread->size);
    free(unread);
}

static void take_input(struct conn *conn, uint8_t *bytes, size_t size)
{
    if (conn->state == STATE_OPEN) {
        conn->handler->on_data(conn, conn->owner, bytes, size);
        return;
    }
    conn->linger->discarded += size; // it is there while the state is neither OPEN nor ENDED
    if (conn->linger->discarded > DISCARD_MAX)
        finish(conn, CONN_END_LOCAL);
}

static void read_input(struct conn *conn)
{
    size_t size;
    uint8_t *scratch = gw_loop_scratch(loop_of(conn), &size);
    if (conn->unread && !conn->is_paused)
        deliver_unread(conn);
    if (conn->state == STATE_ENDED)
        return;
    if (conn->state == STATE_OPEN && (conn->is_paused || conn->unread))
        return;
    ssize_t got = recv(conn->watcher.fd, scratch, size, MSG_DONTWAIT);
    if (got > 0)
        take_input(conn, scratch, (size_t)got);
    else if (got == 0)
        on_peer_done(conn);
    else if (errno != EAGAIN && errno != EINTR)
        finish_failed(conn, errno);
}

static void on_unread(struct gw_task *task)
{
    struct conn *conn = TL_LIST_ENTRY(task, struct unread, task)->conn;
    if (!conn->is_paused)
        deliver_unread(conn);
}

bool conn_unread(struct conn *conn, const void *bytes, size_t size)
{
    assert(!conn->unread);
    if (size == 0 || conn->state != STATE_OPEN)
        return true;
    struct unread *unread = malloc(sizeof *unread + size);
    if (!unread)
        return false;
    gw_task_init(&unread->task, on_unread);
    unread->conn = conn;
    unread->size = size;
    memcpy(unread->bytes, bytes, size);
    conn->unread = unread;
    gw_task_schedule(loop_of(conn), GW_PHASE_DISTRIBUTE, &unread->task);
    return true;
}

void conn_pause(struct conn *conn)
{
    conn->is_paused = true;
    update_events(conn);
}

void conn_resume(struct conn *conn)
{
    conn->is_paused = false;
    if (conn->unread)
        gw_task_schedule(loop_of(conn), GW_PHASE_DISTRIBUTE, &conn->unread->task);
    update_events(conn);
}

// ---- Output

static void on_all_written(struct conn *conn)
{
    if (conn->state == STATE_OPEN) {
        if (conn->handler->on_drained)
            conn->handler->on_drained(conn, conn->owner);
        if (conn->is_peer_done && outq_is_empty(&conn->queue))
            finish(conn, CONN_END_PEER);
    } else if (conn->state == STATE_DRAINING) {
        if (conn->is_peer_done || shutdown(conn->watcher.fd, SHUT_WR) != 0)
            finish(conn, CONN_END_LOCAL);
        else
            set_state(conn, STATE_LINGERING);
    }
}

// One system call; that of one range, as most are, is the cheaper one.
static ssize_t send_all(int fd, struct iovec *iov, int count)
{
    if (count == 1)
        return send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
    const struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)count};
    return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

// Drops what was written, and counts the copies that ended in it.
static void consume(struct conn *conn, size_t written)
{
    struct copy_counts counts = {0};
    bool is_mixed = outq_consume(&conn->queue, written, &counts);
    if (counts.of[COPY_LIVE] > 0)
        gw_metric_add(conn->metrics, GW_DELIVERED, counts.of[COPY_LIVE]);
    if (!is_mixed)
        return;
    gw_metric_add(conn->metrics, GW_RECOVERED_COPIES,
                  (int64_t)counts.of[COPY_RECOVERED] + counts.of[COPY_CAUGHT_UP]);
    gw_metric_add(conn->metrics, GW_RESENT, counts.of[COPY_RESENT]);
}

// One write of what the queue has. False: no more can be written now, or at all.
static bool write_once(struct conn *conn)
{
    struct iovec iov[IOV_PER_WRITE];
    int count = outq_iov(&conn->queue, iov, IOV_PER_WRITE);
    size_t offered = 0;
    for (int i = 0; i < count; i++)
        offered += iov[i].iov_len;
    ssize_t written = send_all(conn->watcher.fd, iov, count);
    if (written < 0 && errno == EINTR)
        return true;
    if (written < 0 && errno != EAGAIN) {
        finish_failed(conn, errno);
        return false;
    }
    if (written > 0)
        consume(conn, (size_t)written);
    conn->is_blocked = written < 0 || (size_t)written < offered;
    return !conn->is_blocked;
}

static void on_flush(struct gw_task *task)
{
    struct conn *conn = TL_LIST_ENTRY(task, struct conn, task);
    bool had_output = !outq_is_empty(&conn->queue);
    for (int i = 0; i < WRITES_PER_TURN && !outq_is_empty(&conn->queue); i++)
        if (!write_once(conn))
            break;
    if (conn->state == STATE_ENDED)
        return;
    update_events(conn);
    if (outq_is_empty(&conn->queue)) {
        if (had_output || conn->state != STATE_OPEN)
            on_all_written(conn);
    } else {
        conn_flush(conn); // the next turn, unless it is blocked
    }
}

void conn_write_now(struct conn *conn)
{
    while (conn->state != STATE_ENDED && !conn->is_blocked && !outq_is_empty(&conn->queue))
        write_once(conn);
    update_events(conn);
}

struct outq *conn_queue(struct conn *conn)
{
    return &conn->queue;
}

void conn_flush(struct conn *conn)
{
    if (conn->state != STATE_ENDED && !conn->is_blocked)
        gw_task_schedule(loop_of(conn), GW_PHASE_FLUSH, &conn->task);
}

// ---- Events

static int socket_error(int fd)
{
    int error = 0;
    socklen_t size = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

static void on_ready(struct gw_fd_watcher *watcher, uint32_t events)
{
    struct conn *conn = TL_LIST_ENTRY(watcher, struct conn, watcher);
    if (events & EPOLLERR) {
        finish_failed(conn, socket_error(conn->watcher.fd));
        return;
    }
    if (events & EPOLLHUP) // both sides are shut: whatever is wanted will be told so
        events |= conn->watcher.events;
    if (events & EPOLLOUT) {
        conn->is_blocked = false;
        conn_flush(conn);
    }
    if (events & EPOLLIN)
        read_input(conn);
    else if (events & EPOLLRDHUP)
        on_peer_done(conn);
}

// ---- Life

struct conn *conn_open(struct gw_loop *loop, struct gw_metrics *metrics, int fd,
                       const struct conn_handler *handler, void *owner)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return NULL;
    conn->metrics = metrics;
    conn->handler = handler;
    conn->owner = owner;
    gw_fd_watcher_init(&conn->watcher, gw_loop_fd_watchers(loop), fd, on_ready);
    outq_init(&conn->queue);
    gw_task_init(&conn->task, on_flush);
    if (gw_fd_watcher_set(&conn->watcher, wanted_events(conn)) != 0) {
        free(conn);
        return NULL;
    }
    gw_metric_add(metrics, GW_CONNECTIONS, 1);
    return conn;
}

void conn_set_handler(struct conn *conn, const struct conn_handler *handler, void *owner)
{
    conn->handler = handler;
    conn->owner = owner;
}

struct gw_loop *conn_loop(const struct conn *conn)
{
    return loop_of(conn);
}

struct gw_metrics *conn_metrics(const struct conn *conn)
{
    return conn->metrics;
}

void conn_close(struct conn *conn, int64_t linger_ms)
{
    if (conn->state != STATE_OPEN || !start_linger(conn, CONN_END_LOCAL, linger_ms))
        return;
    conn->end = CONN_END_LOCAL;
    set_state(conn, STATE_DRAINING);
    drop_unread(conn);
    conn_flush(conn);
    update_events(conn);
}

void conn_abort(struct conn *conn)
{
    finish(conn, CONN_END_LOCAL);
}

static void on_detached_end(struct conn *conn, void *owner, enum conn_end end)
{
    (void)conn;
    (void)owner;
    (void)end;
}

int conn_detach(struct conn *conn)
{
    static const struct conn_handler nobody = {.on_end = on_detached_end};
    assert(conn->state == STATE_OPEN);
    conn_set_handler(conn, &nobody, NULL);
    let_go(conn, CONN_END_LOCAL);
    gw_fd_watcher_set(&conn->watcher, 0); // it stays open
    return conn->watcher.fd;
}

bool conn_has_ended(const struct conn *conn)
{
    return conn->state == STATE_ENDED;
}

bool conn_is_closing(const struct conn *conn)
{
    return conn->state != STATE_OPEN;
}
