// SPDX-License-Identifier: MIT
// The bus thread: receives from the subscriber, begins and ends.
//
// A message queue has no bound, so room messages and what answers bring have: while one worker is
// BRIDGE_PENDING_MAX bytes behind, nothing is received. What comes meanwhile waits in ZeroMQ, up to
// its high-water mark; what is lost there is noticed.

#include <stdlib.h>

#include "gateway/base/log.h"
#include "gateway/bridge/internal.h"

#define DELIVERIES_A_TURN 1024 // so that requests and deadlines are not kept waiting by a flood

// Whether a worker has to be waited for; then it says so when it has caught up.
static bool must_wait(struct bridge *bridge)
{
    for (unsigned i = 0; i < bridge->worker_count; i++) {
        struct bridge_worker *worker = &bridge->workers[i];
        if (!bridge__is_behind(worker))
            continue;
        int expected = BRIDGE_FREE;
        atomic_compare_exchange_strong(&worker->pace, &expected, BRIDGE_AWAITED);
        // It may have caught up before it could see that.
        expected = BRIDGE_AWAITED;
        if (bridge__is_behind(worker) ||
            !atomic_compare_exchange_strong(&worker->pace, &expected, BRIDGE_FREE))
            return true;
    }
    return false;
}

static void on_readable(uv_poll_t *watcher, int status, int events);

void bridge__on_ready(struct gw_loop_message *message)
{
    struct bridge_worker *worker = TL_LIST_ENTRY(message, struct bridge_worker, ready_message);
    struct bridge *bridge = worker->bridge;
    atomic_store(&worker->pace, BRIDGE_FREE);
    uv_poll_start(bridge->bus_watcher, UV_READABLE, on_readable);
    gw_task_schedule(bridge->loop, GW_PHASE_DISTRIBUTE, &bridge->receive_task);
}

static void show_stats(struct bridge *bridge)
{
    talus_subscriber_stats_t stats;
    talus_subscriber_stats(bridge->subscriber, &stats);
    gw_metric_set(&bridge->metrics, GW_BUS_HOLES, (int64_t)stats.gaps_opened);
    gw_metric_set(&bridge->metrics, GW_BUS_HEALED, (int64_t)stats.repaired);
    gw_metric_set(&bridge->metrics, GW_BUS_RECEIVE_DROPPED,
                  (int64_t)(stats.receive_dropped + stats.replay_dropped));
    gw_metric_set(&bridge->metrics, GW_BUS_DIRECTORY_OVERFLOWS, (int64_t)stats.directory_overflows);
    gw_metric_set(&bridge->metrics, GW_BUS_MALFORMED, (int64_t)stats.malformed);
    gw_metric_set(&bridge->metrics, GW_BUS_OVER_BOUNDS, (int64_t)stats.refused_bounds);
    gw_metric_set(&bridge->metrics, GW_BUS_DUPLICATES, (int64_t)stats.duplicates);
}

static void receive(struct bridge *bridge)
{
    if (bridge->are_workers_gone)
        return;
    for (unsigned i = 0; i < DELIVERIES_A_TURN; i++) {
        const talus_delivery_t *delivery;
        if (must_wait(bridge)) {
            if (uv_is_active((uv_handle_t *)bridge->bus_watcher))
                gw_metric_add(&bridge->metrics, GW_BUS_HELD_UP, 1);
            uv_poll_stop(bridge->bus_watcher);
            return;
        }
        bridge__catch_ups_resume(bridge);
        bridge__catch_ups_request(bridge);
        talus_error_t error = talus_subscriber_receive(bridge->subscriber, 0, &delivery);
        if (error == TALUS_ETIMEOUT) {
            show_stats(bridge);
            return;
        }
        if (error) {
            gw_log(GW_LOG_ERROR, "bridge", "cannot receive from the bus: %s",
                   talus_strerror(error));
            return;
        }
        bridge__on_delivery(bridge, delivery);
    }
    show_stats(bridge);
    gw_task_schedule(bridge->loop, GW_PHASE_DISTRIBUTE, &bridge->receive_task);
}

static void on_receive_task(struct gw_task *task)
{
    receive(TL_LIST_ENTRY(task, struct bridge, receive_task));
}

static void on_readable(uv_poll_t *watcher, int status, int events)
{
    (void)status;
    (void)events;
    receive(watcher->data);
}

// ---- Beginning and end

// A client is owed the events for everybody from its CONNECT on, without an offset. So the gateway
// accepts clients only once that subscription is live.
static bool join_everybody(struct bridge *bridge)
{
    const talus_delivery_t *delivery;
    bool is_live = false;
    if (talus_subscriber_join(bridge->subscriber, "") != TALUS_OK)
        return false;
    while (!is_live) { // which it is after live_timeout_ms at the latest
        talus_error_t error = talus_subscriber_receive(bridge->subscriber, -1, &delivery);
        if (error == TALUS_ETIMEOUT)
            continue; // a signal
        if (error)
            return false;
        is_live = delivery->kind == TALUS_DELIVERY_LIVE && delivery->session[0] == '\0';
        bridge__on_delivery(bridge, delivery);
    }
    return true;
}

bool bridge__bus_init(struct bridge *bridge)
{
    tl_table_init(&bridge->sessions);
    gw_task_init(&bridge->receive_task, on_receive_task);
    if (!bridge->options.loop)
        gw_loop_expect_messages(bridge->loop, true); // also while nothing is received
    gw_deadline_queue_init(&bridge->linger, bridge->loop, bridge->options.linger_ms);
    bridge__recovery_init(bridge);
    bridge__catch_ups_init(bridge);
    bridge->bus_watcher = malloc(sizeof *bridge->bus_watcher);
    if (!bridge->bus_watcher)
        return false;
    int fd = talus_subscriber_descriptor(bridge->subscriber);
    if (uv_poll_init(gw_loop_uv(bridge->loop), bridge->bus_watcher, fd) != 0) {
        free(bridge->bus_watcher);
        bridge->bus_watcher = NULL;
        return false;
    }
    bridge->bus_watcher->data = bridge;
    if (uv_poll_start(bridge->bus_watcher, UV_READABLE, on_readable) != 0)
        return false;
    if (!join_everybody(bridge))
        return false;
    gw_task_schedule(bridge->loop, GW_PHASE_DISTRIBUTE, &bridge->receive_task);
    return true;
}

static void on_bus_watcher_closed(uv_handle_t *handle)
{
    free(handle);
}

void bridge__bus_fini(struct bridge *bridge)
{
    bridge__catch_ups_fini(bridge);
    bridge__recovery_fini(bridge);
    for (struct tl_node *node = tl_table_first(&bridge->sessions), *next; node; node = next) {
        next = tl_table_next(&bridge->sessions, node);
        struct bridge_session *session = TL_TABLE_ENTRY(node, struct bridge_session, node);
        while (!tl_list_is_empty(&session->waiting)) {
            struct bridge_request *request =
                TL_LIST_ENTRY(session->waiting.next, struct bridge_request, link);
            tl_list_remove(&request->link);
            bridge__drop_request(
                &request->message); // its worker has ended and does not wait for it
        }
        bridge__session_free(session);
    }
    tl_table_fini(&bridge->sessions);
    gw_deadline_queue_fini(&bridge->linger);
    gw_task_cancel(&bridge->receive_task);
    if (bridge->bus_watcher) {
        uv_close((uv_handle_t *)bridge->bus_watcher, on_bus_watcher_closed);
        bridge->bus_watcher = NULL;
    }
}
