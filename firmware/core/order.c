#include "order.h"

#include "fixed.h"
#include "random.h"

/* h = ceil(max(2, blen(N - 1)) / 2), at most 16. */
void order_begin(order_t *order, uint32_t samples, uint32_t epoch, uint32_t seed)
{
    const int32_t bits = fixed_bits(samples - 1);
    order->samples = samples;
    order->half_bits = bits < 2 ? 1u : ((uint32_t)bits + 1u) / 2u;
    order->mask = (1u << order->half_bits) - 1u;
    for (uint32_t round = 0; round < 4; round++) {
        order->keys[round] = random_mix32(seed + 0x9E3779B9u * (4u * epoch + round + 1u));
    }
}

/* Cycle walking: the network permutes 2^(2h) < 8 N values, and the walk starts below N, so it
 * comes back below N after fewer than 2^(2h) rounds (a few on average). */
uint32_t order_at(const order_t *order, uint32_t place)
{
    uint32_t i = place;
    do {
        uint32_t left = i >> order->half_bits;
        uint32_t right = i & order->mask;
        for (uint32_t round = 0; round < 4; round++) {
            const uint32_t mixed = random_mix32(right + order->keys[round]) & order->mask;
            const uint32_t next = left ^ mixed;
            left = right;
            right = next;
        }
        i = left << order->half_bits | right;
    } while (i >= order->samples);
    return i;
}
