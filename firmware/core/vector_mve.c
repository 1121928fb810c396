/* The loops of vector.h with the M-profile Vector Extension. The loops in assembly are
 * tail-predicated: what is beyond the count is neither read nor written nor counted. */
#include "speed.h"
#include "vector.h"

#ifdef KERNELS_MVE

#include "fixed.h"
#include "tables.h"

#include <arm_mve.h>

/* clang-format off */
__asm__(
"    .syntax unified\n"
"    .thumb\n"
"    .text\n"
"    .macro vector_function name\n"
"    .balign 4\n"
"    .global \\name\n"
"    .thumb_func\n"
"    .type \\name, %function\n"
"\\name:\n"
"    push    {r4, lr}\n"
"    .endm\n"

"    vector_function vector_copy\n"
"    wlstp.8 lr, r2, 2f\n"
"1:  vldrb.u8 q0, [r1], #16\n"
"    vstrb.8 q0, [r0], #16\n"
"    letp    lr, 1b\n"
"2:  pop     {r4, pc}\n"

/* q1 zeros, q2 largest. RN of a value of at least 0 is VRSHL by -shift. */
"    vector_function vector_rectify\n"
"    vmov.i32 q1, #0\n"
"    vmov.i32 q2, #0\n"
"    rsbs    r2, r2, #0\n"
"    wlstp.32 lr, r1, 2f\n"
"1:  vldrw.u32 q0, [r0], #16\n"
"    vmax.s32 q0, q0, q1\n"
"    vrshl.s32 q0, r2\n"
"    vmax.u32 q2, q2, q0\n"
"    vstrb.32 q0, [r3], #4\n"
"    letp    lr, 1b\n"
"2:  movs    r0, #0\n"
"    vmaxv.u32 r0, q2\n"
"    pop     {r4, pc}\n"

/* q3: bytes to two pairs; r1: bytes of two pairs. */
"    .macro vector_pairs\n"
"    lsls    r1, r1, #2\n"
"    vmov.i32 q3, #0\n"
"    vmov.32 q3[2], r1\n"
"    lsls    r1, r1, #1\n"
"    .endm\n"

"    vector_function vector_clear\n"
"    vector_pairs\n"
"    wlstp.64 lr, r2, 2f\n"
"1:  vldrd.u64 q0, [r0, q3]\n"
"    vldrb.u32 q1, [r3], #4\n"
"    vpt.i32 eq, q1, zr\n"
"    vmovt.i32 q0, #0\n"
"    vstrd.64 q0, [r0, q3]\n"
"    add     r0, r0, r1\n"
"    letp    lr, 1b\n"
"2:  pop     {r4, pc}\n"

"    vector_function vector_largest\n"
"    vector_pairs\n"
"    vmov.i32 q2, #0\n"
"    wlstp.64 lr, r2, 2f\n"
"1:  vldrd.u64 q0, [r0, q3]\n"
"    vmaxa.s32 q2, q0\n"
"    add     r0, r0, r1\n"
"    letp    lr, 1b\n"
"2:  movs    r0, #0\n"
"    vmaxv.u32 r0, q2\n"
"    pop     {r4, pc}\n"

/* q1: bytes to the deltas of two pairs; r4: bytes of two pairs of deltas. */
"    vector_function vector_mantissas\n"
"    vector_pairs\n"
"    ldrd    r12, r4, [sp, #8]\n"
"    vmov.i32 q1, #0\n"
"    lsls    r4, r4, #1\n"
"    vmov.32 q1[2], r4\n"
"    adds    r4, r4, #2\n"
"    vmov.32 q1[3], r4\n"
"    subs    r4, r4, #2\n"
"    lsls    r4, r4, #1\n"
"    movs    lr, #2\n"
"    vmov.32 q1[1], lr\n"
"    vmov.i32 q2, #0\n"
"    rsbs    r3, r3, #0\n"
"    wlstp.64 lr, r2, 2f\n"
"1:  vldrd.u64 q0, [r0, q3]\n"
"    vrshl.s32 q0, r3\n"
"    vmaxa.s32 q2, q0\n"
"    vqmovnb.s32 q0, q0\n"
"    vstrh.32 q0, [r12, q1]\n"
"    add     r0, r0, r1\n"
"    add     r12, r12, r4\n"
"    letp    lr, 1b\n"
"2:  movs    r0, #0\n"
"    vmaxv.u32 r0, q2\n"
"    pop     {r4, pc}\n"

"    vector_function vector_sum\n"
"    movs    r2, #0\n"
"    vidup.u32 q1, r2, #8\n"
"    movs    r2, #0\n"
"    wlstp.32 lr, r1, 2f\n"
"1:  vldrw.u32 q0, [r0, q1]\n"
"    vaddva.s16 r2, q0\n"
"    adds    r0, r0, #32\n"
"    letp    lr, 1b\n"
"2:  mov     r0, r2\n"
"    pop     {r4, pc}\n"
);
/* clang-format on */

/* The shift by a vector's lane: to the left where positive. Every shift beyond 32 acts like it. */
static int32_t lane_shift(int32_t shift)
{
    return -fixed_clamp(shift, -31, 32);
}

static int32x4_t clamp(int32x4_t v, int32_t limit)
{
    return vmaxq_s32(vminq_s32(v, vdupq_n_s32(limit)), vdupq_n_s32(-limit));
}

/* A gather swaps the middle two of (lane, output) = (0, j), (0, j + 1), (1, j), (1, j + 1). A left
 * shift saturates and is clamped then, as RS does. */
uint32_t vector_scale(int16_t *tile, uint32_t step, uint32_t tiles, const uint32_t *scales,
                      uint32_t lanes, int32_t factor, int32_t exponent, int32_t limit)
{
    static const uint32_t places[12] = {0, 2, 1, 3, 0, 1, 0, 1, 2, 3, 2, 3};
    const mve_pred16_t valid = vctp32q(lanes);
    const uint32x4_t turned = vld1q_u32(places);
    const uint32x4_t low = vld1q_u32(places + 4), high = vld1q_u32(places + 8);
    const uint32x4_t words = vldrwq_z_u32(scales, valid);
    const int32x4_t delta_exponents = vmovlbq_s16(vreinterpretq_s16_u32(words));
    const int32x4_t largest = vreinterpretq_s32_u32(vshrq_n_u32(words, 16));
    const int32x4_t left = vsubq_n_s32(delta_exponents, exponent);
    int32_t shifts[4], factors[4];
    vst1q_s32(shifts, vmaxq_s32(vminq_s32(left, vdupq_n_s32(31)), vdupq_n_s32(-32)));
    vst1q_s32(factors, vdupq_m_n_s32(vdupq_n_s32(0), factor, valid));
    const int32x4_t low_f = vldrwq_gather_shifted_offset_s32(factors, low);
    const int32x4_t low_s = vldrwq_gather_shifted_offset_s32(shifts, low);
    const int32x4_t high_f = vldrwq_gather_shifted_offset_s32(factors, high);
    const int32x4_t high_s = vldrwq_gather_shifted_offset_s32(shifts, high);
    for (; tiles > 0; tiles--, tile += step) {
        const int32x4_t a = vldrhq_gather_shifted_offset_s32(tile, turned);
        const int32x4_t b = vldrhq_gather_shifted_offset_s32(tile + 4, turned);
        vstrhq_s32(tile, clamp(vqrshlq_s32(vmulq_s32(a, low_f), low_s), limit));
        vstrhq_s32(tile + 4, clamp(vqrshlq_s32(vmulq_s32(b, high_f), high_s), limit));
    }
    const int32x4_t bound =
        clamp(vqrshlq_s32(vmulq_n_s32(largest, factor), vld1q_s32(shifts)), limit);
    return (uint32_t)vaddvq_s32(bound);
}

uint32_t vector_biases(int32_t *bias, uint32_t outputs, const int16_t *delta, uint32_t step,
                       uint32_t count, int32_t shift, int32_t limit)
{
    const int32_t left = lane_shift(shift);
    int32x4_t changed = vdupq_n_s32(0);
    for (uint32_t j = 0; j < outputs; j += 4u, bias += 4, delta += 2u * step) {
        const mve_pred16_t valid = vctp32q(outputs - j);
        int32_t sums[4];
        sums[0] = vector_sum(delta, count);
        sums[1] = vector_sum(delta + 2, count);
        sums[2] = vector_sum(delta + step, count);
        sums[3] = vector_sum(delta + step + 2, count);
        const int32x4_t u = clamp(vqrshlq_n_s32(vld1q_s32(sums), left), limit);
        const int32x4_t moved = vsubq_s32(vldrwq_z_s32(bias, valid), u);
        const int32x4_t kept = clamp(moved, limit);
        changed = vaddq_m_n_s32(changed, changed, 1, vcmpneq_m_s32(moved, kept, valid));
        vstrwq_p_s32(bias, kept, valid);
    }
    return (uint32_t)vaddvq_s32(changed);
}

/* Range as in functions_exp2_q16(); a shift to the right by 32 and more gives 0, and so does one
 * by 17 .. 31 of what is below 2^16. */
uint32_t vector_exponentials(const int32_t *z, uint32_t outputs, int32_t top, int32_t exponent,
                             int32_t *ex)
{
    const int32_t shift = lane_shift(-10 - exponent);
    const uint32x4_t limit = vdupq_n_u32(32767);
    uint32_t sum = 0;
    for (uint32_t k = 0; k < outputs; k += 4u) {
        const mve_pred16_t valid = vctp32q(outputs - k);
        const uint32x4_t distance = vreinterpretq_u32_s32(
            vsubq_s32(vdupq_n_s32(top), vldrwq_z_s32(z + k, valid)));
        const uint32x4_t t = vminq_u32(vqshlq_r_u32(distance, shift), limit);
        const uint32x4_t u = vshrq_n_u32(vmulq_n_u32(t, 23637), 14);
        const uint32x4_t i = vshrq_n_u32(vandq_u32(u, vdupq_n_u32(1023)), 4);
        const uint32x4_t g = vandq_u32(u, vdupq_n_u32(15));
        const uint32x4_t high = vldrhq_gather_shifted_offset_u32(tables_exp2_q16, i);
        const uint32x4_t next = vldrhq_gather_shifted_offset_u32(tables_exp2_q16 + 1, i);
        const uint32x4_t fall =
            vrshrq_n_u32(vmulq_u32(vsubq_u32(high, next), g), 4);
        const int32x4_t n = vnegq_s32(vreinterpretq_s32_u32(vshrq_n_u32(u, 10)));
        const uint32x4_t value = vshlq_u32(vsubq_u32(high, fall), n);
        sum = vaddvaq_p_u32(sum, value, valid);
        if (ex != NULL) {
            vstrwq_p_u32((uint32_t *)ex + k, value, valid);
        }
    }
    return sum;
}

#endif
