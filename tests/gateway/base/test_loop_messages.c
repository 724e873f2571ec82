// SPDX-License-Identifier: MIT
// Loop messages of many threads arrive once and in each thread's order, wakes a loop that
// waits, and is dropped, not lost, with a loop that ends first.
#include "gateway/base/loop.h"

#include <pthread.h>
#include <stdlib.h>

#include "tests/common/cmocka_all.h"

enum { THREADS = 8, MESSAGES = 2000 };

struct numbered {
    struct gw_loop_message message;
    int thread;
    int number;
};

struct post_office {
    struct gw_loop *loop;
    int next[THREADS]; // what must come next from each
    int delivered;
    int dropped;
    int misordered;
};

static struct post_office office;

static int setup(void **state)
{
    (void)state;
    office = (struct post_office){.loop = gw_loop_new()};
    return office.loop ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    gw_loop_destroy(&office.loop);
    return 0;
}

static void deliver(struct gw_loop_message *message)
{
    struct numbered *numbered = TL_LIST_ENTRY(message, struct numbered, message);
    office.misordered += numbered->number != office.next[numbered->thread];
    office.next[numbered->thread] = numbered->number + 1;
    if (++office.delivered == THREADS * MESSAGES)
        gw_loop_stop(office.loop);
    free(numbered);
}

static void drop(struct gw_loop_message *message)
{
    office.dropped++;
    free(TL_LIST_ENTRY(message, struct numbered, message));
}

static void post(int thread, int number)
{
    struct numbered *numbered = malloc(sizeof *numbered);
    if (!numbered)
        abort();
    *numbered = (struct numbered){
        .message = {.deliver = deliver, .drop = drop}, .thread = thread, .number = number};
    gw_loop_post(office.loop, &numbered->message);
}

static void *post_all(void *arg)
{
    int thread = *(int *)arg;
    for (int i = 0; i < MESSAGES; i++)
        post(thread, i);
    return NULL;
}

static void test_message_of_many_threads_arrives_once_and_in_order(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    int numbers[THREADS];
    gw_loop_expect_messages(office.loop, true);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, post_all, &numbers[i]), 0);
    }
    gw_loop_run(office.loop);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(office.delivered, THREADS * MESSAGES);
    assert_int_equal(office.misordered, 0);
    assert_int_equal(office.dropped, 0);
}

// One message after the other, each posted when the one before it was delivered: every one of them
// has to wake the loop.
struct ping_pong {
    struct gw_loop_message message;
    struct gw_loop *loops[2];
    int at; // the loop that has it
    int rounds;
};

static void bounce(struct gw_loop_message *message)
{
    struct ping_pong *game = TL_LIST_ENTRY(message, struct ping_pong, message);
    struct gw_loop *here = game->loops[game->at];
    if (game->rounds < 2)
        gw_loop_stop(here);
    if (game->rounds == 0)
        return;
    game->rounds--;
    game->at = !game->at;
    gw_loop_post(game->loops[game->at], message);
}

static void *run_loop(void *arg)
{
    gw_loop_run(arg);
    return NULL;
}

static void test_message_wakes_a_loop_that_waits(void **state)
{
    (void)state;
    struct gw_loop *other = gw_loop_new();
    assert_non_null(other);
    struct ping_pong game = {
        .message = {.deliver = bounce}, .loops = {office.loop, other}, .rounds = 5000};
    pthread_t thread;
    gw_loop_expect_messages(office.loop, true);
    gw_loop_expect_messages(other, true);
    assert_int_equal(pthread_create(&thread, NULL, run_loop, other), 0);
    gw_loop_post(office.loop, &game.message);
    gw_loop_run(office.loop);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(game.rounds, 0);
    gw_loop_destroy(&other);
}

static void test_message_posted_before_the_run_is_delivered(void **state)
{
    (void)state;
    post(0, 0);
    post(0, 1);
    post(1, 0);
    gw_loop_run(office.loop); // returns: no message is expected
    assert_int_equal(office.delivered, 3);
    assert_int_equal(office.misordered, 0);
}

static void post_again(struct gw_loop_message *message)
{
    (void)message;
    post(0, office.next[0]);
}

static void test_message_posted_by_a_message_arrives_in_the_next_turn(void **state)
{
    (void)state;
    struct gw_loop_message message = {.deliver = post_again};
    gw_loop_post(office.loop, &message);
    assert_true(gw_loop_turn(office.loop, true));
    assert_int_equal(office.delivered, 0);
    assert_false(gw_loop_turn(office.loop, true)); // does not wait
    assert_int_equal(office.delivered, 1);
}

static void test_message_in_the_box_at_the_end_is_dropped(void **state)
{
    (void)state;
    struct gw_loop_message of_the_poster = {.deliver = post_again}; // no drop: left alone
    post(0, 0);
    gw_loop_post(office.loop, &of_the_poster);
    post(0, 1);
    gw_loop_destroy(&office.loop);
    assert_int_equal(office.delivered, 0);
    assert_int_equal(office.dropped, 2);
}

int main(void)
{
#define MESSAGE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        MESSAGE_TEST(test_message_of_many_threads_arrives_once_and_in_order),
        MESSAGE_TEST(test_message_wakes_a_loop_that_waits),
        MESSAGE_TEST(test_message_posted_before_the_run_is_delivered),
        MESSAGE_TEST(test_message_posted_by_a_message_arrives_in_the_next_turn),
        MESSAGE_TEST(test_message_in_the_box_at_the_end_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
