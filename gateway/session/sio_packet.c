// SPDX-License-Identifier: MIT
// Packets: encoded as WebSocket frames in chunks, and sent to a client. Below rooms, sockets and
// acknowledgements, and knows nothing of what a room has pending.

#include "gateway/protocol/sio_frames.h"
#include "gateway/session/sio_internal.h"

#define SCRATCH_KEEP (64u << 10) // bytes of memory that the scratch buffer keeps between packets

// What a client's parser takes for malformed would cost the client its connection.
static bool is_wellformed(enum sio_type type, const json_t *data, unsigned attachment_count)
{
    switch (type) {
    case SIO_EVENT:
    case SIO_BINARY_EVENT:
        return json_is_array(data) && sio_is_event_name(json_array_get(data, 0)) &&
               attachment_count <= SIO_MAX_ATTACHMENTS;
    case SIO_ACK:
    case SIO_BINARY_ACK:
        return json_is_array(data) && attachment_count <= SIO_MAX_ATTACHMENTS;
    default:
        return true;
    }
}

struct chunk *sio__encode(struct sio_server *server, enum sio_type type, const char *nsp,
                          int64_t id, const json_t *data, const struct sio_attachment *attachments,
                          unsigned attachment_count)
{
    struct tl_buffer *out = &server->scratch;
    tl_buffer_clear(out);
    struct chunk *chunk = NULL;
    if (is_wellformed(type, data, attachment_count) &&
        sio_frames_encode(out, type, nsp, id, data, attachments, attachment_count))
        chunk = chunk_copy(out->bytes, out->size);
    if (out->capacity > SCRATCH_KEEP)
        tl_buffer_fini(out);
    return chunk;
}

bool sio__send_chunk(struct eio_session *session, struct chunk *chunk)
{
    return eio_session_send(session, &(struct range){chunk, 0, chunk->size, chunk->copies});
}

bool sio__client_send(struct sio_client *client, enum sio_type type, const char *nsp,
                      const json_t *data)
{
    struct chunk *chunk = sio__encode(client->server, type, nsp, SIO_NO_ID, data, NULL, 0);
    if (!chunk)
        return false;
    bool is_sent = sio__send_chunk(client->session, chunk);
    chunk_unref(chunk);
    if (is_sent)
        gw_metric_add(client->server->metrics, GW_SIO_PACKETS_OUT, 1);
    return is_sent;
}
