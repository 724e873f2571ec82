// SPDX-License-Identifier: MIT
// Which request goes where: Socket.IO, health, metrics, the page; and those of a session that lives
// on another worker, to that one.
#ifndef TALUS_GATEWAY_MAIN_ROUTER_H
#define TALUS_GATEWAY_MAIN_ROUTER_H

#include "gateway/base/metrics.h"
#include "gateway/session/sio_server.h"
#include "gateway/transport/cors.h"
#include "gateway/transport/static_files.h"

struct router {
    const char *path; // of the Socket.IO endpoint, with slashes on both ends
    const struct cors *cors;
    struct sio_server *sio;
    const struct static_files *page;    // NULL: none
    unsigned worker;                    // whose router this is
    struct http_server *const *workers; // servers of all workers
    unsigned worker_count;
    const struct gw_metrics *const *metrics; // of all workers, then of the bus thread
};

// For http_server_new and its options: `arg` is a struct router.
void router_handle_head(struct http_exchange *exchange, const struct http_request *request,
                        void *arg);
void router_handle(struct http_exchange *exchange, const struct http_request *request, void *arg);

#endif
