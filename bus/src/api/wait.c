// SPDX-License-Identifier: MIT
// Waiting: until all is sent, and until the subscribers are ready.
#include <talus/broadcaster.h>

#include <errno.h>
#include <poll.h>

#include <talus/error.h>

#include "bus/src/api/instance.h"
#include "common/clock.h"

int talus_broadcaster_flush(talus_broadcaster_t *broadcaster, int timeout_ms)
{
    if (talus__is_foreign(broadcaster))
        return TALUS_EFORKED;
    struct talus__publisher *publisher = &broadcaster->publisher;
    uint64_t target = talus__queue_newest(&publisher->queue);
    long long deadline = tl_deadline(timeout_ms);
    struct talus__waiter waiter;
    int error = talus__waiters_add(&publisher->flushers, &waiter);
    if (error)
        return error;
    bool is_interrupted = false;
    while (atomic_load_explicit(&publisher->settled, memory_order_seq_cst) < target) {
        int left = tl_left_until(deadline);
        if (left == 0 || is_interrupted) {
            error = TALUS_ETIMEOUT;
            break;
        }
        struct pollfd item = {.fd = waiter.fd, .events = POLLIN};
        is_interrupted = poll(&item, 1, left) < 0 && errno == EINTR;
        talus__waiter_clear(&waiter);
    }
    talus__waiters_remove(&publisher->flushers, &waiter);
    if (error)
        errno = is_interrupted ? EINTR : EAGAIN; // as in talus_subscriber_receive
    return error;
}

int talus_broadcaster_wait_subscribers(talus_broadcaster_t *broadcaster, size_t at_least,
                                       int timeout_ms, size_t *ready)
{
    if (talus__is_foreign(broadcaster))
        return TALUS_EFORKED;
    struct talus__publish_transport *transport = broadcaster->transport;
    return transport->ops->wait_subscribers(transport, at_least, timeout_ms, ready);
}
