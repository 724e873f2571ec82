// SPDX-License-Identifier: MIT
// The bus thread's part of recovery: the log, and the suspended clients.
//
// A session that a suspended client was in stays subscribed to and logged until the client comes
// back or its window is over. In each of its sessions the client is owed what came after its join
// and after its offset. If one of the logs does not reach back that far, or the offset is unknown,
// the client is not recovered, and sees that.
//
// Accounting: a suspended client is owed the events that were queued for it and not written, and
// those that came to its sessions since, which count as published when the suspension ends. All of
// them are either sent to the recovered client or dropped. Whatever else it is sent was written
// before.

#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/bridge/internal.h"

#define LOG_PERIOD_MS 1000 // between two looks for what is too old, while nothing comes

struct bridge_suspended {
    struct tl_node node; // of bridge->suspended
    struct gw_deadline deadline;
    struct bridge *bridge;
    struct bridge_suspension *suspension;
};

// NULL: nothing is kept of that client.
static struct bridge_suspended *find_suspended(const struct bridge *bridge, const char *client)
{
    struct tl_node *node = tl_table_find(&bridge->suspended, client, strlen(client));
    return node ? TL_TABLE_ENTRY(node, struct bridge_suspended, node) : NULL;
}

// ---- The log

static void on_log_deadline(struct gw_deadline *deadline)
{
    struct bridge *bridge = TL_LIST_ENTRY(deadline, struct bridge, log_deadline);
    event_log_expire(&bridge->log, gw_loop_now(bridge->loop));
    gw_metric_set(&bridge->metrics, GW_RECOVERY_BYTES, (int64_t)bridge->log.bytes);
    if (bridge->log.bytes > 0)
        gw_deadline_start(&bridge->log_deadlines, deadline);
}

static uint64_t *while_away_in(struct bridge_suspension *suspension, const char *session)
{
    for (unsigned i = 0; i < suspension->membership_count; i++)
        if (strcmp(suspension->memberships[i].session, session) == 0)
            return &suspension->memberships[i].while_away;
    return NULL;
}

// The event counts for all suspended clients of the session except the one that `skip` excludes.
static void count_published(struct bridge *bridge, struct session_log *log,
                            const struct bridge_encoded *encoded)
{
    struct bridge_suspended *suspended = NULL;
    log->published++;
    if (encoded->except[0] != '\0')
        suspended = find_suspended(bridge, encoded->except);
    uint64_t *while_away =
        suspended ? while_away_in(suspended->suspension, encoded->session) : NULL;
    if (while_away)
        (*while_away)--;
}

void bridge__log(struct bridge *bridge, struct bridge_session *session,
                 struct bridge_encoded *encoded, const talus_event_t *event)
{
    struct session_log *log = session ? &session->log : &bridge->everybody;
    const char *id = event ? event->id : "";
    if (encoded && encoded->except[0] != '\0')
        session_log_newest(log, &encoded->before);
    bool is_kept =
        encoded && (bridge->options.recovery_window_ms > 0 || (session && session->held > 0));
    uint64_t index = event_log_append(&bridge->log, log, is_kept ? encoded : NULL, id,
                                      gw_loop_now(bridge->loop));
    if (encoded) {
        encoded->index = index;
        count_published(bridge, log, encoded);
    }
    if (session && event)
        bridge__origins_note(&session->origins, event, index);
    if (bridge->log.bytes > 0 && !gw_deadline_is_started(&bridge->log_deadline))
        gw_deadline_start(&bridge->log_deadlines, &bridge->log_deadline);
}

// ---- Who may come back

static size_t size_of(const struct bridge_suspension *suspension)
{
    return sizeof(struct bridge_suspended) + sizeof *suspension +
           suspension->membership_count * sizeof suspension->memberships[0];
}

static struct session_log *log_of(struct bridge *bridge,
                                  const struct bridge_suspended_membership *membership)
{
    return membership->session[0] ? &bridge__find_session(bridge, membership->session)->log
                                  : &bridge->everybody;
}

// The events that came between the client's end and its suspension's arrival here.
static uint64_t count_after(const struct session_log *log, uint64_t after, const char *client)
{
    uint64_t count = 0;
    for (const struct tl_list *at = log->entries.prev; at != &log->entries; at = at->prev) {
        const struct event_log_entry *entry =
            TL_LIST_ENTRY((struct tl_list *)(uintptr_t)at, struct event_log_entry, session_link);
        if (entry->index <= after)
            break;
        count += strcmp(entry->encoded->except, client) != 0;
    }
    return count;
}

static void begin_counting(struct bridge *bridge, struct bridge_suspension *suspension)
{
    for (unsigned i = 0; i < suspension->membership_count; i++) {
        struct bridge_suspended_membership *membership = &suspension->memberships[i];
        const struct session_log *log = log_of(bridge, membership);
        uint64_t had =
            membership->joined > suspension->reached ? membership->joined : suspension->reached;
        membership->while_away = count_after(log, had, suspension->client);
        membership->published = log->published;
    }
}

// Publishes what came meanwhile; from here on the client is owed that, too.
static void end_counting(struct bridge *bridge, struct bridge_suspension *suspension)
{
    uint64_t while_away = 0;
    for (unsigned i = 0; i < suspension->membership_count; i++) {
        const struct bridge_suspended_membership *membership = &suspension->memberships[i];
        while_away += membership->while_away +
                      (log_of(bridge, membership)->published - membership->published);
    }
    gw_metric_add(&bridge->metrics, GW_PUBLISHED, (int64_t)while_away);
    suspension->pending += while_away;
    suspension->reached = bridge->log.newest;
}

// Takes a suspended client out of everything. Returns the suspension.
static struct bridge_suspension *remove_suspended(struct bridge_suspended *suspended)
{
    struct bridge *bridge = suspended->bridge;
    struct bridge_suspension *suspension = suspended->suspension;
    gw_deadline_stop(&suspended->deadline);
    tl_table_remove(&bridge->suspended, &suspended->node);
    end_counting(bridge, suspension);
    bridge->suspended_count--;
    bridge->suspended_bytes -= size_of(suspension);
    gw_metric_set(&bridge->metrics, GW_SUSPENDED, (int64_t)bridge->suspended_count);
    free(suspended);
    for (unsigned i = 1; i < suspension->membership_count; i++)
        bridge__find_session(bridge, suspension->memberships[i].session)->held--;
    return suspension;
}

// Lets the sessions linger that were held for this client alone.
static void release_sessions(struct bridge *bridge, const struct bridge_suspension *suspension)
{
    for (unsigned i = 1; i < suspension->membership_count; i++) {
        struct bridge_session *session =
            bridge__find_session(bridge, suspension->memberships[i].session);
        if (session)
            bridge__linger_if_unused(session);
    }
}

static void forget(struct bridge_suspended *suspended)
{
    struct bridge *bridge = suspended->bridge;
    struct bridge_suspension *suspension = remove_suspended(suspended);
    gw_metrics_drop(&bridge->metrics, GW_DROPPED_NOT_RECOVERED, suspension->client,
                    suspension->pending);
    release_sessions(bridge, suspension);
    free(suspension);
}

static void on_window_over(struct gw_deadline *deadline)
{
    forget(TL_LIST_ENTRY(deadline, struct bridge_suspended, deadline));
}

bool bridge__forget_oldest(struct bridge *bridge)
{
    const struct tl_list *suspended = &bridge->suspended_deadlines.deadlines;
    if (tl_list_is_empty(suspended))
        return false;
    forget(TL_LIST_ENTRY(suspended->next, struct bridge_suspended, deadline.link));
    return true;
}

// NULL: out of memory.
static struct bridge_suspended *add_suspended(struct bridge *bridge,
                                              struct bridge_suspension *suspension)
{
    struct bridge_suspended *suspended = calloc(1, sizeof *suspended);
    if (!suspended)
        return NULL;
    suspended->bridge = bridge;
    suspended->suspension = suspension;
    gw_deadline_init(&suspended->deadline, on_window_over);
    suspended->node.name = suspension->client;
    suspended->node.name_size = strlen(suspension->client);
    tl_table_insert(&bridge->suspended, &suspended->node);
    return suspended;
}

void bridge__suspend(struct bridge *bridge, struct bridge_suspension *suspension)
{
    struct bridge_suspended *suspended = add_suspended(bridge, suspension);
    if (!suspended) {
        gw_log(GW_LOG_WARNING, "recovery", "out of memory: client %s cannot be recovered",
               suspension->client);
        gw_metrics_drop(&bridge->metrics, GW_DROPPED_MEMORY, suspension->client,
                        suspension->pending);
        release_sessions(bridge, suspension);
        free(suspension);
        return;
    }
    begin_counting(bridge, suspension);
    for (unsigned i = 1; i < suspension->membership_count; i++)
        bridge__hold(bridge__find_session(bridge, suspension->memberships[i].session));
    gw_deadline_start(&bridge->suspended_deadlines, &suspended->deadline);
    bridge->suspended_bytes += size_of(suspension);
    gw_metric_set(&bridge->metrics, GW_SUSPENDED, (int64_t)++bridge->suspended_count);
    while (bridge->suspended_count > bridge->options.max_suspended ||
           bridge->suspended_bytes > bridge->options.max_suspended_bytes)
        bridge__forget_oldest(bridge);
}

// ---- Coming back

// Whether it is unknown that a client has what followed its join with `since`: it has if it
// received something newer.
static bool may_miss_older(const struct bridge_suspension *suspension, uint64_t offset)
{
    for (unsigned i = 0; i < suspension->membership_count; i++)
        if (suspension->memberships[i].is_since && offset <= suspension->memberships[i].joined)
            return true;
    return false;
}

// The index behind the offset that the client names. False: it is unknown.
static bool find_offset(struct bridge *bridge, const struct bridge_suspension *suspension,
                        const char *offset, uint64_t *index)
{
    *index = 0;
    if (offset[0] == '\0' || strcmp(offset, suspension->stale) == 0)
        return true; // it has received nothing since it connected
    if (strcmp(offset, suspension->left.id) == 0)
        *index = suspension->left.index;
    for (unsigned i = 0; i < suspension->membership_count && *index == 0; i++) {
        const struct bridge_suspended_membership *membership = &suspension->memberships[i];
        *index = session_log_find_after(log_of(bridge, membership), offset, membership->joined);
        if (*index == 0 && strcmp(offset, membership->exclusion.before.id) == 0)
            *index = membership->exclusion.before.index;
    }
    return *index != 0;
}

static bool collect(struct bridge_request *request, const struct bridge_suspension *suspension,
                    struct event_log_cursor *cursors)
{
    const struct event_log_entry *entry;
    while ((entry = event_log_next(cursors, suspension->membership_count))) {
        bool is_pending = entry->index >= suspension->pending_from;
        if (strcmp(entry->encoded->except, suspension->client) != 0 &&
            !bridge_missed_add(&request->missed, entry->encoded,
                               is_pending ? COPY_RECOVERED : COPY_RESENT))
            return false; // more than a client may be behind
    }
    return true;
}

// What the client is owed and not sent belongs to sessions that it has left, or it says that it has
// it.
static void account_recovered(struct bridge *bridge, struct bridge_suspension *suspension,
                              const struct bridge_missed *missed)
{
    const struct sio_missed view = bridge_missed_view(missed);
    uint64_t recovered = 0;
    for (size_t i = 0; i < view.count; i++)
        recovered += view.copies[i].kind == COPY_RECOVERED;
    if (recovered >
        suspension->pending) { // memory was out for a room message, whose copies were dropped then
        gw_log(GW_LOG_WARNING, "recovery",
               "client %s is sent more copies than were due to it: memory ran out before",
               suspension->client);
        gw_metric_add(&bridge->metrics, GW_PUBLISHED, (int64_t)(recovered - suspension->pending));
    } else {
        gw_metrics_drop(&bridge->metrics, GW_DROPPED_LEFT, suspension->client,
                        suspension->pending - recovered);
    }
    suspension->pending = recovered;
}

// The index up to which the client has a session's events, or was excluded from them.
static uint64_t first_pending_after(const struct bridge_suspended_membership *membership,
                                    uint64_t offset)
{
    uint64_t has = offset > membership->joined ? offset : membership->joined;
    bool is_left_out =
        has >= membership->exclusion.before.index && has < membership->exclusion.excluded;
    return is_left_out ? membership->exclusion.excluded : has;
}

static bool find_missed(struct bridge *bridge, const struct bridge_suspension *suspension,
                        struct bridge_request *request)
{
    uint64_t offset;
    if (!find_offset(bridge, suspension, request->offset, &offset) ||
        may_miss_older(suspension, offset))
        return false;
    struct event_log_cursor *cursors = calloc(suspension->membership_count, sizeof *cursors);
    if (!cursors)
        return false;
    for (unsigned i = 0; i < suspension->membership_count; i++) {
        cursors[i].session = log_of(bridge, &suspension->memberships[i]);
        cursors[i].after = first_pending_after(&suspension->memberships[i], offset);
    }
    bool is_found = event_log_reaches(cursors, suspension->membership_count) &&
                    collect(request, suspension, cursors);
    free(cursors);
    return is_found;
}

bool bridge__is_suspended(const struct bridge *bridge, const char *client)
{
    return find_suspended(bridge, client) != NULL;
}

bool bridge__recover(struct bridge *bridge, struct bridge_request *request)
{
    struct bridge_suspended *suspended = find_suspended(bridge, request->past);
    bridge_missed_init(&request->missed, bridge->options.max_missed);
    bool is_found = suspended && find_missed(bridge, suspended->suspension, request);
    gw_metric_add(&bridge->metrics, is_found ? GW_RECOVERED : GW_NOT_RECOVERED, 1);
    if (is_found) {
        request->suspension = remove_suspended(suspended);
        account_recovered(bridge, request->suspension, &request->missed);
    } else if (suspended) {
        forget(suspended);
    }
    return is_found;
}

// ---- Beginning and end

static int64_t window_of(const struct bridge *bridge)
{
    return bridge->options.recovery_window_ms;
}

void bridge__recovery_init(struct bridge *bridge)
{
    // What a client has not received was sent at most this long before it was suspended.
    event_log_init(&bridge->log, bridge->options.recovery_bytes,
                   window_of(bridge) + bridge->options.silence_ms);
    session_log_init(&bridge->everybody);
    tl_table_init(&bridge->suspended);
    gw_deadline_init(&bridge->log_deadline, on_log_deadline);
    gw_deadline_queue_init(&bridge->log_deadlines, bridge->loop, LOG_PERIOD_MS);
    gw_deadline_queue_init(&bridge->suspended_deadlines, bridge->loop, window_of(bridge));
}

void bridge__recovery_fini(struct bridge *bridge)
{
    for (struct tl_node *node = tl_table_first(&bridge->suspended), *next; node; node = next) {
        next = tl_table_next(&bridge->suspended, node);
        struct bridge_suspension *suspension =
            remove_suspended(TL_TABLE_ENTRY(node, struct bridge_suspended, node));
        gw_metrics_drop(&bridge->metrics, GW_DROPPED_SHUTDOWN, suspension->client,
                        suspension->pending);
        free(suspension);
    }
    session_log_fini(&bridge->log, &bridge->everybody);
    tl_table_fini(&bridge->suspended);
    gw_deadline_queue_fini(&bridge->log_deadlines);
    gw_deadline_queue_fini(&bridge->suspended_deadlines);
}
