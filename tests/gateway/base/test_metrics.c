// SPDX-License-Identifier: MIT
// Metrics: sums over sets, and the shape of the text (exposition format 0.0.4), checked line by
// line for the whole table.
#include "gateway/base/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/common/cmocka_all.h"

static char *encode(const struct gw_metrics *const *sets, unsigned count)
{
    struct tl_buffer out;
    size_t size;
    tl_buffer_init(&out, 1 << 20);
    assert_true(gw_metrics_encode(&out, sets, count));
    assert_true(tl_buffer_append(&out, "", 1));
    return (char *)tl_buffer_take(&out, &size);
}

static void test_metrics_are_summed_over_sets(void **state)
{
    (void)state;
    static struct gw_metrics one;
    static struct gw_metrics other;
    const struct gw_metrics *const sets[] = {&one, &other};
    gw_metric_add(&one, GW_HTTP_REQUESTS, 5);
    gw_metric_add(&other, GW_HTTP_REQUESTS, 7);
    gw_metric_add(&one, GW_CONNECTIONS, 3);
    gw_metric_add(&one, GW_CONNECTIONS, -2);
    gw_metric_set(&other, GW_ROOMS, 1000000000000);
    char *text = encode(sets, 2);
    assert_non_null(strstr(text, "\ntalus_http_requests_total 12\n"));
    assert_non_null(strstr(text, "\ntalus_connections 1\n"));
    assert_non_null(strstr(text, "\ntalus_rooms 1000000000000\n"));
    assert_non_null(strstr(text, "\ntalus_http_errors_total 0\n"));
    free(text);
}

static void test_metrics_of_each_worker(void **state)
{
    (void)state;
    static struct gw_metrics one;
    static struct gw_metrics other;
    const struct gw_metrics *const sets[] = {&one, &other};
    struct tl_buffer out;
    gw_metric_add(&one, GW_EIO_SESSIONS, 5);
    gw_metric_add(&other, GW_EIO_SESSIONS, 7);
    tl_buffer_init(&out, 1 << 20);
    assert_true(gw_metrics_encode_workers(&out, sets, 2));
    assert_true(tl_buffer_append(&out, "", 1));
    assert_non_null(strstr((char *)out.bytes, "\n# TYPE talus_worker_clients gauge\n"
                                              "talus_worker_clients{worker=\"0\"} 5\n"
                                              "talus_worker_clients{worker=\"1\"} 7\n"));
    tl_buffer_fini(&out);
    for (size_t max = 0; max < 200; max++) { // nothing, if not all
        tl_buffer_init(&out, max);
        assert_false(gw_metrics_encode_workers(&out, sets, 2));
        assert_int_equal(out.size, 0);
        tl_buffer_fini(&out);
    }
}

// One line's part in the text: HELP, TYPE of the same family, then its samples.
static void check_line(const char *line, char family[128], bool *has_type, int *samples)
{
    char name[128];
    char type[16];
    int64_t value;
    if (sscanf(line, "# HELP %127s", name) == 1) {
        assert_true(strlen(line) > strlen("# HELP ") + strlen(name) + 1);
        assert_string_not_equal(name, family);
        strcpy(family, name);
        *has_type = false;
    } else if (sscanf(line, "# TYPE %127s %15s", name, type) == 2) {
        assert_string_equal(name, family);
        assert_true(strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0);
        // By convention counters, and only they, end in _total.
        size_t size = strlen(name);
        bool is_total = size > 6 && strcmp(name + size - 6, "_total") == 0;
        assert_int_equal(is_total, strcmp(type, "counter") == 0);
        *has_type = true;
    } else {
        assert_int_equal(sscanf(line, "%127s %" SCNd64, name, &value), 2);
        assert_true(*has_type);
        size_t size = strlen(family);
        assert_memory_equal(name, family, size);
        assert_true(name[size] == '\0' || name[size] == '{');
        (*samples)++;
    }
}

static void test_metrics_text_has_the_standard_shape(void **state)
{
    (void)state;
    static struct gw_metrics set;
    const struct gw_metrics *const sets[] = {&set};
    char family[128] = "";
    bool has_type = false;
    int samples = 0;
    char *text = encode(sets, 1);
    char *next = text;
    while (*next) {
        char *end = strchr(next, '\n');
        assert_non_null(end);
        *end = '\0';
        check_line(next, family, &has_type, &samples);
        next = end + 1;
    }
    assert_int_equal(samples, GW_METRIC_COUNT);
    free(text);
}

static void test_metrics_leave_a_buffer_alone_that_is_too_small(void **state)
{
    (void)state;
    static struct gw_metrics set;
    const struct gw_metrics *const sets[] = {&set};
    struct tl_buffer out;
    tl_buffer_init(&out, 500);
    assert_true(tl_buffer_append_text(&out, "before"));
    assert_false(gw_metrics_encode(&out, sets, 1));
    assert_int_equal(out.size, 6);
    tl_buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics_are_summed_over_sets),
        cmocka_unit_test(test_metrics_of_each_worker),
        cmocka_unit_test(test_metrics_text_has_the_standard_shape),
        cmocka_unit_test(test_metrics_leave_a_buffer_alone_that_is_too_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
