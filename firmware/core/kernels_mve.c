/* The kernels for cores with the M-profile Vector Extension: Cortex-M55.
 *
 * A block is eight sums in the even registers r0..r14, eight terms of each in one VMLADAVA:
 *   forward   four samples by two outputs; packed rows [eight inputs][4 samples][8]
 *   backward  four samples by two inputs; weights and deltas are gathered
 *   update    four inputs by two outputs, every second input of eight; packed inputs
 *             [8 inputs][samples] for up to 16 samples, else [eight samples][8 inputs][8]
 * Steps are taken eight weights at a time: the even columns of a row in the low halves of words,
 * the odd ones in the high halves; the sticky QC flag tells that a clamp changed one. The columns
 * that eights leave over, and steps that a clamp may cut short, go four at a time.
 * Packed halves are filled with zeros; weights are row-major. Vectors forward may reach up to 14
 * bytes beyond the weights, into the arena behind them, where their other factors are zeros. */
#include "speed.h"
#include "kernels.h"

#ifdef KERNELS_MVE

#include "kernels_step.h"
#include "protocol.h"

#include <arm_mve.h>
#include <stddef.h>
#include <string.h>

/* clang-format off */
__asm__(
"    .syntax unified\n"
"    .thumb\n"
"    .text\n"

/* mve_pack_rows(r0 = four rows, r1 = out, r2 = inputs, r3 = bytes to the first of them): vectors of
 * eight, of one row after the other; the last ones are filled with zeros. r7 row, r4 out. */
"    .macro mve_pack_rows name, load, bytes\n"
"    .balign 4\n"
"    .global \\name\n"
"    .thumb_func\n"
"    .type \\name, %function\n"
"\\name:\n"
"    push    {r4-r8, lr}\n"
"    vmov.i32 q1, #0\n"
"    subs    r5, r2, #1\n"
"    lsrs    r5, r5, #3\n"
"    lsls    r5, r5, #6\n"
"    add     r6, r1, #64\n"
"1:  ldr     r7, [r0], #4\n"
"    mov     r4, r1\n"
"    add     r7, r7, r3\n"
"    adds    r1, r1, r5\n"
"    vstrh.16 q1, [r1]\n"
"    subs    r1, r1, r5\n"
"    adds    r1, r1, #16\n"
"    wlstp.16 lr, r2, 3f\n"
"2:  \\load q0, [r7], #\\bytes\n"
"    vstrh.16 q0, [r4], #64\n"
"    letp    lr, 2b\n"
"3:  cmp     r1, r6\n"
"    bne     1b\n"
"    pop     {r4-r8, pc}\n"
"    .size \\name, .-\\name\n"
"    .endm\n"
"    mve_pack_rows mve_pack_rows_u8, vldrb.u16, 8\n"
"    mve_pack_rows mve_pack_rows_i8, vldrb.s16, 8\n"
"    mve_pack_rows mve_pack_rows_i16, vldrh.u16, 16\n"
/* mve_pack_columns(r0 = first of eight inputs, r1 = out, r2 = inputs, r3 = samples): samples in
 * vectors of eight; all eight inputs of a vector, or \turns = 2 vectors of each input, in a row.
 * What is beyond the samples stays as it is. */
"    .macro mve_pack_columns name, load, scale, width, turns\n"
"    .balign 4\n"
"    .global \\name\n"
"    .thumb_func\n"
"    .type \\name, %function\n"
"\\name:\n"
"    push    {r4, lr}\n"
"    movs    r4, #0\n"
"    vidup.u16 q3, r4, #1\n"
"    vmul.i16 q3, q3, r2\n"
"    subs    r2, r2, #1\n"
"    wlstp.16 lr, r3, 2f\n"
"1:\n"
"    .irp k, 0, 1, 2, 3, 4, 5, 6, 7\n"
"    \\load q0, [r0, q3\\scale]\n"
"    vstrh.16 q0, [r1, #16*\\turns*\\k]\n"
"    adds    r0, r0, #\\width\n"
"    .endr\n"
"    add     r0, r0, r2, lsl #2+\\width\n"
"    .if \\turns == 1\n"
"    adds    r1, r1, #128\n"
"    .else\n"
"    adds    r1, r1, #16\n"
"    .endif\n"
"    letp    lr, 1b\n"
"2:  pop     {r4, pc}\n"
"    .size \\name, .-\\name\n"
"    .endm\n"
"    mve_pack_columns mve_pack8_u8, vldrb.u16, , 1, 1\n"
"    mve_pack_columns mve_pack8_i8, vldrb.s16, , 1, 1\n"
"    mve_pack_columns mve_pack8_i16, vldrh.u16, \", uxtw #1\", 2, 1\n"
"    mve_pack_columns mve_pack16_u8, vldrb.u16, , 1, 2\n"
"    mve_pack_columns mve_pack16_i8, vldrb.s16, , 1, 2\n"
"    mve_pack_columns mve_pack16_i16, vldrh.u16, \", uxtw #1\", 2, 2\n"

/* Eight sums: r0, r2 of sample 0; r4, r6; r8, r10; r12, lr of sample 3. q4, q5: weights. */
"    .macro mve_forward_turn\n"
"    vldrh.u16 q4, [r3], #16\n"
"    vldrh.u16 q1, [r1, #16]\n"
"    vmladava.s16 r4, q1, q4\n"
"    vldrh.u16 q5, [r5], #16\n"
"    vmladava.s16 r6, q1, q5\n"
"    vldrh.u16 q2, [r1, #32]\n"
"    vmladava.s16 r8, q2, q4\n"
"    vldrh.u16 q3, [r1, #48]\n"
"    vmladava.s16 r10, q2, q5\n"
"    vldrh.u16 q0, [r1], #64\n"
"    vmladava.s16 r12, q3, q4\n"
"    vmladava.s16 lr, q3, q5\n"
"    vmladava.s16 r0, q0, q4\n"
"    vmladava.s16 r2, q0, q5\n"
"    .endm\n"
/* mve_forward(r0 = mve_forward_t). r1 packed rows, r3 and r5 rows of weights, r7 turns left, r9
 * where sums come from, r11 where they go to. Stack: packed rows, turns, both strides, gap, end. */
"    .balign 4\n"
"    .global mve_forward\n"
"    .thumb_func\n"
"    .type mve_forward, %function\n"
"mve_forward:\n"
"    push    {r4-r11, lr}\n"
"    vpush   {d8-d11}\n"
"    ldm     r0, {r1-r9, r11}\n"
"    push    {r1, r2, r4, r6, r7, r8}\n"
"1:  ldrd    r1, r7, [sp]\n"
"    ldr     lr, [sp, #8]\n"
"    ldrd    r0, r2, [r9], #8\n"
"    add     r12, r9, lr\n"
"    ldrd    r4, r6, [r12, #-8]\n"
"    add     r12, r12, lr\n"
"    ldrd    r8, r10, [r12, #-8]\n"
"    add     r12, r12, lr\n"
"    ldrd    r12, lr, [r12, #-8]\n"
"    lsrs    r7, r7, #1\n"
"    bcc     2f\n"
"    mve_forward_turn\n"
"    cbz     r7, 3f\n"
"2:  mve_forward_turn\n"
"    mve_forward_turn\n"
"    subs    r7, r7, #1\n"
"    bne     2b\n"
"3:  ldr     r7, [sp, #12]\n"
"    strd    r0, r2, [r11], #8\n"
"    add     r1, r11, r7\n"
"    strd    r4, r6, [r1, #-8]\n"
"    add     r1, r1, r7\n"
"    strd    r8, r10, [r1, #-8]\n"
"    add     r1, r1, r7\n"
"    strd    r12, lr, [r1, #-8]\n"
"    ldrd    r0, r2, [sp, #16]\n"
"    add     r3, r3, r0\n"
"    add     r5, r5, r0\n"
"    cmp     r11, r2\n"
"    bne     1b\n"
"    add     sp, sp, #24\n"
"    vpop    {d8-d11}\n"
"    pop     {r4-r11, pc}\n"
"    .size mve_forward, .-mve_forward\n"

/* One vector of deltas of each sample; q6: where the four pairs of sample 0 are, q7: eight rows. */
"    .macro mve_backward_turn t, a\n"
"    .ifnb \\t\n"
"    vpstttt\n"
"    .endif\n"
"    vldrw\\t\\().u32 q0, [q6]\n"
"    vldrw\\t\\().u32 q1, [q6, #4]\n"
"    vldrw\\t\\().u32 q2, [q6, #8]\n"
"    vldrw\\t\\().u32 q3, [q6, #12]\n"
"    .ifnb \\t\n"
"    vpstt\n"
"    .endif\n"
"    vldrh\\t\\().u16 q4, [r1, q7, uxtw #1]\n"
"    vldrh\\t\\().u16 q5, [r3, q7, uxtw #1]\n"
"    vmladav\\a\\().s16 r0, q0, q4\n"
"    vmladav\\a\\().s16 r2, q0, q5\n"
"    vmladav\\a\\().s16 r4, q1, q4\n"
"    vmladav\\a\\().s16 r6, q1, q5\n"
"    vmladav\\a\\().s16 r8, q2, q4\n"
"    vmladav\\a\\().s16 r10, q2, q5\n"
"    vmladav\\a\\().s16 r12, q3, q4\n"
"    vmladav\\a\\().s16 lr, q3, q5\n"
"    .endm\n"
/* mve_backward(r0 = mve_backward_t). r1, r3: two columns of weights, r5 bytes of eight rows, r7
 * turns left, r9 bytes of four pairs of deltas, r11 the record. The first turn takes the pairs of
 * outputs that fours leave over, behind others that are masked by P0. */
"    .balign 4\n"
"    .global mve_backward\n"
"    .thumb_func\n"
"    .type mve_backward, %function\n"
"mve_backward:\n"
"    push    {r4-r11, lr}\n"
"    vpush   {d8-d15}\n"
"    mov     r11, r0\n"
"    ldrd    r5, r9, [r11, #32]\n"
"    ldr     r1, [r11, #64]\n"
"    vldrw.u32 q7, [r11, #16]\n"
"    vctp.32 r1\n"
"    vpnot\n"
"1:  ldrd    r1, r7, [r11, #40]\n"
"    vldrw.u32 q6, [r11]\n"
"    adds    r3, r1, #2\n"
"    mve_backward_turn t\n"
"    cbz     r7, 3f\n"
"2:  vadd.i32 q6, q6, r9\n"
"    add     r1, r1, r5\n"
"    add     r3, r3, r5\n"
"    mve_backward_turn , a\n"
"    subs    r7, r7, #1\n"
"    bne     2b\n"
"3:  ldrd    r1, r3, [r11, #48]\n"
"    strd    r0, r2, [r1]\n"
"    strd    r4, r6, [r1, #8]\n"
"    strd    r8, r10, [r3]\n"
"    strd    r12, lr, [r3, #8]\n"
"    ldrd    r0, r2, [r11, #56]\n"
"    add     r1, r1, r0\n"
"    adds    r3, r3, #16\n"
"    ldr     r4, [r11, #40]\n"
"    strd    r1, r3, [r11, #48]\n"
"    adds    r4, r4, #4\n"
"    str     r4, [r11, #40]\n"
"    cmp     r4, r2\n"
"    bne     1b\n"
"    vpop    {d8-d15}\n"
"    pop     {r4-r11, pc}\n"
"    .size mve_backward, .-mve_backward\n"

/* Gradients of four of eight inputs, every second one: r0, r4, r8, r12 of one output, r2, r6,
 * r10, lr of the next. q0, q1: deltas of eight samples; q2, q3: of eight more. */
"    .macro mve_gradient turns, input, first, second\n"
"    vldrh.u16 q4, [r1, #16*\\turns*(\\input)]\n"
"    vmladav.s16 \\first, q4, q0\n"
"    vmladav.s16 \\second, q4, q1\n"
"    .if \\turns == 2\n"
"    vldrh.u16 q4, [r1, #16*\\turns*(\\input)+16]\n"
"    vmladava.s16 \\first, q4, q2\n"
"    vmladava.s16 \\second, q4, q3\n"
"    .endif\n"
"    .endm\n"
"    .macro mve_gradients turns, input\n"
"    mve_gradient \\turns, \\input, r0, r2\n"
"    mve_gradient \\turns, \\input+2, r4, r6\n"
"    mve_gradient \\turns, \\input+4, r8, r10\n"
"    mve_gradient \\turns, \\input+6, r12, lr\n"
"    .endm\n"
/* w = clamp(w - ((G + (r >> (32 - s))) >> s)) for eight columns of a row; QC if it clamped.
 * r0 = -s, r2 = 15 - wb, r4 = wb - 15, q4 = s - 32. The even columns end in \even. */
"    .macro mve_step even, odd, other\n"
"    vshl.u32 \\other, q6, q4\n"
"    vadd.i32 \\even, \\even, \\other\n"
"    vshl.s32 \\even, r0\n"
"    vshl.u32 \\other, q7, q4\n"
"    vadd.i32 \\odd, \\odd, \\other\n"
"    vshl.s32 \\odd, r0\n"
"    vldrh.u16 \\other, [r3]\n"
"    vmovnt.i32 \\even, \\odd\n"
"    vsub.i16 \\other, \\other, \\even\n"
"    vqshl.s16 \\other, r2\n"
"    vshl.s16 \\other, r4\n"
"    vstrh.16 \\other, [r3]\n"
"    add     r3, r3, r9\n"
"    .endm\n"
/* mve_update8(r0 = mve_update_t), mve_update16: r1 packed inputs, r3 weights, r5 deltas, r7 pairs
 * left, r9 bytes of a row of weights, r11 the record; q6, q7 draws of even and odd columns. */
"    .macro mve_update_rows turns\n"
"    push    {r4-r11, lr}\n"
"    vpush   {d8-d15}\n"
"    mov     r11, r0\n"
"    movs    r1, #0\n"
"    vmsr    fpscr_nzcvqc, r1\n"
"    ldrd    r1, r3, [r11, #20]\n"
"    ldrd    r5, r7, [r11, #28]\n"
"    ldr     r9, [r11, #36]\n"
"    vldrw.u32 q6, [r11, #72]\n"
"    vldrw.u32 q7, [r11, #88]\n"
"1:  vld20.32 {q0, q1}, [r5]\n"
"    vld21.32 {q0, q1}, [r5]!\n"
"    .if \\turns == 2\n"
"    vld20.32 {q2, q3}, [r5]\n"
"    vld21.32 {q2, q3}, [r5]!\n"
"    .endif\n"
"    mve_gradients \\turns, 0\n"
"    vmov    d10, r0, r4\n"
"    vmov    d11, r8, r12\n"
"    strd    r2, r6, [r11, #104]\n"
"    strd    r10, lr, [r11, #112]\n"
"    mve_gradients \\turns, 1\n"
"    vldrw.u32 q2, [r11, #104]\n"
"    vmov    d0, r0, r4\n"
"    vmov    d1, r8, r12\n"
"    vmov    d2, r2, r6\n"
"    vmov    d3, r10, lr\n"
"    ldm     r11, {r0, r2, r4, r6, r8}\n"
"    vldrw.u32 q4, [r11, #40]\n"
"    mve_step q5, q0, q3\n"
"    vldrw.u32 q0, [r11, #56]\n"
"    add     r5, r5, r8\n"
"    vmlas.u32 q6, q0, r6\n"
"    vmlas.u32 q7, q0, r6\n"
"    mve_step q2, q1, q3\n"
"    vmlas.u32 q6, q0, r6\n"
"    vmlas.u32 q7, q0, r6\n"
"    subs    r7, r7, #1\n"
"    bne     1b\n"
"    vstrw.32 q6, [r11, #72]\n"
"    vstrw.32 q7, [r11, #88]\n"
"    vmrs    r0, fpscr_nzcvqc\n"
"    ubfx    r0, r0, #27, #1\n"
"    vpop    {d8-d15}\n"
"    pop     {r4-r11, pc}\n"
"    .endm\n"
"    .balign 4\n"
"    .global mve_update8\n"
"    .thumb_func\n"
"    .type mve_update8, %function\n"
"mve_update8:\n"
"    mve_update_rows 1\n"
"    .size mve_update8, .-mve_update8\n"
"    .balign 4\n"
"    .global mve_update16\n"
"    .thumb_func\n"
"    .type mve_update16, %function\n"
"mve_update16:\n"
"    mve_update_rows 2\n"
"    .size mve_update16, .-mve_update16\n"

/* Gradients of every second of eight inputs from \input on, into the sums: q0, q1 deltas. */
"    .macro mve_long_gradients input\n"
"    ldr     r1, [r11, #20]\n"
"    ldr     r5, [r11, #28]\n"
"    ldr     r7, [r11, #176]\n"
"    movs    r0, #0\n"
"    movs    r2, #0\n"
"    movs    r4, #0\n"
"    movs    r6, #0\n"
"    mov     r8, r0\n"
"    mov     r10, r0\n"
"    mov     r12, r0\n"
"    mov     lr, r0\n"
"2:  vld20.32 {q0, q1}, [r5]\n"
"    vld21.32 {q0, q1}, [r5]!\n"
"    vldrh.u16 q2, [r1, #16*\\input]\n"
"    vmladava.s16 r0, q2, q0\n"
"    vldrh.u16 q3, [r1, #16*\\input+32]\n"
"    vmladava.s16 r2, q2, q1\n"
"    vmladava.s16 r4, q3, q0\n"
"    vldrh.u16 q4, [r1, #16*\\input+64]\n"
"    vmladava.s16 r6, q3, q1\n"
"    vmladava.s16 r8, q4, q0\n"
"    vldrh.u16 q5, [r1, #16*\\input+96]\n"
"    vmladava.s16 r10, q4, q1\n"
"    adds    r1, r1, #128\n"
"    vmladava.s16 r12, q5, q0\n"
"    vmladava.s16 lr, q5, q1\n"
"    subs    r7, r7, #1\n"
"    bne     2b\n"
"    strd    r0, r4, [r11, #104+32*\\input]\n"
"    strd    r8, r12, [r11, #112+32*\\input]\n"
"    strd    r2, r6, [r11, #120+32*\\input]\n"
"    strd    r10, lr, [r11, #128+32*\\input]\n"
"    .endm\n"
/* kernels_step() with momentum for eight columns of a row, gradients as mve_step. r0 = vf - s, r2, r4 as
 * there, r8 = mu, r10 = 1 - vf, r12 velocities, r1 ors QC; q1..q4 hold other things in between. */
"    .macro mve_momentum even, odd\n"
"    vldrw.u32 q4, [r11, #40]\n"
"    vshl.u32 q3, q6, q4\n"
"    vadd.i32 \\even, \\even, q3\n"
"    vshl.s32 \\even, r0\n"
"    vshl.u32 q3, q7, q4\n"
"    vadd.i32 \\odd, \\odd, q3\n"
"    vshl.s32 \\odd, r0\n"
"    vqmovnb.s32 \\even, \\even\n"
"    vldrh.u16 q1, [r12]\n"
"    vqmovnt.s32 \\even, \\odd\n"
"    vldrw.u32 q4, [r11, #192]\n"
"    vmax.s16 \\even, \\even, q4\n"
"    vshl.i32 q3, q6, #16\n"
"    vmovlb.s16 q2, q1\n"
"    vshr.u32 q3, q3, #24\n"
"    vmla.s32 q3, q2, r8\n"
"    vmovlt.s16 q2, q1\n"
"    vshr.s32 q3, q3, #8\n"
"    vshl.i32 q1, q7, #16\n"
"    vshr.u32 q1, q1, #24\n"
"    vmla.s32 q1, q2, r8\n"
"    vshr.s32 q1, q1, #8\n"
"    vmovnt.i32 q3, q1\n"
"    vldrw.u32 q1, [r11, #208]\n"
"    vqadd.s16 \\even, \\even, q3\n"
"    vmov    q3, q7\n"
"    vmax.s16 \\even, \\even, q4\n"
"    vshrnb.i32 q3, q6, #16\n"
"    vstrh.16 \\even, [r12]\n"
"    vand    q3, q3, q1\n"
"    vhadd.s16 \\even, \\even, q3\n"
"    vldrh.u16 q3, [r3]\n"
"    vshl.s16 \\even, r10\n"
"    movs    r5, #0\n"
"    vsub.i16 q3, q3, \\even\n"
"    vmsr    fpscr_nzcvqc, r5\n"
"    vqshl.s16 q3, r2\n"
"    vmrs    r5, fpscr_nzcvqc\n"
"    vshl.s16 q3, r4\n"
"    orrs    r1, r1, r5\n"
"    vstrh.16 q3, [r3]\n"
"    add     r3, r3, r9\n"
"    .endm\n"
/* mve_update_long(r0 = mve_update_t), mve_update_momentum: any number of samples, packed as [eight
 * samples][8 inputs][8]. Registers as mve_update8. */
"    .macro mve_update_any momentum\n"
"    push    {r4-r11, lr}\n"
"    vpush   {d8-d15}\n"
"    mov     r11, r0\n"
"    movs    r1, #0\n"
"    str     r1, [r11, #188]\n"
"    vmsr    fpscr_nzcvqc, r1\n"
"    ldr     r3, [r11, #24]\n"
"    ldr     r9, [r11, #36]\n"
"    vldrw.u32 q6, [r11, #72]\n"
"    vldrw.u32 q7, [r11, #88]\n"
"1:  mve_long_gradients 0\n"
"    mve_long_gradients 1\n"
"    ldm     r11, {r0, r2, r4, r6}\n"
"    vldrw.u32 q5, [r11, #104]\n"
"    vldrw.u32 q0, [r11, #136]\n"
"    .if \\momentum\n"
"    ldrd    r8, r10, [r11, #180]\n"
"    ldr     r12, [r11, #168]\n"
"    ldr     r1, [r11, #188]\n"
"    mve_momentum q5, q0\n"
"    .else\n"
"    vldrw.u32 q4, [r11, #40]\n"
"    mve_step q5, q0, q3\n"
"    .endif\n"
"    vldrw.u32 q0, [r11, #56]\n"
"    vmlas.u32 q6, q0, r6\n"
"    vmlas.u32 q7, q0, r6\n"
"    vldrw.u32 q5, [r11, #120]\n"
"    vldrw.u32 q0, [r11, #152]\n"
"    .if \\momentum\n"
"    ldr     r5, [r11, #172]\n"
"    add     r12, r12, r5\n"
"    mve_momentum q5, q0\n"
"    ldr     r5, [r11, #172]\n"
"    add     r12, r12, r5\n"
"    str     r12, [r11, #168]\n"
"    str     r1, [r11, #188]\n"
"    .else\n"
"    mve_step q5, q0, q3\n"
"    .endif\n"
"    vldrw.u32 q0, [r11, #56]\n"
"    vmlas.u32 q6, q0, r6\n"
"    vmlas.u32 q7, q0, r6\n"
"    ldrd    r5, r7, [r11, #28]\n"
"    ldr     r1, [r11, #16]\n"
"    add     r5, r5, r1\n"
"    subs    r7, r7, #1\n"
"    strd    r5, r7, [r11, #28]\n"
"    bne     1b\n"
"    vstrw.32 q6, [r11, #72]\n"
"    vstrw.32 q7, [r11, #88]\n"
"    .if \\momentum\n"
"    ldr     r0, [r11, #188]\n"
"    .else\n"
"    vmrs    r0, fpscr_nzcvqc\n"
"    .endif\n"
"    ubfx    r0, r0, #27, #1\n"
"    vpop    {d8-d15}\n"
"    pop     {r4-r11, pc}\n"
"    .endm\n"
"    .balign 4\n"
"    .global mve_update_long\n"
"    .thumb_func\n"
"    .type mve_update_long, %function\n"
"mve_update_long:\n"
"    mve_update_any 0\n"
"    .size mve_update_long, .-mve_update_long\n"
"    .balign 4\n"
"    .global mve_update_momentum\n"
"    .thumb_func\n"
"    .type mve_update_momentum, %function\n"
"mve_update_momentum:\n"
"    mve_update_any 1\n"
"    .size mve_update_momentum, .-mve_update_momentum\n"

/* mve_gradients(r0 = packed inputs, r1 = deltas, r2 = turns, r3 = eight sums): of four inputs,
 * r0, r4, r8, r12 of one output, then r2, r6, r10, lr of the next. r5 inputs, r7 turns left. */
"    .balign 4\n"
"    .global mve_gradients\n"
"    .thumb_func\n"
"    .type mve_gradients, %function\n"
"mve_gradients:\n"
"    push    {r3-r11, lr}\n"
"    vpush   {d8-d11}\n"
"    mov     r5, r0\n"
"    mov     r7, r2\n"
"    movs    r0, #0\n"
"    movs    r2, #0\n"
"    movs    r4, #0\n"
"    movs    r6, #0\n"
"    mov     r8, r0\n"
"    mov     r10, r0\n"
"    mov     r12, r0\n"
"    mov     lr, r0\n"
"1:  vld20.32 {q0, q1}, [r1]\n"
"    vld21.32 {q0, q1}, [r1]!\n"
"    vldrh.u16 q3, [r5, #16]\n"
"    vmladava.s16 r4, q3, q0\n"
"    vldrh.u16 q4, [r5, #32]\n"
"    vmladava.s16 r6, q3, q1\n"
"    vldrh.u16 q5, [r5, #48]\n"
"    vmladava.s16 r8, q4, q0\n"
"    vldrh.u16 q2, [r5], #64\n"
"    vmladava.s16 r10, q4, q1\n"
"    vmladava.s16 r12, q5, q0\n"
"    vmladava.s16 lr, q5, q1\n"
"    vmladava.s16 r0, q2, q0\n"
"    vmladava.s16 r2, q2, q1\n"
"    subs    r7, r7, #1\n"
"    bne     1b\n"
"    vpop    {d8-d11}\n"
"    pop     {r3}\n"
"    strd    r0, r4, [r3]\n"
"    strd    r8, r12, [r3, #8]\n"
"    strd    r2, r6, [r3, #16]\n"
"    strd    r10, lr, [r3, #24]\n"
"    pop     {r4-r11, pc}\n"
"    .size mve_gradients, .-mve_gradients\n"
);
/* clang-format on */

/* Pairs of outputs, one after the other; in the order of mve_forward()'s registers. */
typedef struct {
    const int16_t *x;      /* packed rows */
    uint32_t turns;        /* vectors of a row */
    const int16_t *first;  /* row of weights */
    uint32_t from_stride;  /* bytes from one sample's sums to the next's */
    const int16_t *second; /* row of weights */
    uint32_t to_stride;
    uint32_t w_gap; /* bytes from the end of a row's vectors to the row two further */
    const int32_t *end; /* of `to` */
    const int32_t *from;
    int32_t *to;
} mve_forward_t;

/* Pairs of inputs, one after the other. Deltas and weights start in front of the first ones, so
 * that the pairs of outputs end with whole vectors. */
typedef struct {
    uint32_t delta[4];    /* where the pairs of sample 0 are */
    uint16_t rows[8];     /* elements from w to eight rows */
    uint32_t w_step;      /* bytes of eight rows */
    uint32_t delta_step;  /* bytes of four pairs of outputs */
    uintptr_t w;          /* column of the first row */
    uint32_t turns;       /* vectors of four pairs of outputs, less one */
    int32_t *low, *high;  /* as kernels_backward_t */
    uint32_t low_step;    /* bytes */
    uintptr_t w_end;      /* behind the columns */
    uint32_t masked;      /* pairs of the first vector that are not there */
} mve_backward_t;

/* Pairs of rows, eight columns of each. */
typedef struct {
    int32_t shift;             /* -s; vf - s with momentum */
    int32_t kept, kept_back;   /* 15 - wb and the opposite */
    uint32_t increment;        /* of the draws of a row */
    uint32_t delta_gap;        /* bytes from the end of a pair's vectors to the next pair;
                                  mve_update_long(), mve_update_momentum(): from its start */
    const int16_t *x;          /* packed inputs */
    int16_t *w;                /* first column of the first row */
    const int16_t *delta;      /* turned tiles */
    uint32_t pairs;            /* of rows */
    uint32_t w_step;           /* bytes of a row */
    int32_t random_shift[4];   /* -32 - shift */
    uint32_t multiplier[4];    /* of the draws of a row */
    uint32_t even[4], odd[4];  /* draws of the columns; then those of the row behind the last */
    int32_t sums[16];          /* even columns of both rows, then odd ones */
    int16_t *velocity;         /* like w */
    uint32_t v_step;
    uint32_t turns;            /* vectors of samples */
    uint32_t momentum;         /* mu */
    int32_t fraction_shift;    /* 1 - vf */
    uint32_t clamped;
    uint32_t velocity_min[4];  /* halves of -32767 */
    uint32_t fraction[4];      /* halves of 2^vf - 1 */
} mve_update_t;

_Static_assert(offsetof(mve_forward_t, to) == 36 && offsetof(mve_backward_t, masked) == 64 &&
                   offsetof(mve_update_t, sums) == 104 && offsetof(mve_update_t, fraction) == 208,
               "the assembly knows the places of the fields");

void mve_forward(const mve_forward_t *record);
void mve_backward(mve_backward_t *record);
bool mve_update8(mve_update_t *record);
bool mve_update16(mve_update_t *record);
bool mve_update_long(mve_update_t *record);
bool mve_update_momentum(mve_update_t *record);
typedef void mve_pack_rows_t(const void *const *rows, int16_t *out, uint32_t inputs,
                             uint32_t skip);
typedef void mve_pack_columns_t(const void *first, int16_t *out, uint32_t inputs,
                                uint32_t samples);
mve_pack_rows_t mve_pack_rows_u8, mve_pack_rows_i8, mve_pack_rows_i16;
mve_pack_columns_t mve_pack8_u8, mve_pack8_i8, mve_pack8_i16;
mve_pack_columns_t mve_pack16_u8, mve_pack16_i8, mve_pack16_i16;
void mve_gradients(const int16_t *x, const int16_t *delta, uint32_t turns, int32_t *sums);

/* A row that is wider has columns beyond a gather's 16-bit offsets: seven rows. */
enum { GATHERED_MAX = 65535 / 7 };

/* Packs inputs first .. first + count - 1 of four rows. */
static void pack_rows(const kernels_layer_t *layer, const kernels_forward_t *forward,
                      uint32_t first, uint32_t count)
{
    mve_pack_rows_t *const pack = layer->format == INPUT_U8   ? mve_pack_rows_u8
                                 : layer->format == INPUT_I8 ? mve_pack_rows_i8
                                                             : mve_pack_rows_i16;
    const uint32_t skip = layer->format == INPUT_I16 ? 2u * first : first;
    pack(forward->row, forward->work, count, skip);
}

void kernels_forward(const kernels_layer_t *layer, const kernels_forward_t *forward,
                     uint32_t first, uint32_t count, int32_t *acc, uint32_t stride)
{
    const uint32_t all = layer->inputs;
    const uint32_t room = forward->work_bytes / 64u * 8u;
    for (uint32_t i = 0; i < all; i += room) {
        const uint32_t inputs = all - i < room ? all - i : room;
        if (first == 0 || room < all) {
            pack_rows(layer, forward, i, inputs);
        }
        const uint32_t turns = (inputs + 7u) / 8u;
        const int16_t *w = layer->weights + first * all + i;
        mve_forward_t record = {
            .x = forward->work,
            .turns = turns,
            .from = i == 0 ? forward->bias + first : acc,
            .to = acc,
            .from_stride = i == 0 ? 0u : 4u * stride,
            .to_stride = 4u * stride,
            .first = w,
            .second = w + all,
            .w_gap = 4u * all - 16u * turns,
            .end = acc + (count & ~1u),
        };
        if (count > 1u) {
            mve_forward(&record);
        }
        if (count % 2u != 0) {
            /* Twice the last row; its second sums land in the gap behind the row of sums. */
            record.first = w + (count - 1u) * all;
            record.second = record.first;
            record.from += count - 1u;
            record.to += count - 1u;
            record.end = record.to + 2;
            mve_forward(&record);
        }
    }
}

static void backward_wide(const kernels_layer_t *layer, const kernels_backward_t *backward)
{
    for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
        int32_t *out = (lane < 2u ? backward->low : backward->high) + 2u * (lane % 2u);
        const uint32_t step = lane < 2u ? 4u * backward->quads : 4u;
        for (uint32_t i = 0; i < layer->inputs; i++) {
            int32_t sum = 0;
            for (uint32_t j = 0; j < layer->outputs; j++) {
                sum += layer->weights[j * layer->inputs + i] *
                       backward->delta[kernels_delta_index(backward->quads, lane, j)];
            }
            out[i / 2u * step + i % 2u] = sum;
        }
    }
}

void kernels_backward(const kernels_layer_t *layer, const kernels_backward_t *backward)
{
    const uint32_t inputs = layer->inputs;
    if (inputs > GATHERED_MAX) {
        backward_wide(layer, backward);
        return;
    }
    const uint32_t tile_bytes = 16u * backward->quads;
    const uint32_t pairs = (layer->outputs + 1u) / 2u;
    const uint32_t masked = (0u - pairs) % 4u;
    const uintptr_t w = (uintptr_t)layer->weights - 4u * inputs * masked;
    mve_backward_t record;
    record.w_step = 16u * inputs;
    record.delta_step = 4u * tile_bytes;
    record.w = w;
    record.turns = (pairs - 1u) / 4u;
    record.low = backward->low;
    record.high = backward->high;
    record.low_step = tile_bytes;
    record.w_end = w + 4u * ((inputs + 1u) / 2u);
    record.masked = masked;
    vst1q_u16(record.rows, vmulq_n_u16(vidupq_n_u16(0, 1), (uint16_t)inputs));
    const uint32_t delta = (uint32_t)(uintptr_t)backward->delta - tile_bytes * masked;
    vst1q_u32(record.delta, vaddq_n_u32(vmulq_n_u32(vidupq_n_u32(0, 1), tile_bytes), delta));
    mve_backward(&record);
}

static mve_pack_columns_t *columns_packer(uint8_t format, bool is_16)
{
    switch (format) {
    case INPUT_U8:
        return is_16 ? mve_pack16_u8 : mve_pack8_u8;
    case INPUT_I8:
        return is_16 ? mve_pack16_i8 : mve_pack8_i8;
    default:
        return is_16 ? mve_pack16_i16 : mve_pack8_i16;
    }
}

/* Vectors of samples. */
static uint32_t update_turns(const kernels_update_t *update)
{
    return (update->count + 7u) / 8u;
}

/* Whether whole vectors of columns can be updated at once: no clamp can change a plain step, and
 * what is packed fits. Range: then |u| <= 2^14, so w - u fits 16 bits. With momentum
 * |u| <= 2^(15 - vf) whatever the gradient. */
static bool is_regular(const kernels_layer_t *layer, const kernels_update_t *update)
{
    return (update->velocity != NULL || update->gradient_max >> update->shift < 16383u) &&
           layer->inputs <= GATHERED_MAX && 128u * update_turns(update) <= update->work_bytes;
}

/* What is the same for all columns. */
static void begin_update(const kernels_update_t *update, random_jump_t row, mve_update_t *record)
{
    const int32_t shift = update->velocity_bits - update->shift;
    record->shift = shift;
    record->kept = 15 - update->weight_bits;
    record->kept_back = update->weight_bits - 15;
    record->increment = row.increment;
    record->x = update->work;
    record->turns = update_turns(update);
    record->momentum = update->momentum;
    record->fraction_shift = 1 - update->velocity_bits;
    vst1q_s32(record->random_shift, vdupq_n_s32(-32 - shift));
    vst1q_u32(record->multiplier, vdupq_n_u32(row.multiplier));
    vst1q_s16((int16_t *)record->velocity_min, vdupq_n_s16(-32767));
    vst1q_s16((int16_t *)record->fraction,
              vdupq_n_s16((int16_t)((1u << update->velocity_bits) - 1u)));
}

/* Eight columns from `first` on of all rows. */
static bool update_eight(const kernels_layer_t *layer, const kernels_update_t *update,
                         bool (*update_rows)(mve_update_t *), uint32_t first,
                         mve_update_t *record)
{
    const uint32_t rows = layer->outputs & ~1u;
    bool changed = false;
    record->w = layer->weights + first;
    record->w_step = 2u * layer->inputs;
    record->velocity = update->velocity + first;
    record->v_step = record->w_step;
    record->delta = update->delta;
    record->pairs = rows / 2u;
    if (rows > 0) {
        changed = update_rows(record);
    }
    if (rows < layer->outputs) {
        /* The last row of an odd number: its partner has no deltas and stays 0. */
        int16_t partner[16] = {0};
        record->w = layer->weights + rows * layer->inputs + first;
        record->w_step = (uint32_t)((uintptr_t)partner - (uintptr_t)record->w);
        record->velocity = update->velocity + rows * layer->inputs + first;
        record->v_step = (uint32_t)((uintptr_t)(partner + 8) - (uintptr_t)record->velocity);
        record->delta = update->delta + 4u * update->quads * rows;
        record->pairs = 1;
        changed |= update_rows(record);
    }
    return changed;
}

/* random_jump() of 1, 3, 5, 7 and of 2, 4, 6, 8 draws. */
static const uint32_t multipliers[8] = {0x0019660Du, 0xAF490A95u, 0xAA9D885Du, 0x6E587165u,
                                        0x17385CA9u, 0x0979E791u, 0xBF69FAB9u, 0xEA890021u};
static const uint32_t increments[8] = {0x3C6EF35Fu, 0xD1CCF6E9u, 0x6252E503u, 0x57FE6C2Du,
                                       0x47502932u, 0xAAF95334u, 0x9F2EC686u, 0xA3D95FA8u};

/* The columns in front of the last, incomplete vector. Returns whether a clamp changed a value. */
static bool update_regular(const kernels_layer_t *layer, const kernels_update_t *update,
                           uint32_t prng)
{
    const uint32_t inputs = layer->inputs;
    const uint32_t turns = update_turns(update);
    const bool is_short = update->velocity == NULL && turns <= 2u;
    const bool is_16 = is_short && turns == 2u;
    bool (*const update_rows)(mve_update_t *) = update->velocity != NULL ? mve_update_momentum
                                                : is_16                  ? mve_update16
                                                : is_short               ? mve_update8
                                                                         : mve_update_long;
    mve_pack_columns_t *const pack = columns_packer(layer->format, is_16);
    const uint32_t width = layer->format == INPUT_I16 ? 2u : 1u;
    const uint8_t *x = update->x;
    int16_t *const work = update->work;
    bool changed = false;
    uint32x4_t even = vaddq_u32(vmulq_n_u32(vld1q_u32(multipliers), prng), vld1q_u32(increments));
    uint32x4_t odd =
        vaddq_u32(vmulq_n_u32(vld1q_u32(multipliers + 4), prng), vld1q_u32(increments + 4));
    mve_update_t record;
    begin_update(update, random_jump(inputs), &record);
    record.delta_gap = 16u * update->quads - (is_short ? 32u * turns : 0u);
    for (uint32_t k = 0; k < 64u * turns; k += 8u) {
        vst1q_s16(work + k, vdupq_n_s16(0));
    }
    for (uint32_t i = 0; i + 8u <= inputs; i += 8u, x += 8u * width) {
        pack(x, work, inputs, update->count);
        vst1q_u32(record.even, even);
        vst1q_u32(record.odd, odd);
        changed |= update_eight(layer, update, update_rows, i, &record);
        even = vaddq_n_u32(vmulq_n_u32(even, multipliers[7]), increments[7]);
        odd = vaddq_n_u32(vmulq_n_u32(odd, multipliers[7]), increments[7]);
    }
    return changed;
}

/* Packs four inputs of all samples: [eight samples][4 inputs][8], 0 beyond the batch. */
static void pack_four(const kernels_layer_t *layer, const kernels_update_t *update, uint32_t i)
{
    const uint32_t inputs = layer->inputs;
    const uint32_t width = layer->format == INPUT_I16 ? 2u : 1u;
    const uint32x4_t lanes = vmulq_n_u32(vidupq_n_u32(0, 1), inputs * width);
    const uint8_t *row = (const uint8_t *)update->x + i * width;
    int16_t *out = update->work;
    for (uint32_t b = 0; b < update->count; b += 8u, row += 8u * inputs * width, out += 32) {
        const uint32_t left = update->count - b;
        const mve_pred16_t low = vctp32q(left), high = vctp32q(left < 4u ? 0u : left - 4u);
        for (uint32_t k = 0; k < 4u; k++) {
            const uint8_t *first = row + k * width;
            const uint8_t *second = first + 4u * inputs * width;
            uint32x4_t a, c;
            if (layer->format == INPUT_U8) {
                a = vldrbq_gather_offset_z_u32(first, lanes, low);
                c = vldrbq_gather_offset_z_u32(second, lanes, high);
            } else if (layer->format == INPUT_I8) {
                a = vreinterpretq_u32_s32(
                    vldrbq_gather_offset_z_s32((const int8_t *)first, lanes, low));
                c = vreinterpretq_u32_s32(
                    vldrbq_gather_offset_z_s32((const int8_t *)second, lanes, high));
            } else {
                a = vldrhq_gather_offset_z_u32((const uint16_t *)(const void *)first, lanes, low);
                c = vldrhq_gather_offset_z_u32((const uint16_t *)(const void *)second, lanes, high);
            }
            vstrhq_u32((uint16_t *)out + 8u * k, a);
            vstrhq_u32((uint16_t *)out + 8u * k + 4u, c);
        }
    }
}

static inline int32x4_t clamp_four(int32x4_t v, int32_t low, int32_t high)
{
    return vmaxq_s32(vminq_s32(v, vdupq_n_s32(high)), vdupq_n_s32(low));
}

/* Bits that a clamp changed. */
static inline uint32x4_t difference(int32x4_t a, int32x4_t b)
{
    return veorq_u32(vreinterpretq_u32_s32(a), vreinterpretq_u32_s32(b));
}

/* kernels_step() without momentum for four columns. */
static inline uint32x4_t step_four(const kernels_update_t *update, int16_t *w, int32x4_t gradient,
                                   uint32x4_t draws, mve_pred16_t valid)
{
    const int32_t s = update->shift;
    const int32_t high = (1 << update->weight_bits) - 1;
    const int32x4_t random = vreinterpretq_s32_u32(vshlq_r_u32(draws, s - 32));
    const int32x4_t u = vshlq_r_s32(vaddq_s32(gradient, random), -s);
    const int32x4_t u_kept = clamp_four(u, -16384, 16383);
    const int32x4_t v = vsubq_s32(vldrhq_z_s32(w, valid), u_kept);
    const int32x4_t v_kept = clamp_four(v, -high - 1, high);
    vstrhq_p_s32(w, v_kept, valid);
    return vorrq_u32(difference(u, u_kept), difference(v, v_kept));
}

/* kernels_step() with momentum for four columns. */
static inline uint32x4_t step_four_momentum(const kernels_update_t *update, int16_t *w,
                                            int16_t *velocity, int32x4_t gradient,
                                            uint32x4_t draws, mve_pred16_t valid)
{
    const int32_t vf = update->velocity_bits;
    const int32_t s = update->shift - vf;
    const int32_t high = (1 << update->weight_bits) - 1;
    const int32x4_t random = vreinterpretq_s32_u32(vshlq_r_u32(draws, s - 32));
    const int32x4_t g = clamp_four(vshlq_r_s32(vaddq_s32(gradient, random), -s), -32767, 32767);
    const uint32x4_t byte = vandq_u32(vshrq_n_u32(draws, 8), vdupq_n_u32(255));
    const uint32x4_t fraction = vandq_u32(vshrq_n_u32(draws, 16), vdupq_n_u32((1u << vf) - 1u));
    const int32x4_t kept = vmlaq_n_s32(vreinterpretq_s32_u32(byte), vldrhq_z_s32(velocity, valid),
                                       update->momentum);
    const int32x4_t v = clamp_four(vaddq_s32(vshrq_n_s32(kept, 8), g), -32767, 32767);
    const int32x4_t u = vshlq_r_s32(vaddq_s32(v, vreinterpretq_s32_u32(fraction)), -vf);
    const int32x4_t moved = vsubq_s32(vldrhq_z_s32(w, valid), u);
    const int32x4_t moved_kept = clamp_four(moved, -high - 1, high);
    vstrhq_p_s32(velocity, v, valid);
    vstrhq_p_s32(w, moved_kept, valid);
    return difference(moved, moved_kept);
}

/* Columns i .. i + 3 of all rows. `draws` of row 0. */
static uint32x4_t update_four(const kernels_layer_t *layer, const kernels_update_t *update,
                              uint32_t i, uint32x4_t draws)
{
    const uint32_t inputs = layer->inputs;
    const random_jump_t row = random_jump(inputs);
    const mve_pred16_t valid = vctp32q(inputs - i);
    const uint32_t turns = (update->count + 7u) / 8u;
    uint32x4_t changed = vdupq_n_u32(0);
    int32_t sums[8];
    uint32_t at = i;
    for (uint32_t j = 0; j < layer->outputs; j++, at += inputs) {
        if (j % 2u == 0) {
            mve_gradients(update->work, update->delta + 4u * update->quads * j, turns, sums);
        }
        const int32x4_t gradient = vld1q_s32(sums + 4u * (j % 2u));
        int16_t *w = layer->weights + at;
        const uint32x4_t bits =
            update->velocity == NULL
                ? step_four(update, w, gradient, draws, valid)
                : step_four_momentum(update, w, update->velocity + at, gradient, draws, valid);
        changed = vorrq_m_u32(changed, changed, bits, valid);
        draws = vaddq_n_u32(vmulq_n_u32(draws, row.multiplier), row.increment);
    }
    return changed;
}

/* Columns from `first` on, any step. Returns whether a clamp changed a value. */
static __attribute__((noinline)) bool update_columns(const kernels_layer_t *layer,
                                                     const kernels_update_t *update,
                                                     uint32_t first, uint32_t prng)
{
    const random_jump_t four = random_jump(4);
    uint32_t words[4];
    prng = random_ahead(prng, first);
    for (uint32_t k = 0; k < 4u; k++) {
        words[k] = random_draw(&prng);
    }
    uint32x4_t draws = vld1q_u32(words), changed = vdupq_n_u32(0);
    for (uint32_t i = first; i < layer->inputs; i += 4u) {
        pack_four(layer, update, i);
        changed = vorrq_u32(changed, update_four(layer, update, i, draws));
        draws = vaddq_n_u32(vmulq_n_u32(draws, four.multiplier), four.increment);
    }
    vst1q_u32(words, changed);
    return (words[0] | words[1] | words[2] | words[3]) != 0;
}

bool kernels_update(const kernels_layer_t *layer, const kernels_update_t *update, uint32_t *prng)
{
    const uint32_t start = *prng;
    uint32_t first = 0;
    bool changed = false;
    *prng = random_ahead(start, (uint32_t)layer->inputs * layer->outputs);
    if (is_regular(layer, update)) {
        changed = update_regular(layer, update, start);
        first = layer->inputs & ~7u;
    }
    if (first < layer->inputs) {
        changed |= update_columns(layer, update, first, start);
    }
    return changed;
}

#endif
