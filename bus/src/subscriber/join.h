// SPDX-License-Identifier: MIT
// Joining, leaving, and LIVE.
#ifndef TALUS__JOIN_H
#define TALUS__JOIN_H

#include "bus/src/subscriber/instance.h"

// talus_subscriber_join and _leave, on the owner's thread. `since`: where the session continues,
// which must be valid, and neither it nor "*" joined; consumed. NULL: nothing older is owed.
int talus__join_session(talus_subscriber_t *subscriber, const char *session,
                        struct talus__since *since);
int talus__leave_session(talus_subscriber_t *subscriber, const char *session);

// A known publisher's mark came, or one is waited for no more: some joins may be live now.
void talus__join_check(talus_subscriber_t *subscriber, struct talus__subscription *subscription);

// talus__receive_owner.on_connected; `arg` is the subscriber.
void talus__join_on_connected(void *arg);

// Sets the delivery to the next LIVE that is due. False: there is none.
bool talus__join_take_live(talus_subscriber_t *subscriber);

static inline bool talus__join_take(talus_subscriber_t *subscriber)
{
    return subscriber->core.subscriptions.lists[TALUS__LIST_ANNOUNCE].first &&
           talus__join_take_live(subscriber);
}

// Ends joins whose time is over, and subscriptions that lingered long enough.
void talus__join_tend(talus_subscriber_t *subscriber, long long now);

// When talus__join_tend has something to do; 0: nothing.
long long talus__join_due(const talus_subscriber_t *subscriber);

#endif
