/* The loops of vector.h with the M-profile Vector Extension. The loops in assembly are
 * tail-predicated: what is beyond the count is neither read nor written nor counted. */
#include "speed.h"
#include "vector.h"

#ifdef KERNELS_MVE

#include "fixed.h"
#include "tables.h"

#include <arm_mve.h>
#include <stddef.h>

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

/* r0 sums of a row, r1 rows left, r4 a row, r5 and r6 bytes to the next; q1 zeros, q2 largest. RN
 * of a value of at least 0 is VRSHL by -shift. */
"    vector_function vector_rectify\n"
"    push    {r5, r6}\n"
"    ldrd    r5, r4, [sp, #16]\n"
"    ldr     r6, [sp, #24]\n"
"    vmov.i32 q1, #0\n"
"    vmov.i32 q2, #0\n"
"    rsbs    r3, r3, #0\n"
"    add     r12, r2, #3\n"
"    bic     r12, r12, #3\n"
"    sub     r6, r6, r12\n"
"1:  mov     r12, r0\n"
"    wlstp.32 lr, r2, 3f\n"
"2:  vldrw.u32 q0, [r12], #16\n"
"    vmax.s32 q0, q0, q1\n"
"    vrshl.s32 q0, r3\n"
"    vmax.u32 q2, q2, q0\n"
"    vstrb.32 q0, [r4], #4\n"
"    letp    lr, 2b\n"
"3:  add     r4, r4, r6\n"
"    add     r0, r0, r5\n"
"    subs    r1, r1, #1\n"
"    bne     1b\n"
"    movs    r0, #0\n"
"    vmaxv.u32 r0, q2\n"
"    pop     {r5, r6}\n"
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

/* NORM's shift of two lanes to the left, at most 0, from the magnitudes in \q; r11 = 32 - db. */
"    .macro vector_shifts q, to\n"
"    vrev64.32 q0, \\q\n"
"    vmax.u32 \\q, \\q, q0\n"
"    vclz.i32 \\q, \\q\n"
"    vsub.i32 \\q, \\q, r11\n"
"    vmov.i32 q0, #0\n"
"    vmin.s32 \\to, \\q, q0\n"
"    vmov.i32 \\q, #0\n"
"    .endm\n"
/* r1, r2 sums, r3 tiles, r4 pairs, r5..r7 steps, r9 row, r12, r8 sums; q2, q5 largest of both
 * halves, q3 bytes to the sums, q4, q6 to the bytes of the rows; then q1, q4 shifts. */
"    vector_function vector_normalise\n"
"    push    {r5-r11}\n"
"    vpush   {d8-d13}\n"
"    ldm     r0, {r1-r11}\n"
"    vmov.i32 q3, #0\n"
"    vmov.32 q3[2], r8\n"
"    vmov.i32 q2, #0\n"
"    vmov.i32 q5, #0\n"
"    mov     r12, r1\n"
"    mov     r8, r2\n"
"    rsb     r11, r11, #32\n"
"    dls     lr, r4\n"
"    cmp     r9, #0\n"
"    beq     2f\n"
"    vmov.i32 q4, #0\n"
"    vmov.32 q4[2], r10\n"
"    vmov.32 q4[3], r10\n"
"    vmov.i64 q6, #0xffffffff00000000\n"
"    vsub.i32 q4, q4, q6\n"
"    lsls    r10, r10, #1\n"
"    vadd.i32 q6, q4, r10\n"
"1:  vldrb.u32 q1, [r9, q4]\n"
"    vldrd.u64 q0, [r12, q3]\n"
"    vpt.i32 eq, q1, zr\n"
"    vmovt.i32 q0, #0\n"
"    vldrb.u32 q1, [r9, q6]\n"
"    vstrd.64 q0, [r12, q3]\n"
"    add     r12, r12, r5\n"
"    vmaxa.s32 q2, q0\n"
"    vldrd.u64 q0, [r8, q3]\n"
"    vpt.i32 eq, q1, zr\n"
"    vmovt.i32 q0, #0\n"
"    adds    r9, r9, #2\n"
"    vstrd.64 q0, [r8, q3]\n"
"    add     r8, r8, r6\n"
"    vmaxa.s32 q5, q0\n"
"    le      lr, 1b\n"
"    b       3f\n"
"2:  vldrd.u64 q0, [r12, q3]\n"
"    vmaxa.s32 q2, q0\n"
"    add     r12, r12, r5\n"
"    vldrd.u64 q0, [r8, q3]\n"
"    vmaxa.s32 q5, q0\n"
"    add     r8, r8, r6\n"
"    le      lr, 2b\n"
"3:  vector_shifts q2, q1\n"
"    vector_shifts q5, q4\n"
"    vstrw.32 q1, [r0, #44]\n"
"    vstrw.32 q4, [r0, #60]\n"
"    dls     lr, r4\n"
"4:  vldrd.u64 q0, [r1, q3]\n"
"    vrshl.s32 q0, q0, q1\n"
"    vmaxa.s32 q2, q0\n"
"    vqmovnb.s32 q0, q0\n"
"    add     r1, r1, r5\n"
"    vstrh.32 q0, [r3]\n"
"    vldrd.u64 q0, [r2, q3]\n"
"    vrshl.s32 q0, q0, q4\n"
"    vmaxa.s32 q5, q0\n"
"    vqmovnb.s32 q0, q0\n"
"    add     r2, r2, r6\n"
"    vstrh.32 q0, [r3, #8]\n"
"    add     r3, r3, r7\n"
"    le      lr, 4b\n"
"    vrev64.32 q0, q2\n"
"    vmax.u32 q2, q2, q0\n"
"    vstrw.32 q2, [r0, #76]\n"
"    vrev64.32 q0, q5\n"
"    vmax.u32 q5, q5, q0\n"
"    vstrw.32 q5, [r0, #92]\n"
"    vpop    {d8-d13}\n"
"    pop     {r5-r11}\n"
"    pop     {r4, pc}\n"

/* q3: the largest of ed - clz(md * factor). */
"    vector_function vector_reach\n"
"    mvn     r3, #65536\n"
"    vdup.32 q3, r3\n"
"    wlstp.32 lr, r1, 2f\n"
"1:  vldrw.u32 q0, [r0], #16\n"
"    vmovlb.s16 q1, q0\n"
"    vshr.u32 q0, q0, #16\n"
"    vmul.i32 q0, q0, r2\n"
"    vclz.i32 q2, q0\n"
"    vsub.i32 q1, q1, q2\n"
"    vpt.i32 ne, q0, zr\n"
"    vmaxt.s32 q3, q3, q1\n"
"    letp    lr, 1b\n"
"2:  vmaxv.s32 r3, q3\n"
"    add     r0, r3, #32\n"
"    pop     {r4, pc}\n"

"    vector_function vector_top\n"
"    ldr     r3, [r0]\n"
"    vdup.32 q1, r3\n"
"    wlstp.32 lr, r1, 2f\n"
"1:  vldrw.u32 q0, [r0], #16\n"
"    vmax.s32 q1, q1, q0\n"
"    letp    lr, 1b\n"
"2:  vmaxv.s32 r3, q1\n"
"    mov     r0, r3\n"
"    pop     {r4, pc}\n"

/* vector_scale(r0 tile, r1 halves to the next, r2 tiles, r3 scales; stack: lanes, factor,
 * exponent, limit). A left shift saturates and is clamped then, as RS does; the gathers swap the
 * middle two of (lane, output) = (0, j), (0, j + 1), (1, j), (1, j + 1). q1: bytes of that order,
 * q2 and q3 factors of both halves of a tile, q4 and q5 shifts, q6 and q7 limits; r3 the second
 * half. */
"    vector_function vector_scale\n"
"    push    {r5-r10}\n"
"    vpush   {d8-d15}\n"
"    ldrd    r4, r5, [sp, #96]\n"
"    ldrd    r6, r7, [sp, #104]\n"
"    vctp.32 r4\n"
"    vmov.i32 q1, #0\n"
"    vpstt\n"
"    vldrwt.u32 q0, [r3]\n"
"    vdupt.32 q1, r5\n"
"    vmovlb.s16 q2, q0\n"
"    vsub.i32 q2, q2, r6\n"
"    vmov.i32 q3, #31\n"
"    vmin.s32 q2, q2, q3\n"
"    vmvn.i32 q3, #31\n"
"    vmax.s32 q2, q2, q3\n"
"    vdup.32 q6, r7\n"
"    vneg.s32 q7, q6\n"
"    vshr.u32 q0, q0, #16\n"
"    vmul.i32 q0, q0, q1\n"
"    vqrshl.s32 q0, q0, q2\n"
"    vmin.s32 q0, q0, q6\n"
"    vaddv.s32 r4, q0\n"
"    vmov    r5, r6, d4\n"
"    vmov    r7, r8, d5\n"
"    vmov    d8, r5, r6\n"
"    vmov    d9, r5, r6\n"
"    vmov    d10, r7, r8\n"
"    vmov    d11, r7, r8\n"
"    vmov    r5, r6, d2\n"
"    vmov    r7, r8, d3\n"
"    vmov    d4, r5, r6\n"
"    vmov    d5, r5, r6\n"
"    vmov    d6, r7, r8\n"
"    vmov    d7, r7, r8\n"
"    movs    r6, #0\n"
"    movs    r7, #2\n"
"    movs    r8, #1\n"
"    movs    r9, #3\n"
"    vmov    d2, r6, r7\n"
"    vmov    d3, r8, r9\n"
"    lsls    r1, r1, #1\n"
"    add     r3, r0, #8\n"
"    dls     lr, r2\n"
"1:  vldrh.s32 q0, [r0, q1, uxtw #1]\n"
"    vmul.i32 q0, q0, q2\n"
"    vqrshl.s32 q0, q0, q4\n"
"    vmin.s32 q0, q0, q6\n"
"    vmax.s32 q0, q0, q7\n"
"    vstrh.32 q0, [r0]\n"
"    add     r0, r0, r1\n"
"    vldrh.s32 q0, [r3, q1, uxtw #1]\n"
"    vmul.i32 q0, q0, q3\n"
"    vqrshl.s32 q0, q0, q5\n"
"    vmin.s32 q0, q0, q6\n"
"    vmax.s32 q0, q0, q7\n"
"    vstrh.32 q0, [r3]\n"
"    add     r3, r3, r1\n"
"    le      lr, 1b\n"
"    mov     r0, r4\n"
"    vpop    {d8-d15}\n"
"    pop     {r5-r10}\n"
"    pop     {r4, pc}\n"

/* t = min(distance shifted, 32767), u = t * 23637 >> 14, n = u >> 10, i = u >> 4 & 63, g = u & 15.
 * q0 u, q1 i and g, q2 32767, q3 the largest logit, q4 E2[i], q5 E2[i + 1]; r2 sum, r3 shift. */
"    .macro vector_exponential\n"
"    vldrw.u32 q0, [r0], #16\n"
"    vsub.i32 q0, q3, q0\n"
"    vqshl.u32 q0, r3\n"
"    vmin.u32 q0, q0, q2\n"
"    vmul.i32 q0, q0, r6\n"
"    vshr.u32 q0, q0, #14\n"
"    vshl.i32 q1, q0, #22\n"
"    vshr.u32 q1, q1, #26\n"
"    vldrh.u32 q4, [r5, q1, uxtw #1]\n"
"    vldrh.u32 q5, [r12, q1, uxtw #1]\n"
"    vshl.i32 q1, q0, #28\n"
"    vsub.i32 q5, q4, q5\n"
"    vshr.u32 q1, q1, #28\n"
"    vmul.i32 q5, q5, q1\n"
"    vshr.u32 q0, q0, #10\n"
"    vrshr.u32 q5, q5, #4\n"
"    vneg.s32 q0, q0\n"
"    vsub.i32 q4, q4, q5\n"
"    vshl.u32 q4, q4, q0\n"
"    vaddva.u32 r2, q4\n"
"    .endm\n"
/* vector_exp(r0 logits, r1 outputs, r2 largest, r3 shift, [sp] results, [sp + 4] table E2). */
"    vector_function vector_exp\n"
"    push    {r5, r6}\n"
"    vpush   {d8-d11}\n"
"    ldrd    r4, r5, [sp, #48]\n"
"    add     r12, r5, #2\n"
"    movw    r6, #32767\n"
"    vdup.32 q2, r6\n"
"    vdup.32 q3, r2\n"
"    movw    r6, #23637\n"
"    movs    r2, #0\n"
"    cbz     r4, 3f\n"
"    wlstp.32 lr, r1, 5f\n"
"1:  vector_exponential\n"
"    vstrw.32 q4, [r4], #16\n"
"    letp    lr, 1b\n"
"    b       5f\n"
"3:  wlstp.32 lr, r1, 5f\n"
"4:  vector_exponential\n"
"    letp    lr, 4b\n"
"5:  mov     r0, r2\n"
"    vpop    {d8-d11}\n"
"    pop     {r5, r6}\n"
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

_Static_assert(offsetof(vector_lanes_t, largest) == 76,
               "the assembly knows the places of the fields");

/* The shift by a vector's lane: to the left where positive. Every shift beyond 32 acts like it. */
static int32_t lane_shift(int32_t shift)
{
    return -fixed_clamp(shift, -31, 32);
}

static int32x4_t clamp(int32x4_t v, int32_t limit)
{
    return vmaxq_s32(vminq_s32(v, vdupq_n_s32(limit)), vdupq_n_s32(-limit));
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

uint32_t vector_exp(const int32_t *z, uint32_t outputs, int32_t top, int32_t left, int32_t *ex,
                    const uint16_t *table);

/* Range as in functions_exp2_q16(); a shift to the right by 32 and more gives 0, and so does one
 * by 17 .. 31 of what is below 2^16. */
uint32_t vector_exponentials(const int32_t *z, uint32_t outputs, int32_t top, int32_t exponent,
                             int32_t *ex)
{
    return vector_exp(z, outputs, top, lane_shift(-10 - exponent), ex, tables_exp2_q16);
}

/* Lane k takes values k, k + 4, ..: multiplied with the fourth power each time, and at last with
 * what the lanes behind it multiply. All modulo 2^32. */
uint32_t vector_digest(const int16_t *values, uint32_t count, uint32_t multiplier, uint32_t digest)
{
    for (; count % 4u != 0; count--, values++) {
        digest = digest * multiplier + (uint32_t)(int32_t)*values;
    }
    const uint32_t square = multiplier * multiplier, fourth = square * square;
    const uint32_t powers[4] = {square * multiplier, square, multiplier, 1u};
    uint32x4_t sums = vsetq_lane_u32(digest, vdupq_n_u32(0), 3);
    for (; count > 0; count -= 4u, values += 4) {
        sums = vaddq_u32(vmulq_n_u32(sums, fourth), vreinterpretq_u32_s32(vldrhq_s32(values)));
    }
    return vaddvq_u32(vmulq_u32(sums, vld1q_u32(powers)));
}

#endif
