// SPDX-License-Identifier: MIT
#include "clients/cli/bench/order.h"

void order_init(order_t *order, uint64_t room)
{
    *order = (order_t){.next = room + 1};
}

bool order_receive(order_t *order, uint64_t rooms, uint64_t number)
{
    order->received++;
    if (number < order->next || (number - order->next) % rooms != 0) {
        order->misplaced++;
        return false;
    }
    order->lost += (number - order->next) / rooms;
    order->next = number + rooms;
    return true;
}

void order_end(order_t *order, uint64_t rooms, uint64_t emitted)
{
    if (emitted < order->next)
        return;
    uint64_t missing = (emitted - order->next) / rooms + 1;
    order->lost += missing;
    order->next += missing * rooms;
}
