/* The kernels for cores with dual 16-bit multiply-accumulate: Cortex-M4, M7, M33.
 *
 * A block is four samples by two outputs, or four inputs by two outputs: eight sums in r2..r9, a
 * pair of terms of each in one SMLAD. Packed rows and turned deltas feed it with LDRD:
 *   rows       [pair of inputs][4 samples]           (x_i, x_i+1)
 *   gradient   [pair of samples][4 inputs]           (x of b, x of b + 1)
 *   weights    [2 outputs][pair of inputs][2]        (w_i, w_i+1), see kernels_index()
 * gcc keeps at most six of the eight sums in registers; hence assembly. */
#pragma GCC optimize("O3")
#include "kernels.h"

#ifdef KERNELS_DSP

#include "kernels_step.h"
#include "protocol.h"

#include <arm_acle.h>
#include <string.h>

/* clang-format off */
__asm__(
"    .syntax unified\n"
"    .thumb\n"

/* Two terms of each sum: r0 four words (16 bytes a step), r1 two words (8 bytes a step). */
"    .macro dsp_terms at\n"
"    ldrd    r10, r11, [r0, #\\at*16]\n"
"    ldrd    r12, lr, [r1, #\\at*8]\n"
"    smlad   r2, r10, r12, r2\n"
"    smlad   r3, r10, lr, r3\n"
"    smlad   r4, r11, r12, r4\n"
"    smlad   r5, r11, lr, r5\n"
"    ldrd    r10, r11, [r0, #\\at*16+8]\n"
"    smlad   r6, r10, r12, r6\n"
"    smlad   r7, r10, lr, r7\n"
"    smlad   r8, r11, r12, r8\n"
"    smlad   r9, r11, lr, r9\n"
"    .endm\n"

/* Eight steps a turn, entered where the first turn has to begin: 44 bytes a step. */
"    .macro dsp_turn\n"
"    .balign 4\n"
"1:\n"
"    .set dsp_step, 0\n"
"    .rept 8\n"
"    dsp_terms dsp_step\n"
"    .set dsp_step, dsp_step+1\n"
"    .endr\n"
"    .endm\n"
"    .macro dsp_turns end\n"
"    dsp_turn\n"
"    ldr     r10, [sp, #\\end]\n"
"    adds    r0, #128\n"
"    adds    r1, #64\n"
"    cmp     r1, r10\n"
"    bne     1b\n"
"    .endm\n"

/* dsp_forward(r0 = dsp_forward_t): all pairs of outputs of four samples.
 * Frame: the record, then [44] end of the weights of this block. */
"    .text\n"
"    .balign 4\n"
"    .global dsp_forward\n"
"    .thumb_func\n"
"    .type dsp_forward, %function\n"
"dsp_forward:\n"
"    push    {r4-r11, lr}\n"
"    sub     sp, #52\n"
"    ldm     r0!, {r2-r12}\n"
"    stm     sp, {r2-r12}\n"
"    mov     r1, r12\n"
"    adr     r10, 1f\n"
"    ldr     r11, [sp, #12]\n"
"    add     r10, r10, r11\n"
"    orr     r10, r10, #1\n"
"    str     r10, [sp, #12]\n"
"2:\n"
"    ldrd    r12, r11, [sp, #24]\n"
"    ldrd    r2, r3, [r12], #8\n"
"    str     r12, [sp, #24]\n"
"    add     r10, r12, r11\n"
"    ldrd    r4, r5, [r10, #-8]\n"
"    add     r10, r10, r11\n"
"    ldrd    r6, r7, [r10, #-8]\n"
"    add     r10, r10, r11\n"
"    ldrd    r8, r9, [r10, #-8]\n"
"    ldrd    r0, r12, [sp, #0]\n"
"    ldrd    r10, r11, [sp, #8]\n"
"    add     r10, r10, r1\n"
"    sub     r1, r1, r12\n"
"    str     r10, [sp, #44]\n"
"    bx      r11\n"
"    dsp_turns 44\n"
"    ldrd    r12, r11, [sp, #32]\n"
"    strd    r2, r3, [r12], #8\n"
"    str     r12, [sp, #32]\n"
"    add     r10, r12, r11\n"
"    strd    r4, r5, [r10, #-8]\n"
"    add     r10, r10, r11\n"
"    strd    r6, r7, [r10, #-8]\n"
"    add     r10, r10, r11\n"
"    strd    r8, r9, [r10, #-8]\n"
"    ldrd    r10, r11, [sp, #16]\n"
"    add     r1, r1, r11\n"
"    subs    r10, r10, #1\n"
"    str     r10, [sp, #16]\n"
"    bne     2b\n"
"    add     sp, #52\n"
"    pop     {r4-r11, pc}\n"
"    .size dsp_forward, .-dsp_forward\n"

/* dsp_backward(r0 = dsp_backward_t): all pairs of inputs of four samples. r0 runs over the tiles,
 * r1 over the weights of a pair of columns; PKH turns the weights so that a word holds two
 * outputs. Frame: the record. */
"    .balign 4\n"
"    .global dsp_backward\n"
"    .thumb_func\n"
"    .type dsp_backward, %function\n"
"dsp_backward:\n"
"    push    {r4-r11, lr}\n"
"    sub     sp, #36\n"
"    ldm     r0!, {r2-r10}\n"
"    stm     sp, {r2-r10}\n"
"2:\n"
"    ldrd    r0, r1, [sp, #12]\n"
"    movs    r2, #0\n"
"    movs    r3, #0\n"
"    movs    r4, #0\n"
"    movs    r5, #0\n"
"    movs    r6, #0\n"
"    movs    r7, #0\n"
"    mov     r8, r2\n"
"    mov     r9, r2\n"
"    .balign 4\n"
"1:\n"
"    ldrd    r10, r11, [r1]\n"
"    pkhbt   r12, r10, r11, lsl #16\n"
"    pkhtb   r11, r11, r10, asr #16\n"
"    ldrd    r10, lr, [r0]\n"
"    smlad   r2, r10, r12, r2\n"
"    smlad   r3, r10, r11, r3\n"
"    smlad   r4, lr, r12, r4\n"
"    smlad   r5, lr, r11, r5\n"
"    ldrd    r10, lr, [r0, #8]\n"
"    smlad   r6, r10, r12, r6\n"
"    smlad   r7, r10, r11, r7\n"
"    smlad   r8, lr, r12, r8\n"
"    smlad   r9, lr, r11, r9\n"
"    ldm     sp, {r10, r11, r12}\n"
"    add     r0, r0, r10\n"
"    add     r1, r1, r11\n"
"    cmp     r0, r12\n"
"    bne     1b\n"
"    ldrd    r12, lr, [sp, #20]\n"
"    stm     r12, {r2-r5}\n"
"    stm     lr!, {r6-r9}\n"
"    add     r12, r12, r10\n"
"    strd    r12, lr, [sp, #20]\n"
"    ldr     r1, [sp, #16]\n"
"    adds    r1, #8\n"
"    str     r1, [sp, #16]\n"
"    ldr     r10, [sp, #28]\n"
"    subs    r10, r10, #1\n"
"    str     r10, [sp, #28]\n"
"    bne     2b\n"
"    add     sp, #36\n"
"    pop     {r4-r11, pc}\n"
"    .size dsp_backward, .-dsp_backward\n"

/* u: the sums shifted right by r10. */
"    .macro dsp_shift\n"
"    asrs    r2, r10\n"
"    asrs    r3, r10\n"
"    asrs    r4, r10\n"
"    asrs    r5, r10\n"
"    asrs    r6, r10\n"
"    asrs    r7, r10\n"
"    asr     r8, r8, r10\n"
"    asr     r9, r9, r10\n"
"    .endm\n"

/* The end of a block of weights whose steps are in r2..r9: w - u for two rows of four, saturated
 * to `bits` bits (sticky flag Q), then the next pair of rows. */
"    .macro dsp_step_end bits\n"
"dsp_step_end_\\bits:\n"
"    dsp_shift\n"
"dsp_step_kept_\\bits:\n"
"    ldrd    lr, r12, [sp, #44]\n"
"    pkhbt   r2, r2, r4, lsl #16\n"
"    pkhbt   r3, r3, r5, lsl #16\n"
"    pkhbt   r4, r6, r8, lsl #16\n"
"    pkhbt   r5, r7, r9, lsl #16\n"
"    ldm     lr, {r6-r9}\n"
"    ssub16  r6, r6, r2\n"
"    ssub16  r7, r7, r3\n"
"    ssub16  r8, r8, r4\n"
"    ssub16  r9, r9, r5\n"
"    ssat16  r6, #\\bits, r6\n"
"    ssat16  r7, #\\bits, r7\n"
"    ssat16  r8, #\\bits, r8\n"
"    ssat16  r9, #\\bits, r9\n"
"    stm     lr, {r6-r9}\n"
"    add     lr, lr, r12\n"
"    str     lr, [sp, #44]\n"
"    ldrd    r10, r11, [sp, #52]\n"
"    add     r1, r1, r11\n"
"    cmp     lr, r10\n"
"    bne     2b\n"
"    b       dsp_update_end\n"
"    .endm\n"

/* Continues where r11 says: at `name` for 8 .. 15 bits; 8: at the clamp of the steps; 9: at the
 * next turn. */
"    .macro dsp_dispatch name, label\n"
"    tbh     [pc, r11, lsl #1]\n"
"\\label:\n"
"    .irp    bits, 8, 9, 10, 11, 12, 13, 14, 15\n"
"    .short  (\\name\\()_\\bits-\\label\\()b)/2\n"
"    .endr\n"
"    .short  (dsp_step_clamp-\\label\\()b)/2\n"
"    .short  (dsp_step_turn-\\label\\()b)/2\n"
"    .endm\n"

/* dsp_update(r0 = dsp_update_t, r1 = turned tiles): four inputs of all pairs of rows. A sum starts
 * with the random part of its weight. Frame: the record. */
"    .balign 4\n"
"    .global dsp_update\n"
"    .thumb_func\n"
"    .type dsp_update, %function\n"
"dsp_update:\n"
"    push    {r4-r11, lr}\n"
"    sub     sp, #84\n"
"    mov     lr, sp\n"
"    ldm     r0!, {r2-r12}\n"
"    stm     lr!, {r2-r12}\n"
"    ldm     r0!, {r2-r10}\n"
"    stm     lr!, {r2-r10}\n"
"    adr     r10, 1f\n"
"    ldr     r11, [sp, #32]\n"
"    add     r10, r10, r11\n"
"    orr     r10, r10, #1\n"
"    str     r10, [sp, #32]\n"
"2:\n"
"    ldm     sp, {r9-r12, lr}\n"
"    mla     r10, r10, r12, lr\n"
"    lsr     r2, r10, r9\n"
"    mla     r11, r11, r12, lr\n"
"    lsr     r3, r11, r9\n"
"    mla     r10, r10, r12, lr\n"
"    lsr     r4, r10, r9\n"
"    mla     r11, r11, r12, lr\n"
"    lsr     r5, r11, r9\n"
"    mla     r10, r10, r12, lr\n"
"    lsr     r6, r10, r9\n"
"    mla     r11, r11, r12, lr\n"
"    lsr     r7, r11, r9\n"
"    mla     r10, r10, r12, lr\n"
"    lsr     r8, r10, r9\n"
"    mla     r11, r11, r12, lr\n"
"    lsr     r9, r11, r9\n"
"    ldrd    r12, lr, [sp, #20]\n"
"    mla     r10, r10, r12, lr\n"
"    mla     r11, r11, r12, lr\n"
"    strd    r10, r11, [sp, #4]\n"
"    ldrd    r0, r12, [sp, #28]\n"
"    bx      r12\n"
"    dsp_turn\n"
"    ldrd    r10, r11, [sp, #60]\n"
"    dsp_dispatch dsp_step_end, 3\n"
"dsp_step_turn:\n"
"    adds    r0, #128\n"
"    adds    r1, #64\n"
"    ldr     r12, [sp, #76]\n"
"    cmp     r0, r12\n"
"    bne     1b\n"
"    ldr     r11, [sp, #72]\n"
"    dsp_dispatch dsp_step_end, 5\n"
"dsp_step_clamp:\n"
"    dsp_shift\n"
"    ssat    r2, #15, r2\n"
"    ssat    r3, #15, r3\n"
"    ssat    r4, #15, r4\n"
"    ssat    r5, #15, r5\n"
"    ssat    r6, #15, r6\n"
"    ssat    r7, #15, r7\n"
"    ssat    r8, #15, r8\n"
"    ssat    r9, #15, r9\n"
"    ldr     r11, [sp, #68]\n"
"    dsp_dispatch dsp_step_kept, 4\n"
"    dsp_step_end 15\n"
"    dsp_step_end 14\n"
"    dsp_step_end 13\n"
"    dsp_step_end 12\n"
"    dsp_step_end 11\n"
"    dsp_step_end 10\n"
"    dsp_step_end 9\n"
"    dsp_step_end 8\n"
"dsp_update_end:\n"
"    add     sp, #84\n"
"    pop     {r4-r11, pc}\n"
"    .size dsp_update, .-dsp_update\n"
);
/* clang-format on */

#define STEPS_A_TURN 8u
#define BYTES_A_STEP 44u /* of code */

/* Steps that the first turn leaves out. */
static uint32_t left_out(uint32_t steps)
{
    return (0u - steps) % STEPS_A_TURN;
}

/* (a, b) of the low halves; of the high halves. */
static inline uint32_t low_halves(uint32_t a, uint32_t b)
{
    uint32_t halves;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(halves) : "r"(a), "r"(b));
    return halves;
}

static inline uint32_t high_halves(uint32_t a, uint32_t b)
{
    uint32_t halves;
    __asm__("pkhtb %0, %2, %1, asr #16" : "=r"(halves) : "r"(a), "r"(b));
    return halves;
}

/* Elements 0 and 2 of four bytes; elements 1 and 3. */
static inline uint32_t even_bytes(uint32_t bytes, uint8_t format)
{
    return format == INPUT_U8 ? __uxtb16(bytes) : (uint32_t)__sxtb16((int8x4_t)bytes);
}

static inline uint32_t odd_bytes(uint32_t bytes, uint8_t format)
{
    return even_bytes(bytes >> 8 | bytes << 24, format);
}

static inline uint32_t load_word(const void *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline int32_t load_element(const void *row, uint32_t i, uint8_t format)
{
    return format == INPUT_U8   ? ((const uint8_t *)row)[i]
           : format == INPUT_I8 ? ((const int8_t *)row)[i]
                                : ((const int16_t *)row)[i];
}

static uint32_t load_pair(const void *row, uint32_t i, uint8_t format)
{
    return low_halves((uint32_t)load_element(row, i, format),
                      (uint32_t)load_element(row, i + 1u, format));
}

/* Packs inputs first .. first + 2 * pairs - 1 of four rows. */
static void pack_rows(const kernels_layer_t *layer, const kernels_forward_t *forward,
                      uint32_t first, uint32_t pairs)
{
    const uint8_t format = layer->format;
    uint32_t *out = forward->work;
    if (format == INPUT_I16) {
        for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
            const int16_t *row = (const int16_t *)forward->row[lane] + first;
            uint32_t *to = out + lane;
            for (uint32_t pair = 0; pair < pairs; pair++, to += 4) {
                *to = load_word(row + 2u * pair);
            }
        }
        return;
    }
    for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
        const uint8_t *row = (const uint8_t *)forward->row[lane] + first;
        const uint8_t *end = row + 2u * (pairs & ~1u);
        uint32_t *to = out + lane;
        for (; row != end; row += 4, to += 8) {
            const uint32_t bytes = load_word(row);
            const uint32_t even = even_bytes(bytes, format), odd = odd_bytes(bytes, format);
            to[0] = low_halves(even, odd);
            to[4] = high_halves(even, odd);
        }
        if (pairs % 2u != 0) {
            *to = load_pair(row, 0, format);
        }
    }
}

typedef struct {
    const uint32_t *x;       /* packed rows, in front by the steps left out */
    uint32_t w_left_out;     /* bytes of weights that the first turn must go back */
    uint32_t w_bytes;        /* bytes of weights of a block */
    uint32_t entry;          /* bytes of code to skip */
    uint32_t blocks;         /* pairs of outputs */
    uint32_t w_gap;          /* bytes of weights between blocks */
    const int32_t *from;     /* initial sums */
    uint32_t from_stride;    /* bytes between lanes */
    int32_t *to;             /* sums */
    uint32_t to_stride;
    const int16_t *w;
} dsp_forward_t;

void dsp_forward(const dsp_forward_t *block);

/* One row alone: two terms a word. */
static void forward_single(const uint32_t *x, const int16_t *w, uint32_t pairs, int32_t *acc,
                           uint32_t stride)
{
    for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
        int32_t sum = acc[lane * stride];
        for (uint32_t pair = 0; pair < pairs; pair++) {
            sum = __smlad((int16x2_t)x[4u * pair + lane], (int16x2_t)load_word(w + 2u * pair), sum);
        }
        acc[lane * stride] = sum;
    }
}

/* The last input of an odd number. */
static void forward_odd_input(const kernels_layer_t *layer, const kernels_forward_t *forward,
                              uint32_t first, uint32_t count, int32_t *acc, uint32_t stride)
{
    const uint32_t i = layer->inputs - 1u;
    for (uint32_t lane = 0; lane < forward->lanes; lane++) {
        const int32_t x = load_element(forward->row[lane], i, layer->format);
        for (uint32_t j = 0; j < count; j++) {
            acc[lane * stride + j] += layer->weights[kernels_index(layer, first + j, i)] * x;
        }
    }
}

static void start_sums(const int32_t *bias, uint32_t count, int32_t *acc, uint32_t stride)
{
    for (uint32_t lane = 0; lane < KERNELS_LANES; lane++, acc += stride) {
        for (uint32_t j = 0; j < count; j++) {
            acc[j] = bias[j];
        }
    }
}

void kernels_forward(const kernels_layer_t *layer, const kernels_forward_t *forward,
                     uint32_t first, uint32_t count, int32_t *acc, uint32_t stride)
{
    const uint32_t all = layer->inputs / 2u;
    const uint32_t room = forward->work_bytes / 16u;
    const uint32_t blocks = count / 2u;
    const int32_t *bias = forward->bias + first;
    if (all == 0) {
        start_sums(bias, count, acc, stride);
    } else if (count % 2u != 0) {
        start_sums(bias + count - 1u, 1, acc + count - 1u, stride);
    }
    for (uint32_t pair = 0; pair < all; pair += room) {
        const uint32_t pairs = all - pair < room ? all - pair : room;
        if (first == 0 || room < all) {
            pack_rows(layer, forward, 2u * pair, pairs);
        }
        const uint32_t skip = left_out(pairs);
        const uint32_t stride_bytes = 4u * stride;
        const dsp_forward_t block = {
            .x = (const uint32_t *)forward->work - 4u * skip,
            .w_left_out = 8u * skip,
            .w_bytes = 8u * pairs,
            .entry = BYTES_A_STEP * skip,
            .blocks = blocks,
            .w_gap = 4u * layer->inputs - 8u * pairs,
            .from = pair == 0 ? bias : acc,
            .from_stride = pair == 0 ? 0u : stride_bytes,
            .to = acc,
            .to_stride = stride_bytes,
            .w = layer->weights + first * layer->inputs + 4u * pair,
        };
        if (blocks > 0) {
            dsp_forward(&block);
        }
        if (count % 2u != 0) {
            const uint32_t j = count - 1u;
            forward_single(forward->work,
                           layer->weights + kernels_index(layer, first + j, 2u * pair), pairs,
                           acc + j, stride);
        }
    }
    if (layer->inputs % 2u != 0) {
        forward_odd_input(layer, forward, first, count, acc, stride);
    }
}

typedef struct {
    uint32_t tile_bytes;  /* from one pair of outputs to the next */
    uint32_t w_bytes;     /* the same in the weights */
    const int16_t *end;   /* behind the last tile */
    const int16_t *delta;
    const int16_t *w;
    int32_t *low, *high;
    uint32_t blocks;      /* pairs of inputs */
    uint32_t unused;
} dsp_backward_t;

void dsp_backward(const dsp_backward_t *block);

/* e_i += w * d of one output: the last of an odd number. */
static void backward_single(const kernels_layer_t *layer, const kernels_backward_t *backward,
                            uint32_t j, uint32_t first)
{
    for (uint32_t lane = 0; lane < backward->lanes; lane++) {
        const int32_t d = backward->delta[kernels_delta_index(backward->quads, lane, j)];
        int32_t *out = (lane < 2u ? backward->low : backward->high) + 2u * (lane % 2u);
        const uint32_t step = lane < 2u ? 4u * backward->quads : 4u;
        for (uint32_t i = first; i < layer->inputs; i++) {
            out[i / 2u * step + i % 2u] += layer->weights[kernels_index(layer, j, i)] * d;
        }
    }
}

static void clear_pair(const kernels_backward_t *backward, uint32_t pair)
{
    memset(backward->low + 4u * backward->quads * pair, 0, 16);
    memset(backward->high + 4u * pair, 0, 16);
}

void kernels_backward(const kernels_layer_t *layer, const kernels_backward_t *backward)
{
    const uint32_t outputs = layer->outputs & ~1u;
    const uint32_t columns = outputs == 0 ? 0 : layer->inputs & ~1u;
    const dsp_backward_t block = {
        .tile_bytes = 16u * backward->quads,
        .w_bytes = 4u * layer->inputs,
        .end = backward->delta + 4u * backward->quads * outputs,
        .delta = backward->delta,
        .w = layer->weights,
        .low = backward->low,
        .high = backward->high,
        .blocks = columns / 2u,
    };
    if (block.blocks > 0) {
        dsp_backward(&block);
    }
    for (uint32_t i = columns; i < layer->inputs; i += 2u) {
        clear_pair(backward, i / 2u);
    }
    for (uint32_t j = 0; j < outputs && columns < layer->inputs; j++) {
        backward_single(layer, backward, j, columns);
    }
    if (layer->outputs % 2u != 0) {
        backward_single(layer, backward, outputs, 0);
    }
}

typedef struct {
    uint32_t random_shift;     /* 32 - s */
    uint32_t prng[2];          /* of the two rows, in front of the block */
    random_jump_t draw;
    random_jump_t next_rows;   /* from behind the block to in front of the next rows' */
    const uint32_t *x;         /* packed inputs, in front by the steps left out */
    uint32_t entry;            /* bytes of code to skip */
    uint32_t unused[2];
    int16_t *w;
    uint32_t w_bytes;          /* from one pair of rows to the next */
    const int16_t *w_end;
    uint32_t tile_gap;         /* from behind the last turn to the first turn of the next rows */
    uint32_t shift;            /* s */
    uint32_t first, kept, last; /* what dsp_dispatch takes behind the first turn, behind the clamp,
                                   behind the last of several turns */
    const uint32_t *last_x;     /* packed inputs behind the last turn */
} dsp_update_t;

void dsp_update(const dsp_update_t *block, const int16_t *delta);

#define END_OF_BITS(bits) ((bits)-8u)
#define END_CLAMP 8u
#define END_TURN 9u

static void clear_sticky(void)
{
    __asm volatile("msr APSR_nzcvq, %0" : : "r"(0) : "cc");
}

static bool is_sticky(void)
{
    uint32_t flags;
    __asm volatile("mrs %0, APSR" : "=r"(flags));
    return (flags >> 27 & 1u) != 0;
}

/* Packs up to four inputs of all samples; beyond the batch and the row: 0 or what a delta of 0
 * makes 0. */
static void pack_inputs(const kernels_layer_t *layer, const kernels_update_t *update,
                        uint32_t first)
{
    const uint8_t format = layer->format;
    const uint32_t count = update->count;
    const uint32_t row_bytes = format == INPUT_I16 ? 2u * layer->inputs : layer->inputs;
    const uint8_t *row = (const uint8_t *)update->x + (format == INPUT_I16 ? 2u * first : first);
    uint32_t *out = update->work;
    const uint32_t columns = layer->inputs - first;
    for (uint32_t b = 0; b < count; b += 2u, row += 2u * row_bytes, out += 4) {
        const uint8_t *other = b + 1u < count ? row + row_bytes : row;
        if (columns < 4u) {
            for (uint32_t i = 0; i < 4u; i++) {
                out[i] = i >= columns ? 0u
                                      : low_halves((uint32_t)load_element(row, i, format),
                                                   (uint32_t)load_element(other, i, format));
            }
        } else if (format == INPUT_I16) {
            for (uint32_t i = 0; i < 4u; i += 2u) {
                const uint32_t a = load_word(row + 2u * i), c = load_word(other + 2u * i);
                out[i] = low_halves(a, c);
                out[i + 1u] = high_halves(a, c);
            }
        } else {
            const uint32_t a = load_word(row), c = load_word(other);
            const uint32_t a_even = even_bytes(a, format), c_even = even_bytes(c, format);
            const uint32_t a_odd = odd_bytes(a, format), c_odd = odd_bytes(c, format);
            out[0] = low_halves(a_even, c_even);
            out[1] = low_halves(a_odd, c_odd);
            out[2] = high_halves(a_even, c_even);
            out[3] = high_halves(a_odd, c_odd);
        }
    }
}

/* Rows first_row .. of the four columns from `first` on, fewer at the borders: through a copy, one
 * pair of rows at a time, filled with zeros that stay zero. */
static void update_border(const kernels_layer_t *layer, dsp_update_t block,
                          const kernels_update_t *update, const int16_t *delta,
                          uint32_t first_row, uint32_t first)
{
    const uint32_t columns = layer->inputs - first < 4u ? layer->inputs - first : 4u;
    const random_jump_t rows = random_jump(2u * layer->inputs);
    block.prng[0] = random_leap(block.prng[0], random_jump(first_row * layer->inputs));
    block.prng[1] = random_ahead(block.prng[0], layer->inputs);
    for (uint32_t j = first_row; j < layer->outputs; j += 2u) {
        const uint32_t count = layer->outputs - j < 2u ? 1u : 2u;
        int16_t copy[8] = {0};
        for (uint32_t i = 0; i < columns; i++) {
            for (uint32_t k = 0; k < count; k++) {
                copy[4u * (i / 2u) + 2u * k + i % 2u] =
                    layer->weights[kernels_index(layer, j + k, first + i)];
            }
        }
        block.w = copy;
        block.w_end = copy + block.w_bytes / 2u;
        dsp_update(&block, delta + 4u * update->quads * j);
        for (uint32_t i = 0; i < columns; i++) {
            for (uint32_t k = 0; k < count; k++) {
                layer->weights[kernels_index(layer, j + k, first + i)] =
                    copy[4u * (i / 2u) + 2u * k + i % 2u];
            }
        }
        block.prng[0] = random_leap(block.prng[0], rows);
        block.prng[1] = random_leap(block.prng[1], rows);
    }
}

/* The eight gradients of a block, in the order of its sums. */
static void gradients(const uint32_t *x, const int16_t *delta, uint32_t steps, int32_t *g)
{
    memset(g, 0, 8u * sizeof *g);
    for (uint32_t step = 0; step < steps; step++, x += 4, delta += 4) {
        const int16x2_t d0 = (int16x2_t)load_word(delta), d1 = (int16x2_t)load_word(delta + 2);
        for (uint32_t i = 0; i < 4u; i++) {
            g[2u * i] = __smlad((int16x2_t)x[i], d0, g[2u * i]);
            g[2u * i + 1u] = __smlad((int16x2_t)x[i], d1, g[2u * i + 1u]);
        }
    }
}

/* With momentum: the gradients by SMLAD, the steps one by one. prng: in front of each row. */
static int32_t update_momentum(const kernels_layer_t *layer, const kernels_update_t *update,
                               uint32_t first, uint32_t prng)
{
    const uint32_t columns = layer->inputs - first < 4u ? layer->inputs - first : 4u;
    const random_jump_t row = random_jump(layer->inputs);
    int32_t changed = 0;
    for (uint32_t j = 0; j < layer->outputs; j++, prng = random_leap(prng, row)) {
        int32_t g[8];
        uint32_t r = prng;
        if (j % 2u == 0) {
            gradients(update->work, update->delta + 4u * update->quads * j,
                      2u * kernels_quads(update->count), g);
        }
        for (uint32_t i = 0; i < columns; i++) {
            const uint32_t at = kernels_index(layer, j, first + i);
            layer->weights[at] =
                kernels_step_momentum(layer->weights[at], update->velocity + at,
                                      g[2u * i + j % 2u], random_draw(&r), update, &changed);
        }
    }
    return changed;
}

bool kernels_update(const kernels_layer_t *layer, const kernels_update_t *update, uint32_t *prng)
{
    const uint32_t inputs = layer->inputs, outputs = layer->outputs;
    const uint32_t steps = 2u * kernels_quads(update->count);
    const uint32_t skip = left_out(steps);
    const bool may_clamp = update->gradient_max >> update->shift >= 16383u;
    const uint32_t end = END_OF_BITS(update->weight_bits + 1u);
    const uint32_t last = may_clamp ? END_CLAMP : end;
    const uint32_t turns = (steps + skip) / STEPS_A_TURN;
    const int16_t *delta = update->delta - 4u * skip;
    dsp_update_t block = {
        .random_shift = 32u - update->shift,
        .prng = {*prng, random_ahead(*prng, inputs)},
        .draw = {RANDOM_MULTIPLIER, RANDOM_INCREMENT},
        .next_rows = random_jump(2u * inputs - 4u),
        .x = (const uint32_t *)update->work - 4u * skip,
        .entry = BYTES_A_STEP * skip,
        .w_bytes = 4u * inputs,
        .tile_gap = 16u * update->quads - (turns > 1u ? 8u * turns * STEPS_A_TURN : 0u),
        .shift = update->shift,
        .first = turns > 1u ? END_TURN : last,
        .kept = end,
        .last = last,
        .last_x = (const uint32_t *)update->work - 4u * skip + 4u * turns * STEPS_A_TURN,
    };
    const random_jump_t columns = random_jump(4);
    int32_t changed = 0;
    clear_sticky();
    for (uint32_t i = 0; i < inputs; i += 4u) {
        pack_inputs(layer, update, i);
        if (update->velocity != NULL) {
            changed |= update_momentum(layer, update, i, block.prng[0]);
        } else {
            const uint32_t rows = inputs - i < 4u ? 0u : outputs & ~1u;
            if (rows > 0) {
                block.w = layer->weights + 2u * i;
                block.w_end = block.w + rows * inputs;
                dsp_update(&block, delta);
            }
            if (rows < outputs) {
                update_border(layer, block, update, delta, rows, i);
            }
        }
        block.prng[0] = random_leap(block.prng[0], columns);
        block.prng[1] = random_leap(block.prng[1], columns);
    }
    *prng = random_ahead(*prng, inputs * outputs);
    return is_sticky() || changed != 0;
}

#endif
