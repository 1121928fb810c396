#include "speed.h"
#include "norm.h"

#include <string.h>

static inline uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

#ifdef __ARM_FEATURE_MVE

#include <arm_mve.h>

/* Two pairs at a time; what is left, a pair at most, is the callers'. */

static uint32x4_t offsets_of(uint32_t step_bytes, uint32_t element_bytes)
{
    const uint32_t offsets[4] = {0, element_bytes, step_bytes, step_bytes + element_bytes};
    return vld1q_u32(offsets);
}

/* Code of the largest of four highest and four lowest values. */
static uint32_t largest_code(int32x4_t highest, int32x4_t lowest)
{
    return larger(norm_code(vmaxvq_s32(0, highest)), norm_code(vminvq_s32(0, lowest)));
}

static uint32_t vector_largest(norm_vector_t *v, uint32_t *pairs)
{
    const uint32x4_t offsets = offsets_of(4u * v->step, 4u);
    int32x4_t highest = vdupq_n_s32(0), lowest = highest;
    for (; *pairs >= 2u; *pairs -= 2u, v->at += 2u * v->step) {
        const int32x4_t values = vldrwq_gather_offset_s32(v->at, offsets);
        highest = vmaxq_s32(highest, values);
        lowest = vminq_s32(lowest, values);
    }
    return largest_code(highest, lowest);
}

static uint32_t vector_largest_gated(norm_vector_t *v, uint32_t *pairs, const uint8_t **gates)
{
    const uint32x4_t offsets = offsets_of(4u * v->step, 4u);
    int32x4_t highest = vdupq_n_s32(0), lowest = highest;
    for (; *pairs >= 2u; *pairs -= 2u, v->at += 2u * v->step, *gates += 4) {
        const mve_pred16_t open = vcmpneq_n_u32(vldrbq_u32(*gates), 0);
        const int32x4_t values = vldrwq_gather_offset_z_s32(v->at, offsets, open);
        vstrwq_scatter_offset_s32(v->at, offsets, values);
        highest = vmaxq_s32(highest, values);
        lowest = vminq_s32(lowest, values);
    }
    return largest_code(highest, lowest);
}

static void vector_store(int16_t **out, uint32_t step, norm_vector_t *v, uint32_t *pairs,
                         uint32_t shift)
{
    const uint32x4_t offsets = offsets_of(4u * v->step, 4u), places = offsets_of(2u * step, 2u);
    for (; *pairs >= 2u; *pairs -= 2u, v->at += 2u * v->step, *out += 2u * step) {
        const int32x4_t values = vldrwq_gather_offset_s32(v->at, offsets);
        vstrhq_scatter_offset_s32(*out, places, vrshlq_n_s32(values, -(int32_t)shift));
    }
}

#else

static inline uint32_t vector_largest(norm_vector_t *v, uint32_t *pairs)
{
    (void)v;
    (void)pairs;
    return 0;
}

static inline uint32_t vector_largest_gated(norm_vector_t *v, uint32_t *pairs,
                                            const uint8_t **gates)
{
    (void)v;
    (void)pairs;
    (void)gates;
    return 0;
}

static inline void vector_store(int16_t **out, uint32_t step, norm_vector_t *v, uint32_t *pairs,
                                uint32_t shift)
{
    (void)out;
    (void)step;
    (void)v;
    (void)pairs;
    (void)shift;
}

#endif

/* v, or 0 where the gate is 0. Told what a gate can be, the compiler compares it instead. */
static inline int32_t pass(int32_t v, uint8_t gate)
{
    int32_t opposite = -(int32_t)gate;
    __asm__("" : "+r"(opposite));
    return v & fixed_floor(opposite, 31);
}

uint32_t norm_largest(norm_vector_t v, uint32_t pairs)
{
    uint32_t largest = vector_largest(&v, &pairs);
    for (; pairs > 0; pairs--, v.at += v.step) {
        const int32_t even = v.at[0], odd = v.at[1];
        largest = larger(larger(largest, norm_code(even)), norm_code(odd));
    }
    return largest;
}

uint32_t norm_largest_gated(norm_vector_t v, uint32_t pairs, const uint8_t *gates)
{
    uint32_t largest = vector_largest_gated(&v, &pairs, &gates);
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
static void store_rounded(int16_t *out, uint32_t step, norm_vector_t v, uint32_t pairs,
                          uint32_t shift)
{
    const int32_t half = (int32_t)((1u << shift) >> 1);
    vector_store(&out, step, &v, &pairs, shift);
    for (; pairs > 0; pairs--, v.at += v.step, out += step) {
        const int32_t even = fixed_floor(v.at[0] + half, shift);
        const int32_t odd = fixed_floor(v.at[1] + half, shift);
#ifdef __ARM_FEATURE_SIMD32
        const uint32_t pair = ((uint32_t)even & 0xFFFFu) | (uint32_t)odd << 16;
        memcpy(out, &pair, sizeof pair);
#else
        out[0] = (int16_t)even;
        out[1] = (int16_t)odd;
#endif
    }
}

/* Of all values that one with the largest code has the largest mantissa. */
uint32_t norm_store(int16_t *out, uint32_t step, norm_vector_t v, uint32_t pairs, uint32_t code,
                    int32_t shift, int32_t bits)
{
    const uint32_t limit = (1u << bits) - 1u;
    const uint32_t largest = fixed_abs(fixed_round(norm_value(code), shift));
    if (largest <= limit) {
        store_rounded(out, step, v, pairs, (uint32_t)shift);
        return largest;
    }
    for (; pairs > 0; pairs--, v.at += v.step, out += step) {
        const int32_t even = v.at[0], odd = v.at[1];
        out[0] = (int16_t)norm_mantissa(even, shift, bits);
        out[1] = (int16_t)norm_mantissa(odd, shift, bits);
    }
    return limit;
}
