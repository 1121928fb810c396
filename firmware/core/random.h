/* Randomness of the rounding: a 32-bit LCG with exact jump-ahead, and a mixer.
 * NUMERICS section 1. Everything is unsigned modulo 2^32. */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdint.h>

#define RANDOM_MULTIPLIER 1664525u
#define RANDOM_INCREMENT 1013904223u

/* draw: advances the state and returns it. */
static inline uint32_t random_draw(uint32_t *state)
{
    *state = *state * RANDOM_MULTIPLIER + RANDOM_INCREMENT;
    return *state;
}

/* The state `draws` draws after `state`: the affine map applied by repeated squaring. */
static inline uint32_t random_ahead(uint32_t state, uint32_t draws)
{
    uint32_t multiplier = RANDOM_MULTIPLIER;
    uint32_t increment = RANDOM_INCREMENT;
    for (; draws != 0; draws >>= 1) {
        if (draws & 1u) {
            state = state * multiplier + increment;
        }
        increment = increment * (multiplier + 1u);
        multiplier = multiplier * multiplier;
    }
    return state;
}

/* mix32: a bijection whose every output bit depends on every input bit. */
static inline uint32_t random_mix32(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x85EBCA6Bu;
    x ^= x >> 13;
    x *= 0xC2B2AE35u;
    x ^= x >> 16;
    return x;
}

#endif
