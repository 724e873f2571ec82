// SPDX-License-Identifier: MIT
// What the README shows: a service that emits one event. Built by a user's means against the
// installed library.

#include <stdio.h>
#include <talus.h>

int main(void)
{
    talus_broadcaster_t *bus;
    talus_event_id_t id;
    talus_error_t error = talus_broadcaster_new(&bus, "inproc://install-test", NULL);
    if (!error)
        error = talus_emit_node_created(bus, "demo", "node-7", NULL, "blur", "Soft blur", &id);
    puts(error ? talus_strerror(error) : id.text);
    talus_broadcaster_destroy(&bus);
    return error ? 1 : 0;
}
