/* Block normalisation: NORM of NUMERICS section 1. Never shifts left. */
#ifndef NORM_H
#define NORM_H

#include <stdint.h>

#include "fixed.h"

/* Values in pairs: element i at at[(i / 2) * step + i % 2]; a plain row has step 2. */
typedef struct {
    int32_t *at;
    uint32_t step;
} norm_vector_t;

static inline int32_t *norm_element(norm_vector_t v, uint32_t i)
{
    return v.at + i / 2u * v.step + i % 2u;
}

/* Smallest and largest of the values and 0. */
typedef struct {
    int32_t low, high;
} norm_range_t;

static inline norm_range_t norm_range(norm_vector_t v, uint32_t count)
{
    const int32_t *pair = v.at;
    norm_range_t range = {0, 0};
    for (uint32_t i = 0; i < count; i += 2u, pair += v.step) {
        const int32_t a = pair[0], b = i + 1u < count ? pair[1] : 0;
        range.high = a > range.high ? a : range.high;
        range.low = a < range.low ? a : range.low;
        range.high = b > range.high ? b : range.high;
        range.low = b < range.low ? b : range.low;
    }
    return range;
}

/* sh = max(0, blen(max|v|) - bits). */
static inline int32_t norm_shift(norm_range_t range, int32_t bits)
{
    const uint32_t low = fixed_abs(range.low), high = (uint32_t)range.high;
    const int32_t excess = fixed_bits(low > high ? low : high) - bits;
    return excess > 0 ? excess : 0;
}

/* m = clamp(RN(v, sh), +-(2^bits - 1)): the clamp only meets the carry of a rounding up. */
static inline int32_t norm_mantissa(int32_t v, int32_t shift, int32_t bits)
{
    const int32_t limit = (1 << bits) - 1;
    return fixed_clamp(fixed_round(v, shift), -limit, limit);
}

#endif
