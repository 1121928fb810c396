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

/* `draws` draws at once: an affine map of the state. */
typedef struct {
    uint32_t multiplier;
    uint32_t increment;
} random_jump_t;

static inline uint32_t random_leap(uint32_t state, random_jump_t jump)
{
    return state * jump.multiplier + jump.increment;
}

/* The map of `draws` draws, by repeated squaring. */
static inline random_jump_t random_jump(uint32_t draws)
{
    random_jump_t jump = {1u, 0u};
    random_jump_t power = {RANDOM_MULTIPLIER, RANDOM_INCREMENT};
    for (; draws != 0; draws >>= 1) {
        if (draws & 1u) {
            jump.multiplier *= power.multiplier;
            jump.increment = jump.increment * power.multiplier + power.increment;
        }
        power.increment *= power.multiplier + 1u;
        power.multiplier *= power.multiplier;
    }
    return jump;
}

/* The state `draws` draws after `state`. */
static inline uint32_t random_ahead(uint32_t state, uint32_t draws)
{
    return random_leap(state, random_jump(draws));
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
