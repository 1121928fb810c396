/* Block normalisation: NORM of NUMERICS section 1. Never shifts left. */
#ifndef NORM_H
#define NORM_H

#include <stdint.h>

#include "fixed.h"

/* sh = max(0, blen(max|v|) - bits). */
static inline int32_t norm_shift(const int32_t *v, uint32_t count, int32_t bits)
{
    uint32_t largest = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t magnitude = fixed_abs(v[i]);
        largest = magnitude > largest ? magnitude : largest;
    }
    const int32_t excess = fixed_bits(largest) - bits;
    return excess > 0 ? excess : 0;
}

/* m = clamp(RN(v, sh), +-(2^bits - 1)): the clamp only meets the carry of a rounding up. */
static inline int32_t norm_mantissa(int32_t v, int32_t shift, int32_t bits)
{
    const int32_t limit = (1 << bits) - 1;
    return fixed_clamp(fixed_round(v, shift), -limit, limit);
}

#endif
