// SPDX-License-Identifier: MIT
#include "clients/cli/demo/event.h"

static const char *or_nil(const char *text)
{
    return text[0] ? text : NULL;
}

static talus_error_t emit_property_changed(const demo_event_t *event,
                                           talus_broadcaster_t *broadcaster, const char *session)
{
    unsigned char old_scratch[DEMO_SCRATCH_SIZE], new_scratch[DEMO_SCRATCH_SIZE];
    return talus_emit_property_changed(broadcaster, session, event->subject, event->word,
                                       demo_value_of(&event->old_value, old_scratch),
                                       demo_value_of(&event->new_value, new_scratch), NULL);
}

talus_error_t demo_event_emit(const demo_event_t *event, talus_broadcaster_t *broadcaster,
                              const char *session)
{
    const char *subject = event->subject;
    switch (event->kind) {
    case DEMO_node_created:
        return talus_emit_node_created(broadcaster, session, subject, or_nil(event->other),
                                       event->word, event->text, NULL);
    case DEMO_node_deleted:
        return talus_emit_node_deleted(broadcaster, session, subject, NULL);
    case DEMO_node_updated:
        return talus_emit_node_updated(broadcaster, session, subject, NULL);
    case DEMO_node_linked:
        return talus_emit_node_linked(broadcaster, session, subject, event->other, NULL);
    case DEMO_node_unlinked:
        return talus_emit_node_unlinked(broadcaster, session, subject, event->other, NULL);
    case DEMO_property_changed:
        return emit_property_changed(event, broadcaster, session);
    case DEMO_property_deleted:
        return talus_emit_property_deleted(broadcaster, session, subject, event->word, NULL);
    case DEMO_command_executing:
        return talus_emit_command_executing(broadcaster, session, subject, event->word, NULL);
    case DEMO_command_executed:
        return talus_emit_command_executed(broadcaster, session, subject, !event->text[0],
                                           or_nil(event->text), NULL);
    case DEMO_undo:
        return talus_emit_undo(broadcaster, session, subject, NULL);
    case DEMO_redo:
        return talus_emit_redo(broadcaster, session, subject, NULL);
    case DEMO_session_connected:
        return talus_emit_session_connected(broadcaster, session, subject, NULL);
    case DEMO_session_disconnected:
        return talus_emit_session_disconnected(broadcaster, session, subject, NULL);
    case DEMO_external_template_update:
        return talus_emit_external_template_update(broadcaster, session, subject, NULL);
    case DEMO_KIND_COUNT:
        break;
    }
    return TALUS_EINVAL;
}
