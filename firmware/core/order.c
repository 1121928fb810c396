#include "order.h"

#include "fixed.h"
#include "random.h"

#define ROUNDS 4u

/* h = ceil(max(2, blen(N - 1)) / 2), 1..16. Cycle walking: the network permutes 2^(2h) < 8 N values,
 * and the walk starts below N, so it comes back below N after fewer than 2^(2h) walks (a few on
 * average). key_r = mix32(seed + 0x9E3779B9 (4 epoch + r + 1)). */
uint32_t order_at(uint32_t samples, uint32_t epoch, uint32_t seed, uint32_t place)
{
    const uint32_t bits = (uint32_t)fixed_bits((samples - 1u) | 2u);
    const uint32_t half = (bits + 1u) / 2u;
    const uint32_t mask = (1u << half) - 1u;
    do {
        uint32_t left = place >> half;
        uint32_t right = place & mask;
        for (uint32_t round = 1; round <= ROUNDS; round++) {
            const uint32_t key = random_mix32(seed + 0x9E3779B9u * (ROUNDS * epoch + round));
            const uint32_t next = left ^ (random_mix32(right + key) & mask);
            left = right;
            right = next;
        }
        place = left << half | right;
    } while (place >= samples);
    return place;
}
