// SPDX-License-Identifier: MIT
// The emit: checks and encodes on its own, takes a place in the queue, wakes the bus thread if that
// sleeps, and runs the local callbacks. It waits for nobody.
#include <talus/broadcaster.h>

#include <string.h>

#include <talus/error.h>
#include <talus/topic.h>

#include "bus/src/api/broadcaster.h"
#include "bus/src/api/instance.h"
#include "bus/src/base/probes.h"
#include "bus/src/codec/payload.h"
#include "bus/src/transport/message.h"
#include "common/clock.h"
#include "common/event_id.h"

static const uint8_t empty_map = 0x80;

// Checks what is to be emitted and fills in its parts, which borrow from it.
static int check_emit(const talus_broadcaster_t *broadcaster, const talus_emit_t *emit,
                      struct talus__message_parts *parts)
{
    parts->session = emit->session ? emit->session : "";
    parts->session_size = strnlen(parts->session, TALUS_SESSION_MAX + 1);
    if (parts->session_size > 0) {
        talus_error_t error = talus_session_check(parts->session, parts->session_size);
        if (error)
            return error;
    }
    if (!emit->type)
        return TALUS_ETYPE;
    parts->type = emit->type;
    parts->type_size = strnlen(emit->type, TALUS_TYPE_MAX + 1);
    talus_error_t error = talus_type_check(emit->type, parts->type_size);
    if (error)
        return error;

    parts->except = emit->except && emit->except[0] ? emit->except : NULL;
    parts->except_size = parts->except ? strnlen(parts->except, TALUS_EXCEPT_MAX + 1) : 0;
    if (parts->except_size > TALUS_EXCEPT_MAX)
        return TALUS_EINVAL;

    parts->data = emit->data ? emit->data : &empty_map;
    parts->data_size = emit->data ? emit->data_size : sizeof empty_map;
    if (parts->data_size > broadcaster->limits.max_body)
        return TALUS_ETOOLARGE; // before its bytes are looked at
    return emit->data ? talus__payload_check(parts->data, parts->data_size, &broadcaster->limits)
                      : 0;
}

size_t talus__broadcaster_max_body(const talus_broadcaster_t *broadcaster)
{
    return broadcaster->limits.max_body;
}

void talus__broadcaster_count_refusal(talus_broadcaster_t *broadcaster, int error)
{
    _Atomic uint64_t *counter = &broadcaster->refused_invalid;

    if (error == TALUS_EQUEUEFULL)
        counter = &broadcaster->refused_full;
    else if (error == TALUS_ENOMEM)
        counter = &broadcaster->refused_memory;
    else if (error == TALUS_ETOOLARGE || error == TALUS_ETOODEEP || error == TALUS_ETOOMANYBIN)
        counter = &broadcaster->refused_bounds;
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void run_callbacks(talus_broadcaster_t *broadcaster, const talus_event_id_t *id,
                          uint64_t seq, const struct talus__message_parts *parts)
{
    const talus_event_t event = {
        .session = parts->session,
        .type = parts->type,
        .id = id->text,
        .origin = broadcaster->origin,
        .except = parts->except ? parts->except : "",
        .seq = seq,
        .prev = 0,
        .ts = parts->ts,
        .data = parts->data,
        .data_size = parts->data_size,
    };
    talus__callbacks_run(&broadcaster->callbacks, &event);
}

talus_error_t talus_emit(talus_broadcaster_t *broadcaster, const talus_emit_t *emit,
                         talus_event_id_t *id)
{
    struct talus__message_parts parts;
    struct talus__message *message = NULL;
    uint64_t seq = 0;

    if (talus__is_foreign(broadcaster))
        return TALUS_EFORKED;
    int error = check_emit(broadcaster, emit, &parts);
    if (!error) {
        parts.origin = broadcaster->origin;
        parts.ts = tl_now_us();
        parts.max_body = broadcaster->limits.max_body;
        error = talus__message_new(&message, &parts);
    }
    if (!error) {
        error = talus__queue_put(&broadcaster->publisher.queue, message, &seq);
        if (error)
            talus__message_unref(message);
    }
    if (error) {
        talus__broadcaster_count_refusal(broadcaster, error);
        return error;
    }
    TALUS__PROBE4(emit, talus__probe_text(broadcaster->origin), seq, parts.session, parts.type);
    talus__wakeup_notify(&broadcaster->publisher.wakeup);

    bool has_callbacks = talus__callbacks_any(&broadcaster->callbacks);
    talus_event_id_t own_id;
    if (id || has_callbacks) {
        tl_event_id_write(own_id.text, broadcaster->origin, TALUS__ORIGIN_SIZE, seq);
        if (id)
            *id = own_id;
    }
    if (has_callbacks)
        run_callbacks(broadcaster, &own_id, seq, &parts);
    return 0;
}
