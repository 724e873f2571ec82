// SPDX-License-Identifier: MIT
// Metrics as Prometheus text, exposition format 0.0.4. A family (rows of one name, told apart by
// their labels) gets one HELP and one TYPE line, so its rows must stand together in the table.
#include "gateway/base/metrics.h"

#include <inttypes.h>
#include <string.h>

#include "gateway/base/log.h"

struct row {
    const char *type;
    const char *name; // with labels, if it has any
    const char *help;
};

#define GW_METRIC_ROW(identifier, type, name, help) {#type, name, help},
static const struct row ROWS[] = {GW_METRICS(GW_METRIC_ROW)};

static size_t family_size(const char *name)
{
    return strcspn(name, "{");
}

static bool is_same_family(const struct row *a, const struct row *b)
{
    size_t size = family_size(a->name);
    return size == family_size(b->name) && memcmp(a->name, b->name, size) == 0;
}

static int64_t sum(const struct gw_metrics *const *sets, unsigned count, int metric)
{
    int64_t total = 0;
    for (unsigned i = 0; i < count; i++)
        total += atomic_load_explicit(&sets[i]->values[metric], memory_order_relaxed);
    return total;
}

static bool encode_row(struct tl_buffer *out, const struct row *row, bool is_first, int64_t value)
{
    int family = (int)family_size(row->name);
    if (is_first && !tl_buffer_append_format(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", family,
                                             row->name, row->help, family, row->name, row->type))
        return false;
    return tl_buffer_append_format(out, "%s %" PRId64 "\n", row->name, value);
}

void gw_metrics_drop(struct gw_metrics *metrics, enum gw_metric reason, const char *client,
                     uint64_t count)
{
    if (count == 0)
        return;
    gw_metric_add(metrics, reason, (int64_t)count);
    const char *label = strchr(ROWS[reason].name, '"') + 1;
    gw_log(GW_LOG_INFO, "deliveries", "dropped client=%s reason=%.*s copies=%" PRIu64,
           client ? client : "unknown", (int)strcspn(label, "\""), label, count);
}

bool gw_metrics_encode(struct tl_buffer *out, const struct gw_metrics *const *sets, unsigned count)
{
    size_t before = out->size;
    for (int i = 0; i < GW_METRIC_COUNT; i++) {
        bool is_first = i == 0 || !is_same_family(&ROWS[i - 1], &ROWS[i]);
        if (!encode_row(out, &ROWS[i], is_first, sum(sets, count, i))) {
            tl_buffer_truncate(out, before);
            return false;
        }
    }
    return true;
}

bool gw_metrics_encode_workers(struct tl_buffer *out, const struct gw_metrics *const *sets,
                               unsigned count)
{
#define WORKER_ROW(identifier, type, name, help) {GW_##identifier, {#type, name, help}},
    static const struct {
        enum gw_metric metric;
        struct row row;
    } rows[] = {GW_WORKER_METRICS(WORKER_ROW)};
#undef WORKER_ROW
    size_t before = out->size;
    bool is_whole = true;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i].row;
        is_whole = is_whole && tl_buffer_append_format(out, "# HELP %s %s\n# TYPE %s %s\n",
                                                       row->name, row->help, row->name, row->type);
        for (unsigned worker = 0; is_whole && worker < count; worker++)
            is_whole = tl_buffer_append_format(out, "%s{worker=\"%u\"} %" PRId64 "\n", row->name,
                                               worker, sum(&sets[worker], 1, (int)rows[i].metric));
    }
    if (!is_whole)
        tl_buffer_truncate(out, before);
    return is_whole;
}
