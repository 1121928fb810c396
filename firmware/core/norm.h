/* Block normalisation: NORM of NUMERICS section 1. Never shifts left. */
#ifndef NORM_H
#define NORM_H

#include <stdint.h>

#include "fixed.h"
#include "vector.h"

/* Values in pairs: element i at at[(i / 2) * step + i % 2]; a plain row has step 2. */
typedef struct {
    int32_t *at;
    uint32_t step;
} norm_vector_t;

static inline int32_t *norm_element(norm_vector_t v, uint32_t i)
{
    return v.at + i / 2u * v.step + i % 2u;
}

/* sh = max(0, blen(max|v|) - bits): the magnitudes or-ed have as many bits as the largest. An
 * unpaired last value has a 0 beside it. */
static inline int32_t norm_shift(norm_vector_t v, uint32_t pairs, int32_t bits)
{
#ifdef VECTOR
    const uint32_t magnitudes = vector_largest(v.at, v.step, pairs);
#else
    uint32_t magnitudes = 0;
    for (; pairs > 0; pairs--, v.at += v.step) {
        const int32_t even = v.at[0], odd = v.at[1];
        magnitudes |= fixed_abs(even);
        magnitudes |= fixed_abs(odd);
    }
#endif
    const int32_t excess = fixed_bits(magnitudes) - bits;
    return excess > 0 ? excess : 0;
}

/* m = clamp(RN(v, sh), +-(2^bits - 1)): the clamp only meets the carry of a rounding up. */
static inline int32_t norm_mantissa(int32_t v, int32_t shift, int32_t bits)
{
    const int32_t limit = (1 << bits) - 1;
    return fixed_clamp(fixed_round(v, shift), -limit, limit);
}

#endif
