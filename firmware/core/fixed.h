/* The one rounding, the one saturation, the one right shift of a signed value.
 * NUMERICS section 1. Nobody else shifts a signed value right. */
#ifndef FIXED_H
#define FIXED_H

#include <stdint.h>

_Static_assert((-3 >> 1) == -2, "a signed right shift must be arithmetic");

/* floor(v / 2^s), 0 <= s <= 31. */
static inline int32_t fixed_floor(int32_t v, uint32_t s)
{
    return v >> s;
}

/* |v| for every v; 2^31 for the smallest. */
static inline uint32_t fixed_abs(int32_t v)
{
    const uint32_t sign = (uint32_t)(v >> 31);
    return ((uint32_t)v ^ sign) - sign;
}

static inline int32_t fixed_clamp(int32_t v, int32_t low, int32_t high)
{
    return v < low ? low : v > high ? high : v;
}

/* v clamped to 16 bits. */
static inline int32_t fixed_saturate16(int32_t v)
{
#ifdef __ARM_FEATURE_SAT
    int32_t kept;
    __asm__("ssat %0, #16, %1" : "=r"(kept) : "r"(v));
    return kept;
#else
    return fixed_clamp(v, INT16_MIN, INT16_MAX);
#endif
}

/* The low halves of the two as halves of a word. */
static inline uint32_t fixed_halves(int32_t low, int32_t high)
{
#ifdef __ARM_FEATURE_SIMD32
    uint32_t word;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(word) : "r"(low), "r"(high));
    return word;
#else
    return ((uint32_t)low & 0xFFFFu) | (uint32_t)high << 16;
#endif
}

/* blen(u): number of bits of u, 0 for 0. */
static inline int32_t fixed_bits(uint32_t u)
{
    return u == 0 ? 0 : 32 - __builtin_clz(u);
}

/* RN(v, s) = floor(v / 2^s + 1/2), s >= 0.
 * Range: v >> (s - 1) is at most 2^30 - 1 for s >= 2; for s = 1 the caller's v is below 2^31 - 1
 * (every sum of NUMERICS is), so adding 1 stays inside int32. */
static inline int32_t fixed_round(int32_t v, int32_t s)
{
    if (s == 0) {
        return v;
    }
    return s >= 32 ? 0 : ((v >> (s - 1)) + 1) >> 1;
}

/* RS(v, s, limit) = v / 2^s rounded and clamped to +-limit; a negative s multiplies. */
int32_t fixed_scale(int32_t v, int32_t s, int32_t limit);

#endif
