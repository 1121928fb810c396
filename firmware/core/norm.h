/* Block normalisation: NORM of NUMERICS section 1. Never shifts left. */
#ifndef NORM_H
#define NORM_H

#include <stdint.h>

#include "fixed.h"

/* Values in pairs: element i at at[(i / 2) * step + i % 2]; a plain row has step 2. An odd number
 * has a 0 behind it. */
typedef struct {
    int32_t *at;
    uint32_t step;
} norm_vector_t;

static inline int32_t *norm_element(norm_vector_t v, uint32_t i)
{
    return v.at + i / 2u * v.step + i % 2u;
}

/* 2|v| for v >= 0, 2|v| - 1 for v < 0: codes are ordered by magnitude, and of v and -v the positive
 * one is larger, as it is after rounding. Range: |v| < 2^31. */
static inline uint32_t norm_code(int32_t v)
{
    return (uint32_t)v << 1 ^ (uint32_t)fixed_floor(v, 31);
}

static inline int32_t norm_value(uint32_t code)
{
    const int32_t magnitude = (int32_t)((code >> 1) + (code & 1u));
    return code & 1u ? -magnitude : magnitude;
}

/* Largest code of `pairs` pairs. */
uint32_t norm_largest(norm_vector_t v, uint32_t pairs);

/* The same where elements i with gates[i] = 0 are set to 0 first. */
uint32_t norm_largest_gated(norm_vector_t v, uint32_t pairs, const uint8_t *gates);

/* sh = max(0, blen(max|v|) - bits) from the largest code. */
static inline int32_t norm_shift(uint32_t code, int32_t bits)
{
    const int32_t excess = fixed_bits((code >> 1) + (code & 1u)) - bits;
    return excess > 0 ? excess : 0;
}

/* m = clamp(RN(v, sh), +-(2^bits - 1)): the clamp only meets the carry of a rounding up. */
static inline int32_t norm_mantissa(int32_t v, int32_t shift, int32_t bits)
{
    const int32_t limit = (1 << bits) - 1;
    return fixed_clamp(fixed_round(v, shift), -limit, limit);
}

/* Mantissas of `pairs` pairs, a pair every `step` elements from `out` on: each pair is read before
 * its place is written. `code`: the largest; `shift`: from norm_shift(). Returns max|m|.
 * Not where vector.h does it. */
uint32_t norm_store(int16_t *out, uint32_t step, norm_vector_t v, uint32_t pairs, uint32_t code,
                    int32_t shift, int32_t bits);

#endif
