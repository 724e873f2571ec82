// SPDX-License-Identifier: MIT
// The presence of publishers.
//
// Invariant: each change ends with update(), which alone changes a publisher's standing.
#include "bus/src/zmq/sub/presence.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"

void talus__presence_fini(struct talus__publisher *publisher)
{
    struct talus__presence *presence = talus__presence_of(publisher);

    free(presence->named);
    free(presence->replay);
    if (presence->has_ledger)
        close(presence->ledger);
}

static bool is_here(const struct talus__presence *presence)
{
    return (presence->listed > 0 || presence->is_connected) && !presence->is_away;
}

// It will not come back: its lock is free, or it said so.
static bool is_gone_for_good(const struct talus__presence *presence)
{
    return (presence->was_listed && presence->listed == 0) || presence->has_left;
}

bool talus__presence_may_return(const struct talus__presence *presence)
{
    return !is_gone_for_good(presence);
}

// Brings what follows from its state up to date.
static void update(struct talus__presences *presences, struct talus__publisher *publisher)
{
    struct talus__presence *presence = talus__presence_of(publisher);

    if (is_here(presence)) {
        presence->is_lost = false;
        if (presence->is_absent)
            presences->absent--;
        presence->is_absent = false;
    }
    const struct talus__standing standing = {
        .is_held = presence->listed > 0 || presence->is_connected || presence->references > 0 ||
                   presence->is_absent,
        .is_waited = !publisher->is_ignored && is_here(presence) &&
                     (presence->listed > 0 || !presence->is_silent),
        .is_away = presence->is_absent && presence->is_away && !is_gone_for_good(presence),
        .is_missed = presence->is_absent || presence->is_away || presence->is_lost,
        .is_lost = presence->is_lost,
    };
    talus__publisher_set_standing(presences->publishers, publisher, &standing);
}

// It was here, and is not any more.
static void begin_absence(struct talus__presences *presences, struct talus__publisher *publisher)
{
    struct talus__presence *presence = talus__presence_of(publisher);

    if (is_here(presence) || presence->is_absent || publisher->is_ignored)
        return;
    // It stood still, and that was told: nothing is new, unless it is dead by now and a ledger says
    // what it has emitted since.
    bool is_final = is_gone_for_good(presence);
    if (presence->is_told && !(is_final && presence->has_ledger)) {
        publisher->is_dead = is_final;
        return;
    }
    presence->is_absent = true;
    presence->absent_since = tl_monotonic_ms();
    presence->stood = 0;
    publisher->left_at = ++presences->publishers->turn;
    presences->absent++;
}

void talus__presence_lose(struct talus__presences *presences, struct talus__publisher *publisher)
{
    talus__presence_of(publisher)->is_lost = true;
    update(presences, publisher);
}

void talus__presence_end_absence(struct talus__presences *presences,
                                 struct talus__publisher *publisher)
{
    struct talus__presence *presence = talus__presence_of(publisher);

    if (!presence->is_absent)
        return;
    presence->is_absent = false;
    presences->absent--;
    publisher->is_dead = is_gone_for_good(presence);
    presence->is_told = presence->is_away;
    update(presences, publisher);
    if (publisher->is_dead)
        talus__publisher_drop(presences->publishers, publisher);
}

// ---- References

void talus__presence_ref(struct talus__presences *presences, struct talus__publisher *publisher)
{
    talus__presence_of(publisher)->references++;
    update(presences, publisher);
}

void talus__presence_unref(struct talus__presences *presences, struct talus__publisher *publisher)
{
    talus__presence_of(publisher)->references--;
    update(presences, publisher);
    talus__publisher_drop(presences->publishers, publisher);
}

// ---- What becomes known of a publisher

void talus__presence_leave(struct talus__presences *presences, struct talus__publisher *publisher)
{
    struct talus__presence *presence = talus__presence_of(publisher);
    bool was_connected = presence->is_connected;

    presence->has_left = true;
    presence->is_connected = false;
    presence->connection_count = 0;
    if (was_connected)
        begin_absence(presences, publisher);
    update(presences, publisher);
}

void talus__presence_list(struct talus__presences *presences, struct talus__publisher *publisher)
{
    struct talus__presence *presence = talus__presence_of(publisher);

    presence->listed++;
    presence->was_listed = true;
    update(presences, publisher);
}

void talus__presence_unlist(struct talus__presences *presences, struct talus__publisher *publisher)
{
    talus__presence_of(publisher)->listed--;
    begin_absence(presences, publisher);
    update(presences, publisher);
}

bool talus__presence_connect(struct talus__presences *presences, struct talus__publisher *publisher,
                             int connection)
{
    struct talus__presence *presence = talus__presence_of(publisher);
    bool is_other = true;

    for (size_t i = 0; i < presence->connection_count; i++)
        is_other &= presence->connections[i] != connection;
    if (is_other && presence->connection_count == TALUS__CONNECTIONS)
        presence->connection_count--;
    if (is_other)
        presence->connections[presence->connection_count++] = connection;
    presence->is_connected = true;
    update(presences, publisher);
    return is_other;
}

static void lose_connection(struct talus__presences *presences, struct talus__publisher *publisher,
                            int connection)
{
    struct talus__presence *presence = talus__presence_of(publisher);
    size_t kept = 0;

    for (size_t i = 0; i < presence->connection_count; i++) {
        if (presence->connections[i] != connection)
            presence->connections[kept++] = presence->connections[i];
    }
    bool is_lost = kept < presence->connection_count && kept == 0;
    presence->connection_count = kept;
    if (!is_lost)
        return;
    presence->is_connected = false;
    begin_absence(presences, publisher);
    update(presences, publisher);
}

void talus__presences_disconnect(struct talus__presences *presences, int connection)
{
    struct talus__publishers *publishers = presences->publishers;

    for (size_t i = 0; i < publishers->slot_count; i++) {
        struct talus__publisher *publisher = publishers->slots[i].publisher;
        if (publisher && talus__presence_of(publisher)->is_connected)
            lose_connection(presences, publisher, connection);
    }
}

void talus__presence_hear(struct talus__presences *presences, struct talus__publisher *publisher)
{
    struct talus__presence *presence = talus__presence_of(publisher);

    publisher->sends_marks = true;
    publisher->is_plain = false;
    presence->heartbeats_missed = 0;
    if (!presence->is_silent && !presence->is_away)
        return;
    presence->is_silent = false;
    presence->is_away = false;
    presence->is_told = false;
    update(presences, publisher);
}

void talus__presence_silence(struct talus__presences *presences, struct talus__publisher *publisher)
{
    talus__presence_of(publisher)->is_silent = true;
    update(presences, publisher);
}

void talus__presence_go_away(struct talus__presences *presences, struct talus__publisher *publisher)
{
    talus__presence_of(publisher)->is_away = true;
    begin_absence(presences, publisher);
    update(presences, publisher);
}

// ---- What is kept for when it is missed

void talus__presence_set_replay(struct talus__publisher *publisher, char *replay)
{
    struct talus__presence *presence = talus__presence_of(publisher);

    free(presence->replay);
    presence->replay = replay;
    publisher->can_replay = replay != NULL;
}

void talus__presence_keep_ledger(struct talus__publisher *publisher, int ledger)
{
    struct talus__presence *presence = talus__presence_of(publisher);

    presence->has_ledger = true;
    presence->ledger = ledger;
}
