// SPDX-License-Identifier: MIT
// Publisher liveness.
#include "bus/src/zmq/sub/liveness.h"

#include <string.h>

#include "bus/src/base/log.h"
#include "bus/src/codec/wire.h"
#include "bus/src/zmq/directory/ledger_file.h"

#define HEARTBEATS_MISSED 3    // of a publisher that sends them more seldom than our time-out
#define DEAD_MS           500  // for what a dead one had sent to arrive
#define LOOK_MS           250  // between looks at those that are absent
#define RETURN_MS         1000 // for those that return to be heard, once their reader is awake again
#define STOOD_MOST        16 // times that a reader is let off: one that always stands hears of losses, too

static bool is_sure(const struct talus__presence *presence)
{
    return !talus__presence_may_return(presence);
}

static long long due_of(const struct talus__zmq_receive *receive,
                        const struct talus__presence *presence)
{
    return presence->absent_since +
           (is_sure(presence) ? DEAD_MS : receive->receive.options->origin_timeout_ms);
}

// ---- Losses

struct zmq_loss {
    struct talus__loss base; // first
    struct talus__ledger ledger;
};

static uint64_t newest_of(const struct talus__loss *loss, const char *session, size_t session_size)
{
    const struct talus__ledger *ledger = &((const struct zmq_loss *)loss)->ledger;

    return strcmp(session, TALUS__EVERYTHING) == 0
               ? ledger->newest
               : talus__ledger_last(ledger, session, session_size);
}

static void log_loss(const struct talus__publisher *publisher, const struct talus__loss *loss)
{
    talus__log(TALUS_LOG_INFO, "broadcaster %s is gone%s", publisher->name,
               loss->has_left ? ""
               : loss->newest ? " without a word; its ledger says what it had sent"
                              : " without a word, and without a ledger");
}

static void lose(struct talus__zmq_receive *receive, struct talus__publisher *publisher)
{
    const struct talus__receive_owner *owner = receive->receive.owner;
    const struct talus__presence *presence = talus__presence_of(publisher);
    struct zmq_loss loss = {.base = {.publisher = publisher,
                                     .has_left = presence->has_left,
                                     .was_known = presence->was_listed}};

    if (presence->has_ledger &&
        talus__ledger_open_file(&loss.ledger, presence->ledger, publisher->name) == 0)
        loss.base.newest = newest_of;
    log_loss(publisher, &loss.base);
    talus__publisher_ref(receive->receive.publishers, publisher);
    talus__presence_lose(&receive->presences, publisher);
    talus__replay_client_give_up(&receive->replay_client, publisher);
    owner->on_lost(owner->arg, &loss.base);
    if (loss.base.newest)
        talus__ledger_close(&loss.ledger);
    talus__presence_end_absence(&receive->presences, publisher);
    talus__publisher_unref(receive->receive.publishers, publisher);
}

static long long looked_at(const struct talus__presences *presences,
                           const struct talus__presence *presence)
{
    return presence->absent_since > presences->looked_at ? presence->absent_since
                                                         : presences->looked_at;
}

// Time in which the subscriber stood still counts for nothing: it could not hear who returned.
static void let_off(const struct talus__zmq_receive *receive, struct talus__presence *presence,
                    long long now)
{
    long long stood = now - looked_at(&receive->presences, presence) - LOOK_MS;

    if (stood < LOOK_MS)
        return;
    presence->absent_since += stood;
    if (is_sure(presence) || ++presence->stood > STOOD_MOST)
        return;
    long long early = now + RETURN_MS - due_of(receive, presence);
    if (early > 0)
        presence->absent_since += early;
}

void talus__liveness_tend(struct talus__zmq_receive *receive, long long now, bool is_drained)
{
    struct talus__presences *presences = &receive->presences;
    const struct talus__publishers *publishers = presences->publishers;

    for (size_t i = 0; presences->absent > 0 && i < publishers->slot_count; i++) {
        struct talus__publisher *publisher = publishers->slots[i].publisher;
        if (!publisher || !talus__presence_of(publisher)->is_absent)
            continue;
        struct talus__presence *presence = talus__presence_of(publisher);
        let_off(receive, presence, now);
        if (is_drained && now >= due_of(receive, presence))
            lose(receive, publisher);
    }
    presences->looked_at = now;
}

long long talus__liveness_due(const struct talus__zmq_receive *receive)
{
    const struct talus__presences *presences = &receive->presences;
    const struct talus__publishers *publishers = presences->publishers;
    long long due = 0;

    for (size_t i = 0; presences->absent > 0 && i < publishers->slot_count; i++) {
        struct talus__publisher *publisher = publishers->slots[i].publisher;
        if (!publisher || !talus__presence_of(publisher)->is_absent)
            continue;
        const struct talus__presence *presence = talus__presence_of(publisher);
        long long at = due_of(receive, presence);
        if (at > looked_at(presences, presence) + LOOK_MS)
            at = looked_at(presences, presence) + LOOK_MS;
        if (due == 0 || at < due)
            due = at;
    }
    return due;
}

// ---- Heartbeats
//
// A missed heartbeat is counted once for each tick of our own timer, and only when all that came
// was read: a subscriber that was itself stopped, or is behind, does not take those that live for
// dead.

static bool is_judged(const struct talus__presence *presence)
{
    return presence->heartbeat_ms > 0 && !presence->is_away &&
           (presence->listed > 0 || presence->is_connected);
}

static void miss_heartbeat(struct talus__zmq_receive *receive, struct talus__publisher *publisher)
{
    struct talus__presence *presence = talus__presence_of(publisher);
    const talus_subscriber_options_t *options = receive->receive.options;
    long long silent = (long long)++presence->heartbeats_missed * options->heartbeat_ms;
    long long most = (long long)presence->heartbeat_ms * HEARTBEATS_MISSED;

    if (most < options->heartbeat_timeout_ms)
        most = options->heartbeat_timeout_ms;
    if (silent <= most)
        return;
    talus__log(TALUS_LOG_INFO, "broadcaster %s has been silent for %lld ms: it counts as away",
               publisher->name, silent);
    talus__presence_go_away(&receive->presences, publisher);
}

void talus__liveness_tend_heartbeats(struct talus__zmq_receive *receive, long long now,
                                     bool is_drained)
{
    const struct talus__publishers *publishers = receive->presences.publishers;
    bool is_any = false;

    if (receive->heartbeats_at == 0 || now < receive->heartbeats_at)
        return;
    for (size_t i = 0; i < publishers->slot_count; i++) {
        struct talus__publisher *publisher = publishers->slots[i].publisher;
        if (!publisher || !is_judged(talus__presence_of(publisher)))
            continue;
        is_any = true;
        if (is_drained)
            miss_heartbeat(receive, publisher);
    }
    receive->heartbeats_at = is_any ? now + receive->receive.options->heartbeat_ms : 0;
    receive->heartbeat.has_beats = is_any;
    talus__heartbeat_tend(&receive->heartbeat, is_drained);
}
