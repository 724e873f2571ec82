// SPDX-License-Identifier: MIT
// The bench's checker tells loss, disorder and strays apart.
#include "tests/common/cmocka_all.h"

#include "clients/cli/bench/emitter.h"
#include "clients/cli/bench/order.h"

static void receive(order_t *order, uint64_t rooms, const uint64_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        order_receive(order, rooms, numbers[i]);
}

#define RECEIVE(order, rooms, ...)                                                                 \
    receive(order, rooms, (const uint64_t[]){__VA_ARGS__},                                         \
            sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void expect(const order_t *order, uint64_t received, uint64_t lost, uint64_t misplaced)
{
    assert_int_equal(order->received, received);
    assert_int_equal(order->lost, lost);
    assert_int_equal(order->misplaced, misplaced);
}

static void test_order_of_one_room(void **state)
{
    order_t order;
    (void)state;
    order_init(&order, 0);
    RECEIVE(&order, 1, 1, 2, 3, 4);
    order_end(&order, 1, 4);
    expect(&order, 4, 0, 0);
}

static void test_order_of_several_rooms(void **state)
{
    order_t order;
    (void)state;
    order_init(&order, 2);
    RECEIVE(&order, 5, 3, 8, 13);
    order_end(&order, 5, 17);
    expect(&order, 3, 0, 0);
    order_end(&order, 5, 18);
    expect(&order, 3, 1, 0);
}

static void test_order_tells_a_hole(void **state)
{
    order_t order;
    (void)state;
    order_init(&order, 1);
    RECEIVE(&order, 3, 2, 5, 14);
    expect(&order, 3, 2, 0);
    order_end(&order, 3, 14);
    expect(&order, 3, 2, 0);
}

static void test_order_tells_what_is_missing_at_both_ends(void **state)
{
    order_t order;
    (void)state;
    order_init(&order, 0);
    RECEIVE(&order, 1, 3, 4);
    order_end(&order, 1, 6);
    expect(&order, 2, 4, 0);
}

static void test_order_tells_silence(void **state)
{
    order_t order;
    (void)state;
    order_init(&order, 7);
    order_end(&order, 8, 7);
    expect(&order, 0, 0, 0);
    order_end(&order, 8, 80);
    expect(&order, 0, 10, 0);
}

static void test_order_tells_disorder_and_repetition(void **state)
{
    order_t order;
    (void)state;
    order_init(&order, 0);
    RECEIVE(&order, 1, 1, 3, 2, 3, 4);
    order_end(&order, 1, 4);
    expect(&order, 5, 1, 2);
}

static void test_order_tells_events_of_another_room(void **state)
{
    order_t order;
    (void)state;
    order_init(&order, 0);
    RECEIVE(&order, 4, 1, 6, 5);
    order_end(&order, 4, 6);
    expect(&order, 3, 0, 1);
}

// What the emitter waits for is what the clients expect.
static void test_order_agrees_with_the_deliveries_of_a_plan(void **state)
{
    const emitter_plan_t plan = {.rooms = 5, .clients = 13};
    (void)state;
    for (uint64_t emitted = 0; emitted < 30; emitted++) {
        uint64_t expected = 0;
        for (uint64_t client = 0; client < plan.clients; client++) {
            order_t order;
            order_init(&order, client % plan.rooms);
            order_end(&order, plan.rooms, emitted);
            expected += order.lost;
        }
        assert_int_equal(emitter_deliveries(&plan, emitted), expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_one_room),
        cmocka_unit_test(test_order_of_several_rooms),
        cmocka_unit_test(test_order_tells_a_hole),
        cmocka_unit_test(test_order_tells_what_is_missing_at_both_ends),
        cmocka_unit_test(test_order_tells_silence),
        cmocka_unit_test(test_order_tells_disorder_and_repetition),
        cmocka_unit_test(test_order_tells_events_of_another_room),
        cmocka_unit_test(test_order_agrees_with_the_deliveries_of_a_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
