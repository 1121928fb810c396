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

/* A gather swaps the middle two of (lane, output) = (0, j), (0, j + 1), (1, j), (1, j + 1). A left
 * shift saturates and is clamped then, as RS does. */
void vector_scale(int16_t *tile, uint32_t step, uint32_t tiles, const int32_t *factor,
                  const int32_t *shift, int32_t limit)
{
    static const uint32_t turned[4] = {0, 2, 1, 3};
    const int32_t low_factors[4] = {factor[0], factor[1], factor[0], factor[1]};
    const int32_t high_factors[4] = {factor[2], factor[3], factor[2], factor[3]};
    const int32_t first = lane_shift(shift[0]), second = lane_shift(shift[1]);
    const int32_t third = lane_shift(shift[2]), fourth = lane_shift(shift[3]);
    const int32_t low_shifts[4] = {first, second, first, second};
    const int32_t high_shifts[4] = {third, fourth, third, fourth};
    const uint32x4_t places = vld1q_u32(turned);
    const int32x4_t low_f = vld1q_s32(low_factors), high_f = vld1q_s32(high_factors);
    const int32x4_t low_s = vld1q_s32(low_shifts), high_s = vld1q_s32(high_shifts);
    const int32x4_t top = vdupq_n_s32(limit), bottom = vdupq_n_s32(-limit);
    for (; tiles > 0; tiles--, tile += step) {
        int32x4_t a = vldrhq_gather_shifted_offset_s32(tile, places);
        int32x4_t b = vldrhq_gather_shifted_offset_s32(tile + 4, places);
        a = vqrshlq_s32(vmulq_s32(a, low_f), low_s);
        b = vqrshlq_s32(vmulq_s32(b, high_f), high_s);
        vstrhq_s32(tile, vmaxq_s32(vminq_s32(a, top), bottom));
        vstrhq_s32(tile + 4, vmaxq_s32(vminq_s32(b, top), bottom));
    }
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
