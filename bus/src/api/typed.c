// SPDX-License-Identifier: MIT
// The typed emits, made from talus/events.def.
//
// The table gives each event's fields as a row of TALUS_FIELD_STR(name) TALUS_FIELD_ANY(name) …. An
// emit needs that row twice, as parameters and as values, and a macro's argument is expanded once.
// So here each field becomes a pair (KIND, name), and EACH_… walks the row of pairs: the macros A
// and B name each other in turn, since a macro is not expanded within itself.
#include <stdint.h>

#include <talus/broadcaster.h>
#include <talus/error.h>

#include "bus/src/api/broadcaster.h"
#include "bus/src/codec/typed_payload.h"

#define STORAGE 2048 // bytes of payload that need no allocation

static int emit_typed(talus_broadcaster_t *broadcaster, const char *type, const char *session_id,
                      const struct talus__typed_field *fields, size_t count, talus_event_id_t *id)
{
    uint8_t storage[STORAGE];
    struct talus__pack_buffer payload;
    talus__pack_buffer_init(&payload, storage, sizeof(storage),
                            talus__broadcaster_max_body(broadcaster));
    int error = talus__typed_payload_encode(&payload, session_id, fields, count);
    if (error) {
        talus__broadcaster_count_refusal(broadcaster, error);
    } else {
        talus_emit_t emit = {.session = session_id,
                             .type = type,
                             .data = payload.out.bytes,
                             .data_size = payload.out.size};
        error = talus_emit(broadcaster, &emit, id);
    }
    talus__pack_buffer_fini(&payload);
    return error;
}

#define END_OF(...)  END_OF_(__VA_ARGS__)
#define END_OF_(...) __VA_ARGS__##_END

#define EACH_PARAMETER(row)     END_OF(PARAMETER_A row)
#define PARAMETER_A(kind, name) PARAMETER_##kind(name) PARAMETER_B
#define PARAMETER_B(kind, name) PARAMETER_##kind(name) PARAMETER_A
#define PARAMETER_A_END
#define PARAMETER_B_END
#define PARAMETER_STR(name)  const char *name,
#define PARAMETER_OPT(name)  const char *name,
#define PARAMETER_ANY(name)  talus_value_t name,
#define PARAMETER_BOOL(name) bool name,

#define EACH_FIELD(row)     END_OF(FIELD_A row)
#define FIELD_A(kind, name) FIELD_##kind(name) FIELD_B
#define FIELD_B(kind, name) FIELD_##kind(name) FIELD_A
#define FIELD_A_END
#define FIELD_B_END
#define FIELD_STR(name)  {#name, TALUS__IS_TEXT, talus_str(name)},
#define FIELD_OPT(name)  {#name, TALUS__IS_OPT, talus_str(name)},
#define FIELD_ANY(name)  {#name, TALUS__IS_ANY, name},
#define FIELD_BOOL(name) {#name, TALUS__IS_BOOL, talus_bool(name)},

#define EACH_VALUE_PARAMETER(row)  END_OF(VALUE_PARAMETER_A row)
#define VALUE_PARAMETER_A(k, name) talus_value_t name, VALUE_PARAMETER_B
#define VALUE_PARAMETER_B(k, name) talus_value_t name, VALUE_PARAMETER_A
#define VALUE_PARAMETER_A_END
#define VALUE_PARAMETER_B_END

#define EACH_VALUE(row)     END_OF(VALUE_A row)
#define VALUE_A(kind, name) {#name, TYPES_OF_##kind, name}, VALUE_B
#define VALUE_B(kind, name) {#name, TYPES_OF_##kind, name}, VALUE_A
#define VALUE_A_END
#define VALUE_B_END
#define TYPES_OF_STR  TALUS__IS_TEXT
#define TYPES_OF_OPT  TALUS__IS_OPT
#define TYPES_OF_ANY  TALUS__IS_ANY
#define TYPES_OF_BOOL TALUS__IS_BOOL

#define TALUS_FIELD_STR(name)  (STR, name)
#define TALUS_FIELD_OPT(name)  (OPT, name)
#define TALUS_FIELD_ANY(name)  (ANY, name)
#define TALUS_FIELD_BOOL(name) (BOOL, name)
#define TALUS_EVENT(identifier, wire_name, row)                                                    \
    talus_error_t talus_emit_##identifier(talus_broadcaster_t *broadcaster,                        \
                                          const char *session_id,                                  \
                                          EACH_PARAMETER(row) talus_event_id_t *id)                \
    {                                                                                              \
        const struct talus__typed_field fields[] = {EACH_FIELD(row)};                              \
        return emit_typed(broadcaster, wire_name, session_id, fields,                              \
                          sizeof(fields) / sizeof(fields[0]), id);                                 \
    }                                                                                              \
    talus_error_t talus_emit_##identifier##_values(talus_broadcaster_t *broadcaster,               \
                                                   const char *session_id,                         \
                                                   EACH_VALUE_PARAMETER(row) talus_event_id_t *id) \
    {                                                                                              \
        const struct talus__typed_field fields[] = {EACH_VALUE(row)};                              \
        return emit_typed(broadcaster, wire_name, session_id, fields,                              \
                          sizeof(fields) / sizeof(fields[0]), id);                                 \
    }
#include <talus/events.def>
