// SPDX-License-Identifier: MIT
// How gaps are closed from outside: requests to publishers, deadlines, and the loss of publishers.
#ifndef TALUS__GAP_REQUESTS_H
#define TALUS__GAP_REQUESTS_H

#include "bus/src/subscriber/gaps.h"

// Requests what is missing after a seq, as far as it is known by now how; else waits, or fails.
void talus__gap_request(struct talus__gap_repair *repairs, struct talus__gap *gap, uint64_t after);

// The replay that was requested after `since` has ended; the publisher has everything from the seq
// `first` on.
void talus__gap_end(struct talus__gap_repair *repairs, struct talus__gap *gap, uint64_t since,
                    uint64_t first);

// The request was given up: the publisher does not answer, or is gone.
void talus__gap_request_failed(struct talus__gap_repair *repairs, struct talus__gap *gap);

// The publisher can be asked now, or is known to send marks.
void talus__gap_hear_all(struct talus__gap_repair *repairs,
                         const struct talus__publisher *publisher);

// The publisher is gone, and cannot be asked for what is missing.
void talus__gap_fail(struct talus__gap_repair *repairs, struct talus__stream *stream);

// The same, and it had sent events up to `upto`; 0: nobody knows how many.
void talus__gap_lose(struct talus__gap_repair *repairs, struct talus__subscription *subscription,
                     struct talus__publisher *publisher, struct talus__stream *stream,
                     uint64_t upto);

// Gives up what has waited long enough, once repairs->tend_at is over.
void talus__gap_tend_all(struct talus__gap_repair *repairs, long long now);

#endif
