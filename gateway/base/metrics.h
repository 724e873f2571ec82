// SPDX-License-Identifier: MIT
// Counters and gauges, in one table, shown at /metrics as Prometheus text.
// Each loop (and the bus thread) has a set of its own that it alone writes; readers add them up.
#ifndef TALUS_GATEWAY_BASE_METRICS_H
#define TALUS_GATEWAY_BASE_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"

#define GW_SINCE_INCOMPLETE(reason) "talus_since_incomplete_total{reason=\"" reason "\"}"
#define GW_DROPPED(reason)          "talus_deliveries_dropped_total{reason=\"" reason "\"}"

// X(identifier, type, "name{labels}", "help"): rows of one name stand together, and the first one's
// help is that of all. Of deliveries, once nothing is under way and no client is suspended:
// published = delivered + recovered + the sum of dropped. See docs/gateway.md.
#define GW_METRICS(X)                                                                              \
    X(CONNECTIONS, gauge, "talus_connections", "Open TCP and Unix connections")                    \
    X(CONNECTIONS_TOTAL, counter, "talus_connections_total", "Connections accepted")               \
    X(ACCEPT_FAILED, counter, "talus_accept_failed_total", "Connections that were not accepted")   \
    X(HTTP_REQUESTS, counter, "talus_http_requests_total", "HTTP requests read")                   \
    X(HTTP_ERRORS, counter, "talus_http_errors_total", "HTTP requests answered with 4xx or 5xx")   \
    X(HTTP_MALFORMED, counter, "talus_http_malformed_total", "Requests that are not valid HTTP")   \
    X(HTTP_REFUSED_ORIGIN, counter, "talus_http_refused_origin_total",                             \
      "Requests refused because pages of their origin may not connect")                            \
    X(HTTP_RELAYED, counter, "talus_http_relayed_total", "Requests that another worker answered")  \
    X(HTTP_HANDED_OVER, counter, "talus_http_handed_over_total",                                   \
      "Connections that went to another worker with their upgrade")                                \
    X(EIO_SESSIONS, gauge, "talus_engine_sessions", "Open Engine.IO sessions")                     \
    X(EIO_SESSIONS_TOTAL, counter, "talus_engine_sessions_total", "Engine.IO sessions opened")     \
    X(EIO_UPGRADES, counter, "talus_engine_upgrades_total", "Upgrades from polling to WebSocket")  \
    X(EIO_PING_TIMEOUTS, counter, "talus_engine_ping_timeouts_total",                              \
      "Sessions closed because a pong did not come in time")                                       \
    X(EIO_PARSE_ERRORS, counter, "talus_engine_parse_errors_total", "Malformed Engine.IO packets") \
    X(WS_ERRORS, counter, "talus_websocket_errors_total", "WebSocket protocol errors of clients")  \
    X(SIO_SOCKETS, gauge, "talus_sockets", "Connected Socket.IO sockets")                          \
    X(SIO_SOCKETS_TOTAL, counter, "talus_sockets_total", "Socket.IO sockets connected")            \
    X(SIO_PARSE_ERRORS, counter, "talus_socket_parse_errors_total", "Malformed Socket.IO packets") \
    X(SIO_PACKETS_IN, counter, "talus_socket_packets_received_total",                              \
      "Socket.IO packets received")                                                                \
    X(SIO_PACKETS_OUT, counter, "talus_socket_packets_sent_total", "Socket.IO packets queued")     \
    X(SLOW_CLIENTS, counter, "talus_slow_clients_total", "Clients closed for reading too slowly")  \
    X(CLIENT_ERRORS, counter, "talus_client_errors_total",                                         \
      "Requests answered with an error event")                                                     \
    X(ROOMS, gauge, "talus_rooms", "Rooms that have members")                                      \
    X(PUBLISHED, counter, "talus_deliveries_published_total",                                      \
      "Copies of events that were due to clients")                                                 \
    X(DELIVERED, counter, "talus_deliveries_delivered_total",                                      \
      "Copies of events that were written to clients")                                             \
    X(RECOVERED_COPIES, counter, "talus_deliveries_recovered_total",                               \
      "Copies written to clients that were recovered, or joined with since")                       \
    X(RESENT, counter, "talus_deliveries_resent_total",                                            \
      "Copies written a second time because the client had not received them")                     \
    X(DROPPED_CLOSE, counter, GW_DROPPED("transport_close"),                                       \
      "Copies of events that never reached their client")                                          \
    X(DROPPED_ERROR, counter, GW_DROPPED("transport_error"), "")                                   \
    X(DROPPED_PING_TIMEOUT, counter, GW_DROPPED("ping_timeout"), "")                               \
    X(DROPPED_DISCONNECT, counter, GW_DROPPED("disconnect"), "")                                   \
    X(DROPPED_FORCED_CLOSE, counter, GW_DROPPED("forced_close"), "")                               \
    X(DROPPED_BACKLOG, counter, GW_DROPPED("backlog"), "")                                         \
    X(DROPPED_LEFT, counter, GW_DROPPED("left"), "")                                               \
    X(DROPPED_NOT_RECOVERED, counter, GW_DROPPED("not_recovered"), "")                             \
    X(DROPPED_SHUTDOWN, counter, GW_DROPPED("shutdown"), "")                                       \
    X(DROPPED_MEMORY, counter, GW_DROPPED("memory"), "")                                           \
    X(BUS_EVENTS, counter, "talus_bus_events_total", "Events received from the bus")               \
    X(BUS_HOLES, counter, "talus_bus_holes_total", "Times that bus events were found missing")     \
    X(BUS_HEALED, counter, "talus_bus_healed_total", "Missing bus events that a replay brought")   \
    X(BUS_GAPS, counter, "talus_bus_gaps_total",                                                   \
      "Gaps reported to rooms, or kept for suspended clients")                                     \
    X(BUS_DUPLICATES, counter, "talus_bus_duplicates_total", "Bus events received a second time")  \
    X(BUS_RECEIVE_DROPPED, counter, "talus_bus_receive_dropped_total",                             \
      "Bus messages dropped because too many waited; they are requested again")                    \
    X(BUS_DIRECTORY_OVERFLOWS, counter, "talus_bus_directory_overflows_total",                     \
      "Times that the bus directory changed too fast; all sessions got a gap")                     \
    X(BUS_MALFORMED, counter, "talus_bus_malformed_total",                                         \
      "Bus messages that are not valid events")                                                    \
    X(BUS_OVER_BOUNDS, counter, "talus_bus_over_bounds_total",                                     \
      "Bus events that are too large, too deep or have too many binary values")                    \
    X(BUS_REFUSED, counter, "talus_bus_refused_total",                                             \
      "Bus events that clients were sent a gap for, or were closed for")                           \
    X(BUS_HELD_UP, counter, "talus_bus_held_up_total",                                             \
      "Times that receiving from the bus waited for a worker to catch up")                         \
    X(BUS_PRESENCE_LOST, counter, "talus_bus_presence_lost_total",                                 \
      "Presence events that were not published")                                                   \
    X(SUSPENDED, gauge, "talus_departed_clients",                                                  \
      "Suspended clients, which can still be recovered")                                           \
    X(RECOVERED, counter, "talus_recovered_total", "Clients whose connection state was recovered") \
    X(NOT_RECOVERED, counter, "talus_not_recovered_total",                                         \
      "Clients that asked for recovery and had to start anew")                                     \
    X(TAKEN_OVER, counter, "talus_taken_over_total",                                               \
      "Clients recovered while their old connection was still open; it was closed")                \
    X(RECOVERY_BYTES, gauge, "talus_recovery_log_bytes",                                           \
      "Bytes of events kept for connection recovery")                                              \
    X(BUS_SESSIONS, gauge, "talus_bus_sessions", "Sessions subscribed to on the bus")              \
    X(BUS_JOIN_INCOMPLETE, counter, "talus_bus_join_incomplete_total",                             \
      "Joins that went live before every broadcaster had answered")                                \
    X(SINCE_UNPROVEN, counter, GW_SINCE_INCOMPLETE("unproven"),                                    \
      "Joins with since that were answered with a gap")                                            \
    X(SINCE_HISTORY, counter, GW_SINCE_INCOMPLETE("history"), "")                                  \
    X(SINCE_NO_ANSWER, counter, GW_SINCE_INCOMPLETE("no_answer"), "")                              \
    X(SINCE_TOO_MUCH, counter, GW_SINCE_INCOMPLETE("too_much"), "")                                \
    X(SINCE_STREAM_TIMEOUT, counter, GW_SINCE_INCOMPLETE("stream_timeout"), "")                    \
    X(SINCE_QUEUE_TIMEOUT, counter, GW_SINCE_INCOMPLETE("queue_timeout"), "")                      \
    X(SINCE_QUEUE_FULL, counter, GW_SINCE_INCOMPLETE("queue_full"), "")

// Those that are also shown of each worker: X(identifier, type, "name", "help").
#define GW_WORKER_METRICS(X)                                                                       \
    X(CONNECTIONS, gauge, "talus_worker_connections", "Open connections of one worker")            \
    X(EIO_SESSIONS, gauge, "talus_worker_clients", "Engine.IO sessions of one worker")             \
    X(DELIVERED, counter, "talus_worker_deliveries_total", "Copies of events written by one worker")

#define GW_METRIC_ENUM(identifier, type, name, help) GW_##identifier,
enum gw_metric { GW_METRICS(GW_METRIC_ENUM) GW_METRIC_COUNT };
#undef GW_METRIC_ENUM

struct gw_metrics {
    _Atomic int64_t values[GW_METRIC_COUNT];
};

// One writer a set: a load and a store, no locked instruction.
static inline void gw_metric_add(struct gw_metrics *metrics, enum gw_metric metric, int64_t amount)
{
    int64_t now = atomic_load_explicit(&metrics->values[metric], memory_order_relaxed);
    atomic_store_explicit(&metrics->values[metric], now + amount, memory_order_relaxed);
}

static inline void gw_metric_set(struct gw_metrics *metrics, enum gw_metric metric, int64_t value)
{
    atomic_store_explicit(&metrics->values[metric], value, memory_order_relaxed);
}

// Counts copies of a client (its id, NULL: not known here) as dropped for the reason that a
// DROPPED_ metric is for, and logs that. Nothing for a count of 0.
void gw_metrics_drop(struct gw_metrics *metrics, enum gw_metric reason, const char *client,
                     uint64_t count);

// Appends the sum of `count` sets as Prometheus text. False: the buffer's bound is met.
bool gw_metrics_encode(struct tl_buffer *out, const struct gw_metrics *const *sets, unsigned count);
// Appends what is shown of each worker, whose sets these are, labelled worker="INDEX". False: as
// above.
bool gw_metrics_encode_workers(struct tl_buffer *out, const struct gw_metrics *const *sets,
                               unsigned count);

#endif
