// SPDX-License-Identifier: MIT
#include "tests/bus/support/api_fixture.h"

#include <stdlib.h>
#include <string.h>

int api_set_up(void **state)
{
    struct api_fixture *fixture = calloc(1, sizeof *fixture);

    if (!fixture)
        return -1;
    scratch_make(fixture->root);
    stpcpy(stpcpy(stpcpy(fixture->bus, "ipc://"), fixture->root), "/bus/*");
    *state = fixture;
    return talus_subscriber_new(&fixture->subscriber, fixture->bus, NULL);
}

int api_tear_down(void **state)
{
    struct api_fixture *fixture = *state;

    talus_subscriber_destroy(&fixture->subscriber);
    talus_broadcaster_destroy(&fixture->broadcaster);
    scratch_remove(fixture->root);
    free(fixture);
    return 0;
}
