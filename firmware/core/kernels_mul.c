/* The kernels for cores whose only multiplication is MULS: Cortex-M0, M0+.
 *
 * A block is four samples by one output, or four inputs by one output: four sums in r8..r11. Rows
 * are unpacked to words, so that LDM feeds four terms at once; the other factor comes in pairs of
 * halves. A step, two terms of each sum, is 21 instructions for eight products.
 *   rows       [input][4 samples]  i32
 *   gradient   [sample][4 inputs]  i32
 * gcc has no use for the high registers here; hence assembly. */
#include "speed.h"
#include "kernels.h"

#ifdef KERNELS_MUL


#include "kernels_step.h"
#include "protocol.h"

#include <stddef.h>

/* clang-format off */
__asm__(
"    .syntax unified\n"
"    .thumb\n"
"    .text\n"

/* One term of each sum: factor in r4, terms in r2, r3, r6, r7. */
"    .macro mul_terms\n"
"    muls    r2, r4, r2\n"
"    add     r8, r2\n"
"    muls    r3, r4, r3\n"
"    add     r9, r3\n"
"    muls    r6, r4, r6\n"
"    add     r10, r6\n"
"    muls    r7, r4, r7\n"
"    add     r11, r7\n"
"    .endm\n"

/* Two terms of each sum: factors in the halves of r5. */
"    .macro mul_step\n"
"    ldm     r0!, {r2, r3, r6, r7}\n"
"    sxth    r4, r5\n"
"    mul_terms\n"
"    ldm     r0!, {r2, r3, r6, r7}\n"
"    asrs    r4, r5, #16\n"
"    mul_terms\n"
"    .endm\n"

"    .macro mul_save\n"
"    push    {r4-r7, lr}\n"
"    mov     r4, r8\n"
"    mov     r5, r9\n"
"    mov     r6, r10\n"
"    mov     r7, r11\n"
"    push    {r4-r7}\n"
"    .endm\n"
"    .macro mul_restore\n"
"    pop     {r4-r7}\n"
"    mov     r8, r4\n"
"    mov     r9, r5\n"
"    mov     r10, r6\n"
"    mov     r11, r7\n"
"    pop     {r4-r7, pc}\n"
"    .endm\n"

/* mul_forward(r0 = mul_forward_t): outputs of four samples. Frame: the record. lr: where the first
 * turn of eight steps, 42 bytes each, begins; r12: end of the weights of the block. */
"    .balign 4\n"
"    .global mul_forward\n"
"    .thumb_func\n"
"    .type mul_forward, %function\n"
"mul_forward:\n"
"    mul_save\n"
"    sub     sp, #44\n"
"    mov     r1, sp\n"
"    ldm     r0!, {r2-r7}\n"
"    stm     r1!, {r2-r7}\n"
"    ldm     r0!, {r2-r6}\n"
"    stm     r1!, {r2-r6}\n"
"    mov     r1, r5\n"
"    adr     r2, 3f\n"
"    ldr     r3, [sp, #16]\n"
"    adds    r2, r2, r3\n"
"    adds    r2, #1\n"
"    mov     lr, r2\n"
"1:\n"
"    ldr     r2, [sp, #20]\n"
"    ldr     r3, [sp, #24]\n"
"    ldr     r4, [r2]\n"
"    mov     r8, r4\n"
"    adds    r4, r2, #4\n"
"    str     r4, [sp, #20]\n"
"    adds    r2, r2, r3\n"
"    ldr     r4, [r2]\n"
"    mov     r9, r4\n"
"    adds    r2, r2, r3\n"
"    ldr     r4, [r2]\n"
"    mov     r10, r4\n"
"    ldr     r4, [r2, r3]\n"
"    mov     r11, r4\n"
"    mov     r7, sp\n"
"    ldm     r7!, {r0, r2}\n"
"    adds    r2, r2, r1\n"
"    mov     r12, r2\n"
"    bx      lr\n"
"    .balign 4\n"
"3:\n"
"    .rept   8\n"
"    ldm     r1!, {r5}\n"
"    mul_step\n"
"    .endr\n"
"    cmp     r1, r12\n"
"    beq     4f\n"
"    b       3b\n"
"4:\n"
"    ldr     r2, [sp, #28]\n"
"    ldr     r3, [sp, #32]\n"
"    mov     r4, r8\n"
"    str     r4, [r2]\n"
"    adds    r4, r2, #4\n"
"    str     r4, [sp, #28]\n"
"    adds    r2, r2, r3\n"
"    mov     r4, r9\n"
"    str     r4, [r2]\n"
"    adds    r2, r2, r3\n"
"    mov     r4, r10\n"
"    str     r4, [r2]\n"
"    mov     r4, r11\n"
"    str     r4, [r2, r3]\n"
"    ldr     r3, [sp, #12]\n"
"    adds    r1, r1, r3\n"
"    ldr     r3, [sp, #40]\n"
"    cmp     r1, r3\n"
"    beq     5f\n"
"    b       1b\n"
"5:\n"
"    add     sp, #44\n"
"    mul_restore\n"
"    .size mul_forward, .-mul_forward\n"

/* mul_dot(r0 = terms, four words each; r1 = first factor; r2 = bytes between factors; r3 = bytes
 * from the first factor to behind the last; [sp] = four sums, added to). r5: offset of the factor,
 * r12: bytes between, lr: end. */
"    .balign 4\n"
"    .global mul_dot\n"
"    .thumb_func\n"
"    .type mul_dot, %function\n"
"mul_dot:\n"
"    mul_save\n"
"    mov     r12, r2\n"
"    mov     lr, r3\n"
"    ldr     r5, [sp, #36]\n"
"    ldm     r5!, {r2, r3, r6, r7}\n"
"    mov     r8, r2\n"
"    mov     r9, r3\n"
"    mov     r10, r6\n"
"    mov     r11, r7\n"
"    movs    r5, #0\n"
"1:\n"
"    ldrsh   r4, [r1, r5]\n"
"    ldm     r0!, {r2, r3, r6, r7}\n"
"    add     r5, r12\n"
"    mul_terms\n"
"    cmp     r5, lr\n"
"    bne     1b\n"
"    ldr     r5, [sp, #36]\n"
"    mov     r2, r8\n"
"    mov     r3, r9\n"
"    mov     r6, r10\n"
"    mov     r7, r11\n"
"    stm     r5!, {r2, r3, r6, r7}\n"
"    mul_restore\n"
"    .size mul_dot, .-mul_dot\n"

/* mul_gradient(r0 = terms; r1 = turned tile of a row; r2 = tiles; r3 = four sums, added to). */
"    .balign 4\n"
"    .global mul_gradient\n"
"    .thumb_func\n"
"    .type mul_gradient, %function\n"
"mul_gradient:\n"
"    mul_save\n"
"    lsls    r2, r2, #4\n"
"    adds    r2, r2, r1\n"
"    mov     r12, r2\n"
"    mov     lr, r3\n"
"    ldm     r3!, {r2, r4, r5, r6}\n"
"    mov     r8, r2\n"
"    mov     r9, r4\n"
"    mov     r10, r5\n"
"    mov     r11, r6\n"
"1:\n"
"    ldr     r5, [r1]\n"
"    mul_step\n"
"    ldr     r5, [r1, #8]\n"
"    mul_step\n"
"    adds    r1, #16\n"
"    cmp     r1, r12\n"
"    bne     1b\n"
"    mov     r3, lr\n"
"    mov     r2, r8\n"
"    mov     r4, r9\n"
"    mov     r5, r10\n"
"    mov     r6, r11\n"
"    stm     r3!, {r2, r4, r5, r6}\n"
"    mul_restore\n"
"    .size mul_gradient, .-mul_gradient\n"

/* One weight: sum in `sum`, s in r6, 2^wb in r5, wb + 1 in r1, weights at r7. Out of range: to
 * the sign's end of it, and a mark in r12. */
"    .macro mul_weight at, sum\n"
"    mov     r3, \\sum\n"
"    asrs    r3, r6\n"
"    movs    r4, #\\at\n"
"    ldrsh   r2, [r7, r4]\n"
"    subs    r2, r2, r3\n"
"    adds    r3, r2, r5\n"
"    lsrs    r3, r1\n"
"    beq     1f\n"
"    mov     r12, r3\n"
"    asrs    r2, r2, #31\n"
"    subs    r3, r5, #1\n"
"    eors    r2, r3\n"
"1:\n"
"    strh    r2, [r7, #\\at]\n"
"    .endm\n"

/* mul_update(r0 = mul_update_t): four inputs of all rows, up to sixteen samples. Returns not 0 if
 * a weight was clamped (r12). lr: where the eight steps of 42 bytes begin. Frame: the record. */
"    .balign 4\n"
"    .global mul_update\n"
"    .thumb_func\n"
"    .type mul_update, %function\n"
"mul_update:\n"
"    mul_save\n"
"    sub     sp, #68\n"
"    mov     r1, sp\n"
"    ldm     r0!, {r2-r7}\n"
"    stm     r1!, {r2-r7}\n"
"    ldm     r0!, {r2-r7}\n"
"    stm     r1!, {r2-r7}\n"
"    ldm     r0!, {r2-r6}\n"
"    stm     r1!, {r2-r6}\n"
"    adr     r2, 3f\n"
"    ldr     r3, [sp, #52]\n"
"    adds    r2, r2, r3\n"
"    adds    r2, #1\n"
"    mov     lr, r2\n"
"    movs    r2, #0\n"
"    mov     r12, r2\n"
"2:\n"
"    mov     r7, sp\n"
"    ldm     r7!, {r2-r6}\n"
"    .irp    sum, r8, r9, r10, r11\n"
"    muls    r2, r3, r2\n"
"    adds    r2, r2, r4\n"
"    movs    r0, r2\n"
"    lsrs    r0, r5\n"
"    mov     \\sum, r0\n"
"    .endr\n"
"    ldm     r7!, {r3, r4}\n"
"    muls    r2, r3, r2\n"
"    adds    r2, r2, r4\n"
"    str     r2, [sp]\n"
"    ldm     r7!, {r0, r1}\n"
"    bx      lr\n"
"    .balign 4\n"
"3:\n"
"    .set    mul_at, 0\n"
"    .rept   8\n"
"    ldr     r5, [r1, #mul_at]\n"
"    mul_step\n"
"    .set    mul_at, mul_at+8\n"
"    .endr\n"
"    ldr     r2, [sp, #40]\n"
"    ldr     r3, [sp, #32]\n"
"    adds    r3, r3, r2\n"
"    str     r3, [sp, #32]\n"
"    ldr     r3, [sp, #44]\n"
"    subs    r3, r3, r2\n"
"    str     r3, [sp, #40]\n"
"    ldr     r5, [sp, #60]\n"
"    ldr     r1, [sp, #64]\n"
"    ldr     r6, [sp, #16]\n"
"    ldr     r7, [sp, #36]\n"
"    mul_weight 0, r8\n"
"    mul_weight 2, r9\n"
"    mul_weight 4, r10\n"
"    mul_weight 6, r11\n"
"    ldr     r2, [sp, #48]\n"
"    adds    r7, r7, r2\n"
"    str     r7, [sp, #36]\n"
"    ldr     r2, [sp, #56]\n"
"    cmp     r7, r2\n"
"    beq     5f\n"
"    b       2b\n"
"5:\n"
"    mov     r0, r12\n"
"    add     sp, #68\n"
"    mul_restore\n"
"    .size mul_update, .-mul_update\n"
);
/* clang-format on */

#define STEPS_A_TURN 8u
#define BYTES_A_STEP 42u /* of code */
#define TERM_BYTES 16u

static int32_t load_element(const void *row, uint32_t i, uint8_t format)
{
    return format == INPUT_U8   ? ((const uint8_t *)row)[i]
           : format == INPUT_I8 ? ((const int8_t *)row)[i]
                                : ((const int16_t *)row)[i];
}

static uint32_t left_out(uint32_t steps)
{
    return (0u - steps) % STEPS_A_TURN;
}

/* Unpacks inputs first .. first + count - 1 of four rows. */
static void unpack_rows(const kernels_layer_t *layer, const kernels_forward_t *forward,
                        uint32_t first, uint32_t count)
{
    for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
        int32_t *out = (int32_t *)forward->work + lane;
        if (layer->format == INPUT_U8) {
            const uint8_t *row = (const uint8_t *)forward->row[lane] + first;
            for (const uint8_t *end = row + count; row != end; out += KERNELS_LANES) {
                *out = *row++;
            }
        } else {
            for (uint32_t i = first; i < first + count; i++, out += KERNELS_LANES) {
                *out = load_element(forward->row[lane], i, layer->format);
            }
        }
    }
}

typedef struct {
    const int32_t *x;     /* unpacked rows */
    uint32_t w_bytes;     /* bytes of weights of a block */
    uint32_t unused;
    uint32_t w_gap;       /* bytes of weights between blocks */
    uint32_t entry;       /* bytes of code to skip */
    const int32_t *from;  /* initial sums */
    uint32_t from_stride; /* bytes between lanes */
    int32_t *to;          /* sums */
    uint32_t to_stride;
    const int16_t *w;
    const int16_t *w_end; /* where the block behind the last would begin */
} mul_forward_t;

void mul_forward(const mul_forward_t *block);
void mul_dot(const int32_t *terms, const int16_t *factors, uint32_t step_bytes, uint32_t bytes,
             int32_t *sums);
void mul_gradient(const int32_t *terms, const int16_t *delta, uint32_t tiles, int32_t *sums);

/* One output at a time, by single terms: rows of weights that do not begin at a word. */
static void forward_single(const kernels_layer_t *layer, const int32_t *x, uint32_t count,
                           const mul_forward_t *block, uint32_t inputs)
{
    for (uint32_t j = 0; j < count; j++) {
        int32_t sums[KERNELS_LANES];
        for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
            sums[lane] = block->from[lane * block->from_stride / 4u + j];
        }
        mul_dot(x, block->w + j * layer->inputs, 2u, 2u * inputs, sums);
        for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
            block->to[lane * block->to_stride / 4u + j] = sums[lane];
        }
    }
}

void kernels_forward(const kernels_layer_t *layer, const kernels_forward_t *forward,
                     uint32_t first, uint32_t count, int32_t *acc, uint32_t stride)
{
    const uint32_t all = layer->inputs;
    const uint32_t room = forward->work_bytes / TERM_BYTES;
    for (uint32_t i = 0; i < all; i += room) {
        const uint32_t inputs = all - i < room ? all - i : room;
        if (first == 0 || room < all) {
            unpack_rows(layer, forward, i, inputs);
        }
        const uint32_t skip = left_out(inputs / 2u);
        mul_forward_t block = {
            .x = forward->work,
            .w_bytes = 2u * inputs,
            .w_gap = 2u * (all - inputs),
            .entry = BYTES_A_STEP * skip,
            .from = i == 0 ? forward->bias + first : acc,
            .from_stride = i == 0 ? 0u : 4u * stride,
            .to = acc,
            .to_stride = 4u * stride,
            .w = layer->weights + first * all + i,
        };
        block.w_end = block.w + count * all;
        if (all % 2u == 0) {
            mul_forward(&block);
        } else {
            forward_single(layer, forward->work, count, &block, inputs);
        }
    }
}

/* Outputs whose deltas are unpacked at a time, on the stack. */
enum { OUTPUTS_AT_ONCE = 8 };

static void unpack_deltas(const kernels_backward_t *backward, uint32_t first, uint32_t count,
                          int32_t *out)
{
    for (uint32_t j = first; j < first + count; j++) {
        const int16_t *delta = backward->delta + kernels_delta_index(backward->quads, 0, j);
        for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
            *out++ = delta[2u * lane];
        }
    }
}

void kernels_backward(const kernels_layer_t *layer, const kernels_backward_t *backward)
{
    const uint32_t inputs = layer->inputs;
    for (uint32_t j = 0; j < layer->outputs; j += OUTPUTS_AT_ONCE) {
        int32_t deltas[OUTPUTS_AT_ONCE * KERNELS_LANES];
        const uint32_t left = layer->outputs - j;
        const uint32_t count = left < OUTPUTS_AT_ONCE ? left : OUTPUTS_AT_ONCE;
        unpack_deltas(backward, j, count, deltas);
        for (uint32_t i = 0; i < inputs; i++) {
            int32_t *low = backward->low + i / 2u * 4u * backward->quads + i % 2u;
            int32_t *high = backward->high + i / 2u * 4u + i % 2u;
            int32_t sums[KERNELS_LANES] = {0};
            if (j != 0) {
                sums[0] = low[0];
                sums[1] = low[2];
                sums[2] = high[0];
                sums[3] = high[2];
            }
            mul_dot(deltas, layer->weights + j * inputs + i, 2u * inputs, 2u * inputs * count,
                    sums);
            low[0] = sums[0];
            low[2] = sums[1];
            high[0] = sums[2];
            high[2] = sums[3];
        }
    }
}

typedef struct {
    uint32_t prng;            /* of the row, in front of the block */
    random_jump_t draw;
    uint32_t random_shift;    /* 32 - s */
    uint32_t shift;           /* s */
    random_jump_t next_row;   /* from behind the block to in front of the next row's */
    const int32_t *x;         /* unpacked inputs */
    const int16_t *delta;     /* turned tile of the first row, in front by the steps left out */
    int16_t *w;
    uint32_t gap, gaps;       /* bytes to the deltas of the next row; to those of the next but one */
    uint32_t w_bytes;         /* from one row to the next */
    uint32_t entry;           /* bytes of code to skip */
    const int16_t *w_end;
    uint32_t high;            /* 2^wb */
    uint32_t bits;            /* wb + 1 */
} mul_update_t;

uint32_t mul_update(const mul_update_t *block);

/* Unpacks up to four inputs of the batch, up to sixteen samples; whole tiles, the rest 0. */
static void unpack_inputs(const kernels_layer_t *layer, const kernels_update_t *update,
                          uint32_t first)
{
    const uint32_t width = layer->format == INPUT_I16 ? 2u : 1u;
    const uint8_t *row = (const uint8_t *)update->x + first * width;
    const uint32_t columns = layer->inputs - first;
    int32_t *out = update->work;
    uint32_t b = 0;
    for (; b < update->count; b++, row += layer->inputs * width) {
        if (columns >= 4u && layer->format == INPUT_U8) {
            *out++ = row[0];
            *out++ = row[1];
            *out++ = row[2];
            *out++ = row[3];
            continue;
        }
        for (uint32_t i = 0; i < 4u; i++) {
            *out++ = i < columns ? load_element(row, i, layer->format) : 0;
        }
    }
    for (; b % KERNELS_LANES != 0; b++) {
        for (uint32_t i = 0; i < 4u; i++) {
            *out++ = 0;
        }
    }
}

/* The gradients of a row: from the unpacked inputs, or from the rows of a larger batch. */
static void gradients(const kernels_layer_t *layer, const kernels_update_t *update, uint32_t j,
                      uint32_t first, uint32_t columns, int32_t *sums)
{
    const int16_t *delta = update->delta + kernels_turned_index(update->quads, 0, j);
    if (update->count <= 16u) {
        mul_gradient(update->work, delta, kernels_quads(update->count), sums);
        return;
    }
    for (uint32_t b = 0; b < update->count; b++) {
        const int32_t d = update->delta[kernels_turned_index(update->quads, b, j)];
        for (uint32_t i = 0; i < columns; i++) {
            sums[i] += d * load_element(update->x, b * layer->inputs + first + i, layer->format);
        }
    }
}

/* Up to four inputs of all rows, weight by weight. prng: in front of the first row's. */
static int32_t update_single(const kernels_layer_t *layer, const kernels_update_t *update,
                             uint32_t first, uint32_t prng, random_jump_t row)
{
    const uint32_t columns = layer->inputs - first < 4u ? layer->inputs - first : 4u;
    int32_t changed = 0;
    for (uint32_t j = 0; j < layer->outputs; j++, prng = random_leap(prng, row)) {
        int32_t g[4] = {0};
        uint32_t r = prng;
        gradients(layer, update, j, first, columns, g);
        for (uint32_t i = 0; i < columns; i++) {
            const uint32_t at = j * layer->inputs + first + i;
            int16_t *w = layer->weights + at;
            const uint32_t draw = random_draw(&r);
            *w = update->velocity == NULL
                     ? kernels_step(*w, g[i], draw, update, &changed)
                     : kernels_step_momentum(*w, update->velocity + at, g[i], draw, update,
                                             &changed);
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
    const bool single = may_clamp || update->velocity != NULL || update->count > 16u;
    const random_jump_t row = random_jump(inputs), columns = random_jump(4);
    mul_update_t block = {
        .draw = {RANDOM_MULTIPLIER, RANDOM_INCREMENT},
        .random_shift = 32u - update->shift,
        .shift = update->shift,
        .next_row = random_jump(inputs - 4u),
        .x = update->work,
        .delta = update->delta - 4u * skip,
        .gap = 4u,
        .gaps = 16u * update->quads,
        .w_bytes = 2u * inputs,
        .entry = BYTES_A_STEP * skip,
        .high = 1u << update->weight_bits,
        .bits = update->weight_bits + 1u,
    };
    uint32_t first_row = *prng;
    bool saturated = false;
    for (uint32_t i = 0; i < inputs; i += 4u, first_row = random_leap(first_row, columns)) {
        if (update->count <= 16u) {
            unpack_inputs(layer, update, i);
        }
        if (single || inputs - i < 4u) {
            saturated |= update_single(layer, update, i, first_row, row) != 0;
        } else {
            block.prng = first_row;
            block.w = layer->weights + i;
            block.w_end = block.w + outputs * inputs;
            saturated |= mul_update(&block) != 0;
        }
    }
    *prng = random_ahead(*prng, inputs * outputs);
    return saturated;
}

#endif
