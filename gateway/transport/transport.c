// SPDX-License-Identifier: MIT
// What the transports have in common: the host, the tie to an owner, small packets.
#include "gateway/transport/transport.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/protocol/ws.h"

#define HEADERS_MAX ((size_t)32 << 10) // bytes; a preflight repeats what the request's head held
#define RANGE_COST  64                 // bytes a range of a queue costs beside its content

struct transport_goodbye {
    struct gw_deadline deadline;
    struct transport *transport;
};

void transport_host_init(struct transport_host *host)
{
    tl_list_init(&host->transports);
    gw_deadline_queue_init(&host->goodbyes, host->loop, TRANSPORT_GOODBYE_MS);
}

void transport_host_fini(struct transport_host *host)
{
    while (!tl_list_is_empty(&host->transports)) {
        struct transport *transport = TL_LIST_ENTRY(host->transports.next, struct transport, link);
        tl_list_remove(&transport->link);
        transport_stop_goodbye(transport);
        transport->events = NULL;
        transport->ops->abort(transport);
    }
    gw_deadline_queue_fini(&host->goodbyes);
}

bool transport_send(struct transport *transport, enum eio_type type, const char *text)
{
    uint8_t frame[WS_HEADER_MAX + 1 + TRANSPORT_PACKET_MAX + 1];
    size_t text_size = strlen(text);
    assert(text_size <= TRANSPORT_PACKET_MAX);
    size_t size = ws_encode_header(frame, WS_TEXT, 1 + text_size);
    frame[size++] = (uint8_t)type;
    memcpy(frame + size, text, text_size + 1); // the NUL is not sent
    if (!outq_append_copy(transport->ops->queue(transport), frame, size + text_size))
        return false;
    transport->ops->flush(transport);
    return true;
}

size_t transport_queue_cost(const struct outq *queue)
{
    return queue->bytes + (size_t)queue->more_count * RANGE_COST;
}

void transport_init(struct transport *transport, const struct transport_ops *ops,
                    struct transport_host *host, const struct transport_events *events, void *owner)
{
    transport->ops = ops;
    transport->events = events;
    transport->owner = owner;
    transport->host = host;
    tl_list_append(&host->transports, &transport->link);
    transport->goodbye = NULL;
}

void transport_fini(struct transport *transport)
{
    tl_list_remove(&transport->link);
    transport_stop_goodbye(transport);
}

static void on_goodbye_over(struct gw_deadline *deadline)
{
    struct transport *transport =
        TL_LIST_ENTRY(deadline, struct transport_goodbye, deadline)->transport;
    transport_stop_goodbye(transport);
    transport->ops->expire(transport);
}

bool transport_start_goodbye(struct transport *transport)
{
    if (!transport->goodbye) {
        transport->goodbye = malloc(sizeof *transport->goodbye);
        if (!transport->goodbye) {
            transport->ops->expire(transport);
            return false;
        }
        gw_deadline_init(&transport->goodbye->deadline, on_goodbye_over);
        transport->goodbye->transport = transport;
    }
    gw_deadline_start(&transport->host->goodbyes, &transport->goodbye->deadline);
    return true;
}

void transport_stop_goodbye(struct transport *transport)
{
    if (!transport->goodbye)
        return;
    gw_deadline_stop(&transport->goodbye->deadline);
    free(transport->goodbye);
    transport->goodbye = NULL;
}

void transport_end(struct transport *transport, enum transport_end end)
{
    const struct transport_events *events = transport->events;
    transport->events = NULL;
    if (events)
        events->on_end(transport, transport->owner, end);
}

char *transport_headers(const struct transport_host *host, const struct http_request *request,
                        const char *lines)
{
    struct tl_buffer headers;
    size_t size;
    tl_buffer_init(&headers, HEADERS_MAX);
    if (tl_buffer_append_text(&headers, lines) &&
        cors_append_headers(host->cors, request, &headers) && tl_buffer_append(&headers, "", 1))
        return (char *)tl_buffer_take(&headers, &size);
    tl_buffer_fini(&headers);
    return NULL;
}
