// SPDX-License-Identifier: MIT
// Who comes and goes, told to the bus and to the clients of the session; and the posting of
// letters. Everything here runs on the bus thread.

#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/intake/internal.h"

#define FLUSH_MS 1000 // that presence waits for a full queue

static void drop_letter(struct gw_mail *mail)
{
    struct intake_letter *letter = LIST_ENTRY(mail, struct intake_letter, mail);
    intake_encoded_unref(letter->encoded);
    free(letter);
}

size_t intake__letter_size(const struct intake_letter *letter)
{
    return sizeof *letter + sizeof *letter->encoded + letter->encoded->size;
}

// There is no memory to say which clients: all of the worker's are to see for themselves.
static void post_lost(struct intake_worker *worker, const struct intake_encoded *encoded)
{
    gw_log(GW_LOG_ERROR, "intake",
           "out of memory for an event of session '%s': the clients of worker %u are closed",
           encoded->session, worker->index);
    gw_metric_add(&worker->intake->metrics, GW_BUS_REFUSED, 1);
    if (!atomic_exchange(&worker->is_lost, true))
        gw_loop_post(worker->loop, &worker->lost_mail);
}

void intake__post(struct intake *intake, const struct intake_session *session,
                  struct intake_encoded *encoded, const struct intake_worker *except)
{
    for (unsigned i = 0; i < intake->worker_count; i++) {
        if ((session && session->members[i] == 0) || &intake->workers[i] == except)
            continue;
        struct intake_letter *letter = malloc(sizeof *letter);
        if (!letter) {
            post_lost(&intake->workers[i], encoded);
            continue;
        }
        letter->mail.deliver = intake__on_letter;
        letter->mail.drop = drop_letter;
        letter->worker = &intake->workers[i];
        letter->encoded = encoded;
        intake_encoded_ref(encoded);
        atomic_fetch_add(&letter->worker->owed, intake__letter_size(letter));
        gw_loop_post(letter->worker->loop, &letter->mail);
    }
}

static int emit_presence(struct intake *intake, const char *type, const char *session,
                         const char *client)
{
    return strcmp(type, talus_type_session_connected) == 0
               ? talus_emit_session_connected(intake->broadcaster, session, client, NULL)
               : talus_emit_session_disconnected(intake->broadcaster, session, client, NULL);
}

static void tell_bus(struct intake *intake, const char *type, const char *session,
                     const char *client)
{
    int error = emit_presence(intake, type, session, client);
    // All clients of a large gateway may go at once. Sending waits for no subscriber, so the queue
    // is soon empty; if it once was not, nobody waits for it again until it takes something.
    if (error == TALUS_EQUEUEFULL && !intake->is_publishing_stuck &&
        talus_broadcaster_flush(intake->broadcaster, FLUSH_MS) == 0)
        error = emit_presence(intake, type, session, client);
    intake->is_publishing_stuck = error == TALUS_EQUEUEFULL;
    if (!error)
        return;
    gw_metric_add(&intake->metrics, GW_BUS_PRESENCE_LOST, 1);
    gw_log(GW_LOG_WARNING, "intake", "%s of client %s in session %s was not published: %s", type,
           client, session, talus_strerror(error));
}

void intake__presence(struct intake_session *session, const char *type, const char *client,
                      struct intake_request *carrier)
{
    struct intake *intake = session->intake;
    tell_bus(intake, type, session->name, client);
    // Telling each of N members of each of N joins costs the square; a limit spares large rooms
    // that.
    if (session->clients == 0 || session->clients > intake->options.presence_limit)
        return;
    struct intake_encoded *encoded = encoder_presence(intake->encoder, type, session->name, client);
    if (!encoded) {
        gw_log(GW_LOG_ERROR, "intake", "%s of client %s was not told: out of memory", type, client);
        return;
    }
    if (carrier) {
        carrier->presence = encoded;
        intake_encoded_ref(encoded);
    }
    intake__post(intake, session, encoded, carrier ? carrier->worker : NULL);
    intake_encoded_unref(encoded);
}

void intake__drop_request(struct gw_mail *mail)
{
    struct intake_request *request = LIST_ENTRY(mail, struct intake_request, mail);
    sio_ack_drop(request->ack);
    intake__free_request(request);
}

void intake__free_request(struct intake_request *request)
{
    if (request->presence)
        intake_encoded_unref(request->presence);
    intake_missed_fini(&request->missed);
    if (request->shared)
        chunk_unref(request->shared);
    free(request->departure);
    free(request);
}

void intake__tell_gone(struct intake *intake, const char *session, const char *client)
{
    struct intake_session *found = intake__find_session(intake, session);
    if (found)
        intake__presence(found, talus_type_session_disconnected, client, NULL);
    else
        tell_bus(intake, talus_type_session_disconnected, session, client);
}
