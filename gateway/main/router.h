// SPDX-License-Identifier: MIT
// Which request goes where: Socket.IO, health, metrics, the page.
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
    const struct static_files *page; // NULL: none
    struct gw_metrics *metrics;      // of this loop
    const struct gw_metrics *const *all_metrics;
    unsigned metrics_count;
};

// For http_server_new and its options: `arg` is a struct router.
void router_handle_head(struct http_exchange *exchange, const struct http_request *request,
                        void *arg);
void router_handle(struct http_exchange *exchange, const struct http_request *request, void *arg);

#endif
