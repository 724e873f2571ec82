// SPDX-License-Identifier: MIT
// What the tests of the API share: a subscriber on a bus directory of their own, and a broadcaster
// for those that want one. Everything that fails ends the test.
#ifndef TALUS_TESTS_API_FIXTURE_H
#define TALUS_TESTS_API_FIXTURE_H

#include <talus/broadcaster.h>
#include <talus/subscriber.h>

#include "tests/bus/support/scratch.h"

#define ENDPOINT_MAX (SCRATCH_PATH_MAX + 16)

struct api_fixture {
    char root[SCRATCH_PATH_MAX];
    char bus[ENDPOINT_MAX];
    talus_subscriber_t *subscriber;
    talus_broadcaster_t *broadcaster; // NULL until a test makes it
};

int api_set_up(void **state);
int api_tear_down(void **state);

#endif
