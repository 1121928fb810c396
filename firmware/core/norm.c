#define SPEED_ALWAYS
#include "speed.h"
#include "norm.h"

#include <string.h>

#include "vector.h"

#ifdef VECTOR

uint32_t norm_largest(norm_vector_t v, uint32_t pairs)
{
    return 2u * vector_largest(v.at, v.step, pairs);
}

uint32_t norm_largest_gated(norm_vector_t v, uint32_t pairs, const uint8_t *gates)
{
    vector_clear(v.at, v.step, pairs, gates);
    return norm_largest(v, pairs);
}

#else

static inline uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* v, or 0 where the gate is 0. Told what a gate can be, the compiler compares it instead. */
static inline int32_t pass(int32_t v, uint8_t gate)
{
    int32_t opposite = -(int32_t)gate;
    __asm__("" : "+r"(opposite));
    return v & fixed_floor(opposite, 31);
}

uint32_t norm_largest(norm_vector_t v, uint32_t pairs)
{
    uint32_t largest = 0;
    for (; pairs > 0; pairs--, v.at += v.step) {
        const int32_t even = v.at[0], odd = v.at[1];
        largest = larger(larger(largest, norm_code(even)), norm_code(odd));
    }
    return largest;
}

uint32_t norm_largest_gated(norm_vector_t v, uint32_t pairs, const uint8_t *gates)
{
    uint32_t largest = 0;
    for (; pairs > 0; pairs--, v.at += v.step, gates += 2) {
        const int32_t even = pass(v.at[0], gates[0]);
        const int32_t odd = pass(v.at[1], gates[1]);
        v.at[0] = even;
        v.at[1] = odd;
        largest = larger(larger(largest, norm_code(even)), norm_code(odd));
    }
    return largest;
}

/* RN(v, shift) = (v + 2^(shift-1)) >> shift. Range: no mantissa needs a clamp, so no sum reaches
 * 2^31. */
static inline void store_rounded(int16_t *out, uint32_t step, norm_vector_t v, uint32_t pairs,
                                 uint32_t shift)
{
    const int32_t half = (int32_t)((1u << shift) >> 1);
    for (; pairs > 0; pairs--, v.at += v.step, out += step) {
        const int32_t even = fixed_floor(v.at[0] + half, shift);
        const int32_t odd = fixed_floor(v.at[1] + half, shift);
#ifdef __ARM_FEATURE_SIMD32
        const uint32_t pair = fixed_halves(even, odd);
        memcpy(out, &pair, sizeof pair);
#else
        out[0] = (int16_t)even;
        out[1] = (int16_t)odd;
#endif
    }
}

/* Of all values one with the largest code has the largest mantissa. Where that needs the clamp,
 * values beyond limit * 2^shift, which round to limit or more, are cut to it first.
 * Range: shift = blen(max|v|) - bits then, so limit * 2^shift < 2^31. */
uint32_t norm_store(int16_t *out, uint32_t step, norm_vector_t v, uint32_t pairs, uint32_t code,
                    int32_t shift, int32_t bits)
{
    const int32_t limit = (1 << bits) - 1, most = limit << shift;
    uint32_t largest = fixed_abs(fixed_round(norm_value(code), shift));
    if (largest > (uint32_t)limit) {
        largest = (uint32_t)limit;
        for (uint32_t i = 0; i < 2u * pairs; i++) {
            int32_t *e = norm_element(v, i);
            *e = fixed_clamp(*e, -most, most);
        }
    }
    store_rounded(out, step, v, pairs, (uint32_t)shift);
    return largest;
}

#endif
