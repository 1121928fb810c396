/* The kernels for cores with a 32-bit multiply-accumulate and no dual one: Cortex-M3.
 *
 * A block is eight sums in r2..r9: four samples, or four inputs, by two outputs. The side of four
 * is gathered into words beforehand, so that LDRD loads two terms at once; the side of two is
 * halves in memory, the pairs of weights or of deltas as they stand.
 *   rows       [input][4 samples]  i32
 *   gradient   [sample][4 inputs]  i32
 * A term of each sum is 12 instructions for eight products. gcc spills three of the eight sums;
 * hence assembly. Ranges: kernels.h; no sum wraps. */
#include "kernels.h"

#ifdef KERNELS_MLA

#include "kernels_step.h"
#include "protocol.h"

#include <stddef.h>

/* clang-format off */
__asm__(
"    .syntax unified\n"
"    .thumb\n"
"    .text\n"

/* Terms: four words at r0, two halves at r1. */
"    .macro mla_load\n"
"    ldrd    r10, r11, [r0], #8\n"
"    ldrsh   r12, [r1], #2\n"
"    ldrsh   lr, [r1], #2\n"
"    .endm\n"

/* Eight terms of each sum, 48 bytes each, entered where the first turn has to begin, until r0 is
 * at its end; then to the caller's address. Frame: [0] x, [4] its end, [8] where to enter,
 * [12] the caller's address. */
"    .balign 4\n"
"mla_turn:\n"
"    .rept   8\n"
"    mla_load\n"
"    mla     r2, r10, r12, r2\n"
"    mla     r3, r10, lr, r3\n"
"    mla     r4, r11, r12, r4\n"
"    mla     r5, r11, lr, r5\n"
"    ldrd    r10, r11, [r0], #8\n"
"    mla     r6, r10, r12, r6\n"
"    mla     r7, r10, lr, r7\n"
"    mla     r8, r11, r12, r8\n"
"    mla     r9, r11, lr, r9\n"
"    .endr\n"
"    ldr     r10, [sp, #4]\n"
"    cmp     r0, r10\n"
"    bne     mla_turn\n"
"    ldr     pc, [sp, #12]\n"

/* mla_forward(r0 = mla_forward_t): pairs of outputs of four samples. Frame: mla_turn's, [16] the
 * record: [0] initial sums, [4] bytes between lanes, [8] sums, [12] bytes between lanes, [16] bytes
 * of weights between blocks, [20] where the block behind the last would begin. */
"    .balign 4\n"
"    .global mla_forward\n"
"    .thumb_func\n"
"    .type mla_forward, %function\n"
"mla_forward:\n"
"    push    {r0, r4-r11, lr}\n"
"    sub     sp, #16\n"
"    add     r0, r0, #24\n"
"    ldm     r0, {r1, r4-r6}\n"
"    adr     r7, mla_turn\n"
"    add     r6, r6, r7\n"
"    adr     r7, 3f\n"
"    orr     r7, r7, #1\n"
"    stm     sp, {r4-r7}\n"
"2:\n"
"    ldr     r0, [sp, #16]\n"
"    ldrd    r12, r11, [r0, #0]\n"
"    ldrd    r2, r3, [r12], #8\n"
"    str     r12, [r0, #0]\n"
"    add     r10, r12, r11\n"
"    ldrd    r4, r5, [r10, #-8]\n"
"    add     r10, r10, r11\n"
"    ldrd    r6, r7, [r10, #-8]\n"
"    add     r10, r10, r11\n"
"    ldrd    r8, r9, [r10, #-8]\n"
"    ldr     r0, [sp, #0]\n"
"    ldr     pc, [sp, #8]\n"
"    .balign 4\n"
"3:\n"
"    ldr     r0, [sp, #16]\n"
"    ldrd    r12, r11, [r0, #8]\n"
"    strd    r2, r3, [r12], #8\n"
"    str     r12, [r0, #8]\n"
"    add     r10, r12, r11\n"
"    strd    r4, r5, [r10, #-8]\n"
"    add     r10, r10, r11\n"
"    strd    r6, r7, [r10, #-8]\n"
"    add     r10, r10, r11\n"
"    strd    r8, r9, [r10, #-8]\n"
"    ldrd    r10, r11, [r0, #16]\n"
"    add     r1, r1, r10\n"
"    cmp     r1, r11\n"
"    bne     2b\n"
"    add     sp, #20\n"
"    pop     {r4-r11, pc}\n"
"    .size mla_forward, .-mla_forward\n"

/* One term of each sum: two halves at r1 + w, four at r0 + x. */
"    .macro mla_halves x, w\n"
"    ldrsh   r10, [r1, #\\w]\n"
"    ldrsh   r11, [r1, #\\w+4]\n"
"    ldrsh   r12, [r0, #\\x]\n"
"    ldrsh   lr, [r0, #\\x+4]\n"
"    mla     r2, r12, r10, r2\n"
"    mla     r3, r12, r11, r3\n"
"    mla     r4, lr, r10, r4\n"
"    mla     r5, lr, r11, r5\n"
"    ldrsh   r12, [r0, #\\x+8]\n"
"    ldrsh   lr, [r0, #\\x+12]\n"
"    mla     r6, r12, r10, r6\n"
"    mla     r7, r12, r11, r7\n"
"    mla     r8, lr, r10, r8\n"
"    mla     r9, lr, r11, r9\n"
"    .endm\n"

/* mla_backward(r0 = mla_backward_t): pairs of inputs of four samples, without gathering. r0 runs
 * over the tiles, r1 over the weights of a pair of columns. Frame: the record. */
"    .balign 4\n"
"    .global mla_backward\n"
"    .thumb_func\n"
"    .type mla_backward, %function\n"
"mla_backward:\n"
"    push    {r4-r11, lr}\n"
"    sub     sp, #36\n"
"    ldm     r0, {r2-r9}\n"
"    stm     sp, {r2-r9}\n"
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
"1:\n"
"    mla_halves 0, 0\n"
"    mla_halves 2, 2\n"
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
"    ldrd    r0, r1, [sp, #12]\n"
"    adds    r1, #8\n"
"    str     r1, [sp, #16]\n"
"    ldr     r10, [sp, #28]\n"
"    cmp     r1, r10\n"
"    bne     2b\n"
"    add     sp, #36\n"
"    pop     {r4-r11, pc}\n"
"    .size mla_backward, .-mla_backward\n"

/* mla_update(r0 = mla_update_t, r1 = tiles): four inputs of all pairs of rows.
 *
 * The step. With q = ~r = 2^32 - 1 - r and M = -2^(32-s), the high word of w 2^32 + q + G M is
 * w - floor((G 2^(32-s) + r) / 2^32) = w - ((G + (r >> (32-s))) >> s), as the low 32 - s bits of r
 * cannot carry: SMLAL adds the random part, shifts and subtracts. The draws of q are those of r
 * with increment a - 1 - c. Range: |G M| <= 2^61; |u| < 2^14, so the high word fits.
 *
 * Frame: mla_turn's; [16] q of the eight weights; [48] q of the two rows, in front of the block;
 * [56] jump to the next rows; [64] M; [68] weights; [72] bytes to those of the next rows; [76] end
 * of them; [80] bytes between the deltas of a pair of rows and the next; [84] saturation. */
"    .balign 4\n"
"    .global mla_update\n"
"    .thumb_func\n"
"    .type mla_update, %function\n"
"mla_update:\n"
"    push    {r4-r11, lr}\n"
"    sub     sp, #88\n"
"    ldm     r0!, {r2-r4}\n"
"    adr     r5, mla_turn\n"
"    add     r4, r4, r5\n"
"    adr     r5, 3f\n"
"    orr     r5, r5, #1\n"
"    stm     sp, {r2-r5}\n"
"    ldm     r0, {r2-r11}\n"
"    add     r12, sp, #48\n"
"    adr     r0, mla_saturate\n"
"    add     r11, r11, r0\n"
"    stm     r12, {r2-r11}\n"
"2:\n"
"    add     lr, sp, #48\n"
"    ldm     lr, {r0, r10-r12}\n"
"    ldrd    lr, r9, mla_draw\n"
"    mla     r2, r0, lr, r9\n"
"    mla     r3, r10, lr, r9\n"
"    mla     r4, r2, lr, r9\n"
"    mla     r5, r3, lr, r9\n"
"    mla     r6, r4, lr, r9\n"
"    mla     r7, r5, lr, r9\n"
"    mla     r8, r6, lr, r9\n"
"    mla     r9, r7, lr, r9\n"
"    add     r0, sp, #16\n"
"    stm     r0, {r2-r9}\n"
"    mla     r8, r8, r11, r12\n"
"    mla     r9, r9, r11, r12\n"
"    strd    r8, r9, [sp, #48]\n"
"    ldr     r0, [sp, #0]\n"
"    mla_load\n"
"    mul     r2, r10, r12\n"
"    mul     r3, r10, lr\n"
"    mul     r4, r11, r12\n"
"    mul     r5, r11, lr\n"
"    ldrd    r10, r11, [r0], #8\n"
"    mul     r6, r10, r12\n"
"    mul     r7, r10, lr\n"
"    mul     r8, r11, r12\n"
"    mul     r9, r11, lr\n"
"    ldr     pc, [sp, #8]\n"
"    .balign 4\n"
"mla_draw:\n"
"    .word   1664525\n"
"    .word   1664525-1-1013904223\n"
"    .balign 4\n"
"3:\n"
"    ldrd    r10, lr, [sp, #64]\n"
"    ldrd    r11, r12, [sp, #16]\n"
"    ldrsh   r0, [lr, #0]\n"
"    smlal   r11, r0, r2, r10\n"
"    ldrsh   r11, [lr, #2]\n"
"    smlal   r12, r11, r3, r10\n"
"    ldrd    r2, r3, [sp, #24]\n"
"    ldrsh   r12, [lr, #4]\n"
"    smlal   r2, r12, r4, r10\n"
"    ldrsh   r2, [lr, #6]\n"
"    smlal   r3, r2, r5, r10\n"
"    ldrd    r4, r5, [sp, #32]\n"
"    ldrsh   r3, [lr, #8]\n"
"    smlal   r4, r3, r6, r10\n"
"    ldrsh   r4, [lr, #10]\n"
"    smlal   r5, r4, r7, r10\n"
"    ldrd    r6, r7, [sp, #40]\n"
"    ldrsh   r5, [lr, #12]\n"
"    smlal   r6, r5, r8, r10\n"
"    ldrsh   r6, [lr, #14]\n"
"    smlal   r7, r6, r9, r10\n"
"    ldr     pc, [sp, #84]\n"

/* To 8 .. 15 bits, 34 bytes each; a clamp that changes a value sets the sticky flag Q. */
"    .balign 4\n"
"mla_saturate:\n"
"    .irp    bits, 8, 9, 10, 11, 12, 13, 14, 15\n"
"    .irp    weight, r0, r11, r12, r2, r3, r4, r5, r6\n"
"    ssat    \\weight, #\\bits, \\weight\n"
"    .endr\n"
"    b.n     4f\n"
"    .endr\n"
"4:\n"
"    strh    r0, [lr, #0]\n"
"    strh    r11, [lr, #2]\n"
"    strh    r12, [lr, #4]\n"
"    strh    r2, [lr, #6]\n"
"    strh    r3, [lr, #8]\n"
"    strh    r4, [lr, #10]\n"
"    strh    r5, [lr, #12]\n"
"    strh    r6, [lr, #14]\n"
"    ldrd    r7, r8, [sp, #72]\n"
"    ldr     r9, [sp, #80]\n"
"    add     lr, lr, r7\n"
"    add     r1, r1, r9\n"
"    str     lr, [sp, #68]\n"
"    cmp     lr, r8\n"
"    bne     2b\n"
"    add     sp, #88\n"
"    pop     {r4-r11, pc}\n"
"    .size mla_update, .-mla_update\n"

/* mla_gather(r0 = four addresses, r1 = first offset, r2 = bytes from one offset to the next,
 * r3 = format, [sp] = out, [sp + 4] = offset behind the last): the elements at each offset from
 * the four addresses, as words. */
"    .macro mla_gather_loop load\n"
"1:\n"
"    \\load  r8, [r4, r1]\n"
"    \\load  r9, [r5, r1]\n"
"    \\load  r10, [r6, r1]\n"
"    \\load  r11, [r7, r1]\n"
"    add     r1, r1, r2\n"
"    stm     r12!, {r8-r11}\n"
"    cmp     r1, r0\n"
"    bne     1b\n"
"    pop     {r4-r11, pc}\n"
"    .endm\n"
"    .balign 4\n"
"    .global mla_gather\n"
"    .thumb_func\n"
"    .type mla_gather, %function\n"
"mla_gather:\n"
"    push    {r4-r11, lr}\n"
"    ldm     r0, {r4-r7}\n"
"    ldrd    r12, r0, [sp, #36]\n"
"    cmp     r3, #1\n"
"    bhi     3f\n"
"    beq     2f\n"
"    mla_gather_loop ldrb\n"
"2:\n"
"    mla_gather_loop ldrsb\n"
"3:\n"
"    mla_gather_loop ldrsh\n"
"    .size mla_gather, .-mla_gather\n"
);
/* clang-format on */

_Static_assert(INPUT_U8 == 0 && INPUT_I8 == 1 && INPUT_I16 == 2, "mla_gather tells them apart");

#define TERMS_A_TURN 8u /* a power of two */
#define BYTES_A_TERM 48u /* of code */
#define WORDS_A_TERM 4u
#define BYTES_A_SATURATION 34u /* of code */
#define THUMB 1u

void mla_gather(const void *const *from, uint32_t first, uint32_t step, uint32_t format,
                int32_t *out, uint32_t end);

static __attribute__((noinline)) uint32_t ahead(uint32_t state, uint32_t draws)
{
    return random_ahead(state, draws);
}

/* Code to skip so that `terms` are left, a multiple of a turn at once; at least one is not. */
static __attribute__((noinline)) uint32_t skipped(uint32_t terms)
{
    return BYTES_A_TERM * (terms == 0 ? TERMS_A_TURN : (0u - terms) % TERMS_A_TURN) + THUMB;
}

static inline uint32_t element_bytes(const kernels_layer_t *layer)
{
    return layer->format == INPUT_I16 ? 2u : 1u;
}

typedef struct {
    const int32_t *from;  /* initial sums */
    uint32_t from_stride; /* bytes between lanes */
    int32_t *to;          /* sums */
    uint32_t to_stride;
    uint32_t w_gap;       /* bytes of weights between blocks */
    const int16_t *w_end; /* where the block behind the last would begin */
    const int16_t *w;
    const int32_t *x, *x_end;
    uint32_t entry;       /* bytes of code to skip */
} mla_forward_t;

/* Advances `from` and `to` behind what it has worked on. */
void mla_forward(mla_forward_t *block);

/* The row behind the blocks, alone. */
static __attribute__((noinline)) void forward_single(const mla_forward_t *block, const int16_t *w)
{
    for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
        int32_t sum = block->from[lane * block->from_stride / 4u];
        const int16_t *factor = w;
        for (const int32_t *term = block->x + lane; term < block->x_end; term += WORDS_A_TERM) {
            sum += *term * *factor++;
        }
        block->to[lane * block->to_stride / 4u] = sum;
    }
}

/* The record lies in front of the rows. */
void kernels_forward(const kernels_layer_t *layer, const kernels_forward_t *forward,
                     uint32_t first, uint32_t count, int32_t *acc, uint32_t stride)
{
    const uint32_t all = layer->inputs, width = element_bytes(layer);
    const uint32_t room = (forward->work_bytes - sizeof(mla_forward_t)) / (4u * WORDS_A_TERM);
    mla_forward_t *block = forward->work;
    int32_t *x = (int32_t *)(void *)(block + 1);
    block->from = forward->bias + first;
    block->from_stride = 0;
    block->to_stride = 4u * stride;
    block->x = x;
    for (uint32_t i = 0; i < all; i += room) {
        const uint32_t inputs = all - i < room ? all - i : room;
        if (first == 0 || room < all) {
            mla_gather(forward->row, i * width, width, layer->format, x, (i + inputs) * width);
        }
        block->x_end = x + WORDS_A_TERM * inputs;
        block->entry = skipped(inputs);
        block->to = acc;
        block->w = layer->weights + first * all + 2u * i;
        block->w_end = block->w + (count & ~1u) * all;
        block->w_gap = 4u * (all - inputs);
        if (count > 1u) {
            mla_forward(block);
        }
        if (count % 2u != 0) {
            forward_single(block, block->w_end - i);
        }
        block->from = acc;
        block->from_stride = block->to_stride;
    }
}

typedef struct {
    uint32_t tile_bytes; /* from one pair of outputs to the next */
    uint32_t w_bytes;    /* the same in the weights */
    const int16_t *end;  /* behind the last tile */
    const int16_t *delta;
    const int16_t *w;
    int32_t *low, *high;
    const int16_t *w_end; /* behind the weights of the first row */
} mla_backward_t;

void mla_backward(const mla_backward_t *block);

/* e_i += w * d of the last of an odd number of outputs. */
static __attribute__((noinline)) void backward_single(const kernels_layer_t *layer,
                                                      const kernels_backward_t *backward)
{
    const uint32_t inputs = layer->inputs, j = layer->outputs - 1u;
    const int16_t *delta = backward->delta + kernels_delta_index(backward->quads, 0, j);
    for (uint32_t lane = 0; lane < KERNELS_LANES; lane++, delta += 2) {
        int32_t *sum = (lane < 2u ? backward->low : backward->high) + 2u * (lane % 2u);
        const uint32_t step = lane < 2u ? 4u * backward->quads - 1u : 3u;
        const int16_t *w = layer->weights + j * inputs;
        for (uint32_t i = 0; i < inputs; i++) {
            const int32_t product = *w++ * *delta;
            *sum = j == 0 ? product : *sum + product;
            sum += i % 2u == 0 ? 1u : step;
        }
    }
}

/* The last of an odd number of inputs has a partner: what stands behind its weights, as far as
 * behind the biases, makes sums that nobody reads. */
void kernels_backward(const kernels_layer_t *layer, const kernels_backward_t *backward)
{
    const uint32_t outputs = layer->outputs & ~1u;
    if (outputs > 0) {
        const mla_backward_t block = {
            .tile_bytes = 16u * backward->quads,
            .w_bytes = 4u * layer->inputs,
            .end = backward->delta + 4u * backward->quads * outputs,
            .delta = backward->delta,
            .w = layer->weights,
            .low = backward->low,
            .high = backward->high,
            .w_end = layer->weights + 2u * ((layer->inputs + 1u) & ~1u),
        };
        mla_backward(&block);
    }
    if (layer->outputs % 2u != 0) {
        backward_single(layer, backward);
    }
}

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

typedef struct {
    const int32_t *x, *x_end;
    uint32_t entry;          /* bytes of code to skip */
    uint32_t inverse[2];     /* ~prng of the two rows, in front of the block */
    random_jump_t next_rows; /* of them, from behind the block to in front of the next rows' */
    uint32_t factor;         /* M */
    int16_t *w;
    uint32_t w_bytes;        /* from one pair of rows to the next */
    const int16_t *w_end;
    uint32_t gap;            /* bytes from behind the deltas of a pair of rows to the next */
    uint32_t saturation;     /* bytes of code to skip */
} mla_update_t;

void mla_update(const mla_update_t *block, const int16_t *delta);

/* Behind the gathered inputs. */
typedef struct {
    mla_update_t update;
    mla_forward_t forward;
    int32_t gradient[8]; /* [column][row] */
} update_scratch_t;

_Static_assert(sizeof(update_scratch_t) <= 128u, "kernels_update_t tells the bytes");

static update_scratch_t *update_scratch(const kernels_update_t *update)
{
    return (update_scratch_t *)((uint8_t *)update->work + 4u * WORDS_A_TERM * update->count);
}

/* Gathers up to four inputs of the batch; a missing one repeats the first. */
static __attribute__((noinline)) void gather_inputs(const kernels_layer_t *layer,
                                                    const kernels_update_t *update, uint32_t first)
{
    const uint32_t width = element_bytes(layer);
    const void *column[KERNELS_LANES];
    for (uint32_t i = 0; i < KERNELS_LANES; i++) {
        const uint32_t at = first + i < layer->inputs ? first + i : first;
        column[i] = (const uint8_t *)update->x + at * width;
    }
    mla_gather(column, 0, layer->inputs * width, layer->format, update->work,
               update->count * layer->inputs * width);
}

/* The gradients of rows j and j + 1. */
static __attribute__((noinline)) void make_gradients(const kernels_update_t *update, uint32_t j)
{
    static const int32_t zeros[2] = {0, 0};
    update_scratch_t *scratch = update_scratch(update);
    mla_forward_t *block = &scratch->forward;
    block->from = zeros;
    block->from_stride = 0;
    block->to = scratch->gradient;
    block->to_stride = 8u;
    block->w = update->delta + 4u * update->quads * j;
    block->w_end = block->w + 2u * update->count;
    block->w_gap = 0;
    block->x = update->work;
    block->x_end = block->x + WORDS_A_TERM * update->count;
    block->entry = skipped(update->count);
    mla_forward(block);
}

/* One weight, with momentum or without. Returns bits that a clamp changed. */
static __attribute__((noinline)) int32_t step(const kernels_update_t *update, int16_t *w,
                                              uint32_t at, int32_t gradient, uint32_t r)
{
    int32_t changed = 0;
    w += at;
    int16_t *velocity = update->velocity == NULL ? NULL : update->velocity + at;
    *w = kernels_step(*w, velocity, gradient, r, update, &changed);
    return changed;
}

/* Rows from `row` on, an even one, of up to four columns, weight by weight: the borders,
 * momentum, steps that a clamp may change. prng: of row 0, in front of its columns. */
static __attribute__((noinline)) int32_t update_single(const kernels_layer_t *layer,
                                                       const kernels_update_t *update,
                                                       uint32_t row, uint32_t first,
                                                       uint32_t prng)
{
    int32_t changed = 0;
    for (; row < layer->outputs; row++) {
        const int32_t *gradient = update_scratch(update)->gradient + row % 2u;
        uint32_t r = ahead(prng, row * layer->inputs);
        if (row % 2u == 0) {
            make_gradients(update, row);
        }
        for (uint32_t i = first; i < layer->inputs && i < first + 4u; i++, gradient += 2) {
            changed |= step(update, layer->weights, kernels_index(layer, row, i), *gradient,
                            random_draw(&r));
        }
    }
    return changed;
}

/* Four draws. */
#define SQUARE (RANDOM_MULTIPLIER * RANDOM_MULTIPLIER)
static const random_jump_t four_draws = {
    SQUARE * SQUARE, RANDOM_INCREMENT * (1u + RANDOM_MULTIPLIER) * (1u + SQUARE)};

bool kernels_update(const kernels_layer_t *layer, const kernels_update_t *update, uint32_t *prng)
{
    const uint32_t inputs = layer->inputs, outputs = layer->outputs;
    const bool may_clamp = update->gradient_max >> update->shift >= 16383u;
    const uint32_t paired = may_clamp || update->velocity != NULL ? 0 : outputs & ~1u;
    const uint32_t increment = ahead(0, 2u * inputs - 4u);
    const uint32_t multiplier = ahead(1, 2u * inputs - 4u) - increment;
    uint32_t first = *prng, second = ahead(first, inputs);
    mla_update_t *block = &update_scratch(update)->update;
    int32_t changed = 0;
    block->x = update->work;
    block->x_end = block->x + WORDS_A_TERM * update->count;
    block->entry = skipped(update->count - 1u);
    block->next_rows.multiplier = multiplier;
    block->next_rows.increment = multiplier - 1u - increment;
    block->factor = 0u - (1u << (32u - update->shift));
    block->w_bytes = 4u * inputs;
    block->gap = 16u * update->quads - 4u * update->count;
    block->saturation = BYTES_A_SATURATION * (update->weight_bits - 7u) + THUMB;
    *prng = ahead(first, inputs * outputs);
    clear_sticky();
    for (uint32_t i = 0; i < inputs; i += 4u) {
        const uint32_t rows = inputs - i < 4u ? 0 : paired;
        gather_inputs(layer, update, i);
        if (rows > 0) {
            block->inverse[0] = ~first;
            block->inverse[1] = ~second;
            block->w = layer->weights + 2u * i;
            block->w_end = block->w + rows * inputs;
            mla_update(block, update->delta);
        }
        if (rows < outputs) {
            changed |= update_single(layer, update, rows, i, first);
        }
        first = random_leap(first, four_draws);
        second = random_leap(second, four_draws);
    }
    return is_sticky() || changed != 0;
}

#endif
