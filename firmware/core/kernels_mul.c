/* The kernels for cores whose only multiplication is MULS: Cortex-M0, M0+.
 *
 * Four sums are in r8..r11; a term of them is one factor times four words that LDM loads, and costs
 * ten instructions for four products.
 *   forward   four samples of an output    a term for each input: four activations, one weight
 *   backward  four samples of an input     a term for each output: four deltas, one weight
 *   update    four weights of a row        a term for each sample: four inputs, one delta
 * Terms that are zero four times are left out, and so are deltas of zero in the update.
 * gcc has no use for the high registers here; hence assembly. */
#include "speed.h"
#include "kernels.h"

#ifdef KERNELS_MUL

#include "kernels_step.h"
#include "protocol.h"

#include <stddef.h>
#include <string.h>

/* clang-format off */
__asm__(
"    .syntax unified\n"
"    .thumb\n"
"    .text\n"

/* One term of each sum: factor in r4, words in r2, r3, r6, r7. */
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

/* The first term: sets the sums. */
"    .macro mul_first\n"
"    muls    r2, r4, r2\n"
"    mov     r8, r2\n"
"    muls    r3, r4, r3\n"
"    mov     r9, r3\n"
"    muls    r6, r4, r6\n"
"    mov     r10, r6\n"
"    muls    r7, r4, r7\n"
"    mov     r11, r7\n"
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

/* mul_dot(r0 = mul_dot_t). Frame: its first ten words. r1: factors of the four sums, r12: end of
 * the terms, lr: where the first turn of eight terms, 20 bytes of code each, begins. */
"    .balign 4\n"
"    .global mul_dot\n"
"    .thumb_func\n"
"    .type mul_dot, %function\n"
"mul_dot:\n"
"    mul_save\n"
"    sub     sp, #40\n"
"    mov     r1, sp\n"
"    ldm     r0!, {r2-r6}\n"
"    stm     r1!, {r2-r6}\n"
"    ldm     r0!, {r2-r6}\n"
"    stm     r1!, {r2-r6}\n"
"    ldm     r0!, {r1-r3}\n"
"    mov     r12, r2\n"
"    adr     r2, 3f\n"
"    adds    r2, r2, r3\n"
"    adds    r2, #1\n"
"    mov     lr, r2\n"
"1:\n"
"    ldr     r2, [sp, #28]\n"
"    cmp     r2, #0\n"
"    beq     4f\n"
"    ldr     r3, [r2]\n"
"    mov     r8, r3\n"
"    mov     r9, r3\n"
"    mov     r10, r3\n"
"    mov     r11, r3\n"
"    ldr     r3, [sp, #32]\n"
"    adds    r2, r2, r3\n"
"    str     r2, [sp, #28]\n"
"2:\n"
"    ldr     r0, [sp, #36]\n"
"    bx      lr\n"
"    .balign 4\n"
"3:\n"
"    .rept   8\n"
"    ldm     r0!, {r2, r3, r5, r6, r7}\n"
"    ldrsh   r4, [r1, r5]\n"
"    mul_terms\n"
"    .endr\n"
"    cmp     r0, r12\n"
"    bne     3b\n"
"    mov     r0, sp\n"
"    ldm     r0!, {r2-r6}\n"
"    mov     r7, r8\n"
"    str     r7, [r2]\n"
"    mov     r7, r9\n"
"    str     r7, [r2, r4]\n"
"    mov     r7, r10\n"
"    str     r7, [r3]\n"
"    mov     r7, r11\n"
"    str     r7, [r3, r4]\n"
"    adds    r2, r2, r5\n"
"    adds    r3, r3, r6\n"
"    mov     r4, sp\n"
"    stm     r4!, {r2, r3}\n"
"    ldm     r0!, {r2, r3}\n"
"    adds    r1, r1, r2\n"
"    cmp     r1, r3\n"
"    bne     1b\n"
"    add     sp, #40\n"
"    mul_restore\n"
"4:\n"
"    mov     r0, sp\n"
"    ldm     r0!, {r2-r4}\n"
"    ldr     r7, [r2]\n"
"    mov     r8, r7\n"
"    ldr     r7, [r2, r4]\n"
"    mov     r9, r7\n"
"    ldr     r7, [r3]\n"
"    mov     r10, r7\n"
"    ldr     r7, [r3, r4]\n"
"    mov     r11, r7\n"
"    b       2b\n"
"    .size mul_dot, .-mul_dot\n"

/* mul_unpack(r0 = terms, r1 = mul_unpack_t): the terms of bytes that are not all zero. Returns the
 * end of the terms. r1: input; r8..r11: rows, r12: inputs, lr: the last place of a term. */
"    .balign 4\n"
"    .global mul_unpack\n"
"    .thumb_func\n"
"    .type mul_unpack, %function\n"
"mul_unpack:\n"
"    mul_save\n"
"    push    {r1}\n"
"    ldm     r1!, {r2-r7}\n"
"    mov     r8, r2\n"
"    mov     r9, r3\n"
"    mov     r10, r4\n"
"    mov     r11, r5\n"
"    mov     r12, r6\n"
"    mov     lr, r7\n"
"    ldr     r1, [r1]\n"
"1:\n"
"    mov     r7, r8\n"
"    ldrb    r2, [r7, r1]\n"
"    mov     r7, r9\n"
"    ldrb    r3, [r7, r1]\n"
"    mov     r7, r10\n"
"    ldrb    r5, [r7, r1]\n"
"    mov     r7, r11\n"
"    ldrb    r6, [r7, r1]\n"
"    lsls    r4, r1, #1\n"
"    adds    r1, #1\n"
"    adds    r7, r2, r3\n"
"    adds    r7, r7, r5\n"
"    adds    r7, r7, r6\n"
"    beq     2f\n"
"    stm     r0!, {r2-r6}\n"
"    cmp     r0, lr\n"
"    bhi     3f\n"
"2:\n"
"    cmp     r1, r12\n"
"    bne     1b\n"
"3:\n"
"    pop     {r2}\n"
"    str     r1, [r2, #24]\n"
"    mul_restore\n"
"    .size mul_unpack, .-mul_unpack\n"

/* mul_bytes(r0 = four bytes of a row, r1 = bytes to the next row, r2 = pairs of rows, r3 = words):
 * the first pair, then from the last place to the second. r12: place of the pair. */
"    .balign 4\n"
"    .global mul_bytes\n"
"    .thumb_func\n"
"    .type mul_bytes, %function\n"
"mul_bytes:\n"
"    push    {r4-r7, lr}\n"
"    lsls    r4, r2, #5\n"
"    adds    r4, r4, r3\n"
"    mov     r12, r4\n"
"1:\n"
"    .rept   2\n"
"    ldrb    r4, [r0]\n"
"    ldrb    r5, [r0, #1]\n"
"    ldrb    r6, [r0, #2]\n"
"    ldrb    r7, [r0, #3]\n"
"    adds    r0, r0, r1\n"
"    stm     r3!, {r4-r7}\n"
"    .endr\n"
"    mov     r3, r12\n"
"    subs    r3, #32\n"
"    mov     r12, r3\n"
"    subs    r2, #1\n"
"    bne     1b\n"
"    pop     {r4-r7, pc}\n"
"    .size mul_bytes, .-mul_bytes\n"

/* mul_list(r0 = turned deltas of a row, r1 = list, r2 = bytes of the turned deltas, r3 = deltas that
 * may be listed, even): see mul_update_t. Returns r3 less those listed, or -1 if there are more. r5:
 * place of the pair of samples: the first, then from the last to the second. */
"    .macro mul_listed half, base\n"
"    subs    r3, #1\n"
"    bmi     5f\n"
"    strh    \\half, [r1]\n"
"    lsrs    r7, r3, #1\n"
"    bcs     1f\n"
"    strb    \\base, [r1, #3]\n"
"    adds    r1, #2\n"
"    b       2f\n"
"1:\n"
"    strb    \\base, [r1, #4]\n"
"2:\n"
"    adds    r1, #2\n"
"    .endm\n"
"    .balign 4\n"
"    .global mul_list\n"
"    .thumb_func\n"
"    .type mul_list, %function\n"
"mul_list:\n"
"    push    {r4-r7}\n"
"    lsls    r4, r2, #2\n"
"    mov     r12, r4\n"
"    adds    r2, r2, r0\n"
"    movs    r5, #0\n"
"3:\n"
"    ldr     r4, [r0]\n"
"    adds    r0, #8\n"
"    cmp     r4, #0\n"
"    beq     7f\n"
"    lsls    r6, r4, #16\n"
"    beq     6f\n"
"    mul_listed r4, r5\n"
"6:\n"
"    lsrs    r6, r4, #16\n"
"    beq     7f\n"
"    movs    r4, r5\n"
"    adds    r4, #16\n"
"    mul_listed r6, r4\n"
"7:\n"
"    subs    r5, #32\n"
"    bpl     4f\n"
"    add     r5, r12\n"
"4:\n"
"    cmp     r0, r2\n"
"    bne     3b\n"
"5:\n"
"    movs    r0, r3\n"
"    pop     {r4-r7}\n"
"    bx      lr\n"
"    .size mul_list, .-mul_list\n"

/* The draws of the next row in r2..r5. */
"    .macro mul_draws\n"
"    mov     r1, sp\n"
"    ldm     r1!, {r2-r7}\n"
"    .irp    draw, r2, r3, r4, r5\n"
"    muls    \\draw, r6, \\draw\n"
"    adds    \\draw, \\draw, r7\n"
"    .endr\n"
"    mov     r0, sp\n"
"    stm     r0!, {r2-r5}\n"
"    .endm\n"

/* The next row's deltas. */
"    .macro mul_next_row\n"
"    ldr     r2, [sp, #52]\n"
"    add     r12, r2\n"
"    .endm\n"

/* mul_update(r0 = mul_update_t): four inputs of all rows. Returns not 0 if a weight was clamped.
 * Frame: the record. r12: deltas of the row, lr: unpacked inputs. */
"    .balign 4\n"
"    .global mul_update\n"
"    .thumb_func\n"
"    .type mul_update, %function\n"
"mul_update:\n"
"    mul_save\n"
"    sub     sp, #76\n"
"    mov     r1, sp\n"
"    .rept   3\n"
"    ldm     r0!, {r2-r7}\n"
"    stm     r1!, {r2-r7}\n"
"    .endr\n"
"    ldm     r0!, {r2, r3}\n"
"    stm     r1!, {r2}\n"
"    mov     r12, r3\n"
"    ldr     r2, [sp, #32]\n"
"    mov     lr, r2\n"
"    adr     r2, 3f\n"
"    ldr     r3, [sp, #36]\n"
"    adds    r2, r2, r3\n"
"    adds    r2, #1\n"
"    str     r2, [sp, #36]\n"
"    b       1f\n"

/* A listed row, header in r5: the first delta, then the code of the others is entered. */
"6:\n"
"    lsrs    r5, r5, #16\n"
"    beq     7f\n"
"    ldrb    r0, [r1, #8]\n"
"    add     r0, lr\n"
"    ldm     r0!, {r2, r3, r6, r7}\n"
"    movs    r4, #4\n"
"    ldrsh   r4, [r1, r4]\n"
"    mul_first\n"
"    add     pc, r5\n"
/* No delta but 0: the weights stay. 32 bytes. */
"7:\n"
"    mul_next_row\n"
"    mul_draws\n"
"    ldr     r7, [sp, #60]\n"
"    b       5f\n"
/* 26 bytes a delta. */
"    .irp    at, 24, 22, 18, 16, 12, 10, 6\n"
"    .if     (\\at - 4) % 6\n"
"    ldrb    r0, [r1, #\\at+3]\n"
"    .else\n"
"    ldrb    r0, [r1, #\\at+4]\n"
"    .endif\n"
"    add     r0, lr\n"
"    ldm     r0!, {r2, r3, r6, r7}\n"
"    movs    r4, #\\at\n"
"    ldrsh   r4, [r1, r4]\n"
"    mul_terms\n"
"    .endr\n"
"    b       4f\n"

/* A row: listed if its first half is -32768. Other rows in pairs of deltas, the first, then from
 * the last to the second, 42 bytes a pair. */
"1:\n"
"    mov     r1, r12\n"
"    ldr     r5, [r1]\n"
"    lsls    r4, r5, #17\n"
"    bne     2f\n"
"    bcc     2f\n"
"    b       6b\n"
"2:\n"
"    mov     r0, lr\n"
"    ldm     r0!, {r2, r3, r6, r7}\n"
"    sxth    r4, r5\n"
"    mul_first\n"
"    ldm     r0!, {r2, r3, r6, r7}\n"
"    asrs    r4, r5, #16\n"
"    mul_terms\n"
"    ldr     r2, [sp, #36]\n"
"    bx      r2\n"
"    .balign 4\n"
"3:\n"
"    .irp    at, 28, 24, 20, 16, 12, 8, 4\n"
"    ldr     r5, [r1, #\\at]\n"
"    ldm     r0!, {r2, r3, r6, r7}\n"
"    sxth    r4, r5\n"
"    mul_terms\n"
"    ldm     r0!, {r2, r3, r6, r7}\n"
"    asrs    r4, r5, #16\n"
"    mul_terms\n"
"    .endr\n"

/* u = (G + random) >> s, of the odd weights in the high half. */
"4:\n"
"    mul_next_row\n"
"    mul_draws\n"
"    ldm     r1!, {r6, r7}\n"
"    .irp    draw, r2, r3, r4, r5\n"
"    lsrs    \\draw, r6\n"
"    .endr\n"
"    add     r2, r8\n"
"    add     r3, r9\n"
"    add     r4, r10\n"
"    add     r5, r11\n"
"    .irp    step, r2, r3, r4, r5\n"
"    asrs    \\step, r7\n"
"    .endr\n"
"    lsls    r3, r3, #16\n"
"    lsls    r5, r5, #16\n"
"    ldr     r7, [sp, #60]\n"
"    ldr     r6, [sp, #40]\n"
"    lsls    r0, r7, #30\n"
"    bne     7f\n"

/* Two weights in a word, 32768 added to the low one: a step borrows nothing from the high one.
 * One test that all four stay inside their bits. */
"    ldm     r7!, {r0, r1}\n"
"    subs    r7, #8\n"
"    eors    r0, r6\n"
"    eors    r1, r6\n"
"    subs    r0, r0, r2\n"
"    subs    r0, r0, r3\n"
"    subs    r1, r1, r4\n"
"    subs    r1, r1, r5\n"
"    ldr     r2, [sp, #44]\n"
"    ldr     r3, [sp, #48]\n"
"    adds    r4, r0, r2\n"
"    adds    r5, r1, r2\n"
"    orrs    r4, r5\n"
"    tst     r4, r3\n"
"    bne     8f\n"
"    eors    r0, r6\n"
"    eors    r1, r6\n"
"    stm     r7!, {r0, r1}\n"
"    subs    r7, #8\n"
"5:\n"
"    ldr     r2, [sp, #56]\n"
"    adds    r7, r7, r2\n"
"    str     r7, [sp, #60]\n"
"    ldr     r2, [sp, #64]\n"
"    cmp     r7, r2\n"
"    beq     9f\n"
"    b       1b\n"

/* Weights that do not begin at a word. */
"7:\n"
"    ldrh    r0, [r7]\n"
"    ldrh    r1, [r7, #2]\n"
"    lsls    r1, r1, #16\n"
"    orrs    r0, r1\n"
"    eors    r0, r6\n"
"    subs    r0, r0, r2\n"
"    subs    r0, r0, r3\n"
"    ldrh    r1, [r7, #4]\n"
"    ldrh    r2, [r7, #6]\n"
"    lsls    r2, r2, #16\n"
"    orrs    r1, r2\n"
"    eors    r1, r6\n"
"    subs    r1, r1, r4\n"
"    subs    r1, r1, r5\n"

/* Weight by weight: out of range, to the sign's end of it. */
"8:\n"
"    eors    r0, r6\n"
"    eors    r1, r6\n"
"    strh    r0, [r7]\n"
"    lsrs    r0, r0, #16\n"
"    strh    r0, [r7, #2]\n"
"    strh    r1, [r7, #4]\n"
"    lsrs    r1, r1, #16\n"
"    strh    r1, [r7, #6]\n"
"    ldr     r5, [sp, #68]\n"
"    lsls    r6, r5, #1\n"
"    movs    r4, #6\n"
"1:\n"
"    ldrsh   r2, [r7, r4]\n"
"    adds    r3, r2, r5\n"
"    cmp     r3, r6\n"
"    blo     2f\n"
"    asrs    r2, r2, #31\n"
"    subs    r3, r5, #1\n"
"    eors    r2, r3\n"
"    strh    r2, [r7, r4]\n"
"    str     r5, [sp, #72]\n"
"2:\n"
"    subs    r4, #2\n"
"    bpl     1b\n"
"    b       5b\n"
"9:\n"
"    ldr     r0, [sp, #72]\n"
"    add     sp, #76\n"
"    mul_restore\n"
"    .size mul_update, .-mul_update\n"
);
/* clang-format on */

/* The factor's place in bytes behind that of the sums, and what it is multiplied with. */
typedef struct {
    int32_t first[2];
    uint32_t factor;
    int32_t last[2];
} mul_term_t;

typedef struct {
    int32_t *low, *high;  /* sums of lanes 0 and 1, of lanes 2 and 3 */
    uint32_t lane_bytes;  /* from one of two lanes to the other */
    uint32_t low_step, high_step; /* bytes to the next sums */
    uint32_t w_step;
    const int16_t *w_end; /* where the factors behind the last sums would be */
    const int32_t *from;  /* initial sum of all lanes; NULL: the sums grow */
    uint32_t from_step;
    const mul_term_t *terms;
    const int16_t *w;     /* factors of the first sums */
    const mul_term_t *end;
    uint32_t entry;       /* bytes of code to skip */
} mul_dot_t;

void mul_dot(const mul_dot_t *dot);

#define TERMS_A_TURN 8u
#define BYTES_A_TERM 20u /* of code */

static int32_t load_element(const void *row, uint32_t i, uint8_t format)
{
    return format == INPUT_U8   ? ((const uint8_t *)row)[i]
           : format == INPUT_I8 ? ((const int8_t *)row)[i]
                                : ((const int16_t *)row)[i];
}

/* Sets the terms, one at least. */
static void set_terms(mul_dot_t *dot, mul_term_t *terms, uint32_t count)
{
    if (count == 0) {
        memset(terms, 0, sizeof *terms);
        count = 1;
    }
    dot->terms = terms;
    dot->end = terms + count;
    dot->entry = BYTES_A_TERM * ((0u - count) % TERMS_A_TURN);
}

/* Appends a term unless it is zero. */
static mul_term_t *append_term(mul_term_t *term, int32_t a, int32_t b, int32_t c, int32_t d,
                               uint32_t factor)
{
    if ((a | b | c | d) != 0) {
        *term++ = (mul_term_t){{a, b}, factor, {c, d}};
    }
    return term;
}

typedef struct {
    const void *row[KERNELS_LANES];
    uint32_t inputs;
    const mul_term_t *last; /* place of the last term there is room for */
    uint32_t at;            /* the next input */
} mul_unpack_t;

mul_term_t *mul_unpack(mul_term_t *terms, mul_unpack_t *rows);

/* The same for other elements than bytes. */
static mul_term_t *unpack_elements(mul_term_t *terms, mul_unpack_t *rows, uint8_t format)
{
    while (rows->at < rows->inputs && terms <= rows->last) {
        int32_t x[KERNELS_LANES];
        for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
            x[lane] = load_element(rows->row[lane], rows->at, format);
        }
        terms = append_term(terms, x[0], x[1], x[2], x[3], 2u * rows->at);
        rows->at++;
    }
    return terms;
}

/* The workspace begins with the number of terms if they are those of all inputs, else with 0. */
void kernels_forward(const kernels_layer_t *layer, const kernels_forward_t *forward,
                     uint32_t first, uint32_t count, int32_t *acc, uint32_t stride)
{
    uint32_t *all = forward->work;
    mul_term_t *terms = (mul_term_t *)(all + 1);
    mul_dot_t dot = {
        .lane_bytes = 4u * stride,
        .low_step = 4u,
        .high_step = 4u,
        .w_step = 2u * layer->inputs,
        .from = forward->bias + first,
        .from_step = 4u,
        .w = layer->weights + first * layer->inputs,
    };
    dot.w_end = dot.w + count * layer->inputs;
    mul_unpack_t rows = {
        .row = {forward->row[0], forward->row[1], forward->row[2], forward->row[3]},
        .inputs = layer->inputs,
        .last = (const mul_term_t *)((const uint8_t *)all + forward->work_bytes) - 1,
    };
    do {
        uint32_t number = *all;
        if (first == 0 || number == 0) {
            const bool begins = rows.at == 0;
            const mul_term_t *end = layer->format == INPUT_U8
                                        ? mul_unpack(terms, &rows)
                                        : unpack_elements(terms, &rows, layer->format);
            number = (uint32_t)(end - terms);
            *all = begins && rows.at == rows.inputs ? number : 0u;
        } else {
            rows.at = rows.inputs;
        }
        set_terms(&dot, terms, number);
        dot.low = acc;
        dot.high = acc + 2u * stride;
        mul_dot(&dot);
        dot.from = NULL;
    } while (rows.at < rows.inputs);
}

/* Terms on the stack. */
enum { OUTPUTS_AT_ONCE = 12 };

/* Terms of the outputs from *at on, as many as there is room for. Returns their number. */
static uint32_t unpack_deltas(const kernels_layer_t *layer, const kernels_backward_t *backward,
                              uint32_t *at, mul_term_t *terms)
{
    mul_term_t *term = terms;
    uint32_t j = *at;
    for (; j < layer->outputs && term < terms + OUTPUTS_AT_ONCE; j++) {
        const int16_t *delta = backward->delta + kernels_delta_index(backward->quads, 0, j);
        term = append_term(term, delta[0], delta[2], delta[4], delta[6], 2u * layer->inputs * j);
    }
    *at = j;
    return (uint32_t)(term - terms);
}

void kernels_backward(const kernels_layer_t *layer, const kernels_backward_t *backward)
{
    static const int32_t zero = 0;
    mul_term_t terms[OUTPUTS_AT_ONCE];
    mul_dot_t dot = {
        .lane_bytes = 8u,
        .low_step = 16u * backward->quads,
        .high_step = 16u,
        .w_step = 4u,
        .from = &zero,
    };
    uint32_t j = 0;
    do {
        set_terms(&dot, terms, unpack_deltas(layer, backward, &j, terms));
        for (uint32_t odd = 0; odd < 2u && odd < layer->inputs; odd++) {
            dot.low = backward->low + odd;
            dot.high = backward->high + odd;
            dot.w = layer->weights + odd;
            dot.w_end = dot.w + ((layer->inputs - odd + 1u) & ~1u);
            mul_dot(&dot);
        }
        dot.from = NULL;
    } while (j < layer->outputs);
}

/* Rows of deltas, four for each tile in a row, are rearranged in place. Up to LISTED_A_TILE a tile
 * are listed where the others are 0: a first half that no delta has, then what the code needs to
 * begin with the last delta, or 0; then for each pair of deltas: both, then their places among the
 * unpacked inputs in bytes. */
#define LISTED 0x8000u
#define LISTED_A_TILE 2u
#define TILES_MAX 4u
#define LISTED_MAX (LISTED_A_TILE * TILES_MAX)
#define BYTES_A_DELTA 26u /* of code */
#define BYTES_BEFORE_DELTAS 30u

#define BYTES_A_PAIR 42u
#define PAIRS_MAX (KERNELS_LANES / 2u * TILES_MAX)

typedef struct {
    uint32_t prng[4];        /* the draws of the four weights in the row in front of the first */
    random_jump_t row;
    uint32_t random_shift;   /* 32 - s */
    uint32_t shift;          /* s */
    const int32_t *x;        /* unpacked inputs */
    uint32_t entry;          /* bytes of code to skip */
    uint32_t half;           /* 32768 */
    uint32_t bias;           /* makes two weights in a word 2^wb larger than they are */
    uint32_t mask;           /* the bits that these do not have */
    uint32_t delta_bytes;    /* from one row to the next */
    uint32_t w_bytes;
    int16_t *w;
    const int16_t *w_end;
    uint32_t high;           /* 2^wb */
    uint32_t clamped;        /* 0 */
    const int16_t *delta;
} mul_update_t;

uint32_t mul_update(const mul_update_t *block);
void mul_bytes(const uint8_t *row, uint32_t row_bytes, uint32_t pairs, int32_t *words);
int32_t mul_list(const uint32_t *turned, uint32_t *list, uint32_t bytes, uint32_t listed_max);

/* Four halves of each of two rows: a turned tile. */
typedef struct {
    uint32_t pair[4];
} mul_tile_t;

/* A row of `pairs` pairs of deltas; `turned`: from its first pair on, every second word. */
static void arrange_row(const uint32_t *turned, uint32_t pairs, uint32_t listed_max, uint32_t *row)
{
    const int32_t left = mul_list(turned, row + 1, 8u * pairs, listed_max);
    if (left < 0) {
        for (const uint32_t *end = turned + 2u * pairs; turned != end; turned += 2) {
            *row++ = *turned;
        }
        return;
    }
    const uint32_t count = listed_max - (uint32_t)left;
    row[0] = LISTED | (count == 0 ? 0u
                                  : BYTES_BEFORE_DELTAS + BYTES_A_DELTA * (LISTED_MAX - count))
                          << 16;
}

static void arrange_rows(const kernels_layer_t *layer, const kernels_update_t *update)
{
    const uint32_t tiles = update->quads;
    const uint32_t pairs = 2u * kernels_quads(update->count);
    const uint32_t listed_max = tiles == 1u ? 0u : LISTED_A_TILE * tiles;
    mul_tile_t *rows = (mul_tile_t *)(void *)update->delta;
    for (uint32_t j = 0; j < layer->outputs; j += 2u, rows += tiles) {
        mul_tile_t *copy = update->work;
        for (uint32_t tile = 0; tile < tiles; tile++) {
            copy[tile] = rows[tile];
        }
        arrange_row(copy->pair, pairs, listed_max, rows->pair);
        arrange_row(copy->pair + 1, pairs, listed_max, rows->pair + 2u * tiles);
    }
}

/* Unpacks four inputs of the batch, the first `used` as 0; an odd last sample twice. */
static void unpack_inputs(const kernels_layer_t *layer, const kernels_update_t *update,
                          uint32_t first, uint32_t used)
{
    const uint32_t count = update->count, pairs = 2u * kernels_quads(count);
    if (layer->format == INPUT_U8 && used == 0 && count % KERNELS_LANES == 0) {
        mul_bytes((const uint8_t *)update->x + first, layer->inputs, count / 2u, update->work);
        return;
    }
    for (uint32_t b = 0; b < count + count % 2u; b++) {
        const uint32_t at = (b < count ? b : count - 1u) * layer->inputs + first;
        const uint32_t place = b < 2u ? b : 2u * pairs - (b & ~1u) + b % 2u;
        int32_t *out = (int32_t *)update->work + 4u * place;
        for (uint32_t i = 0; i < 4u; i++) {
            out[i] = i < used ? 0 : load_element(update->x, at + i, layer->format);
        }
    }
}

/* Weight by weight. The deltas of a row are gathered first. */
static int32_t update_single(const kernels_layer_t *layer, const kernels_update_t *update,
                             uint32_t prng)
{
    int16_t *delta = update->work;
    int32_t changed = 0;
    uint32_t at = 0;
    for (uint32_t j = 0; j < layer->outputs; j++) {
        for (uint32_t b = 0; b < update->count; b++) {
            delta[b] = update->delta[kernels_turned_index(update->quads, b, j)];
        }
        for (uint32_t i = 0; i < layer->inputs; i++, at++) {
            int16_t *velocity = update->velocity == NULL ? NULL : update->velocity + at;
            int32_t gradient = 0;
            for (uint32_t b = 0; b < update->count; b++) {
                if (delta[b] != 0) {
                    gradient += delta[b] * load_element(update->x, b * layer->inputs + i,
                                                        layer->format);
                }
            }
            layer->weights[at] = kernels_step(layer->weights[at], velocity, gradient,
                                              random_draw(&prng), update, &changed);
        }
    }
    return changed;
}

/* All weights in blocks of four inputs; the last block may repeat inputs of the one before, as 0:
 * a gradient of 0 leaves a weight as it is. */
static bool update_blocks(const kernels_layer_t *layer, const kernels_update_t *update,
                          uint32_t prng)
{
    const uint32_t inputs = layer->inputs;
    const uint32_t unused = PAIRS_MAX - 2u * kernels_quads(update->count);
    const uint32_t high = 1u << update->weight_bits;
    mul_update_t block = {
        .row = random_jump(inputs),
        .random_shift = 32u - update->shift,
        .shift = update->shift,
        .x = update->work,
        .entry = BYTES_A_PAIR * unused,
        .half = 32768u,
        .bias = (high << 16) + high - 32768u,
        .mask = (0x10000u - 2u * high) * 0x10001u,
        .delta_bytes = 8u * update->quads,
        .w_bytes = 2u * inputs,
        .high = high,
        .delta = update->delta,
    };
    prng = random_ahead(prng, 0u - inputs);
    arrange_rows(layer, update);
    for (uint32_t i = 0; i < inputs; i += 4u) {
        const uint32_t used = inputs - i < 4u ? 4u - (inputs - i) : 0u;
        if (used != 0) {
            prng = random_ahead(prng, 0u - used);
        }
        for (uint32_t k = 0; k < 4u; k++) {
            block.prng[k] = random_draw(&prng);
        }
        unpack_inputs(layer, update, i - used, used);
        block.w = layer->weights + i - used;
        block.w_end = block.w + inputs * layer->outputs;
        block.clamped |= mul_update(&block);
    }
    return block.clamped != 0;
}

bool kernels_update(const kernels_layer_t *layer, const kernels_update_t *update, uint32_t *prng)
{
    const uint32_t inputs = layer->inputs;
    const bool may_clamp = update->gradient_max >> update->shift >= 16383u;
    const uint32_t first = *prng;
    *prng = random_ahead(first, inputs * layer->outputs);
    if (!may_clamp && update->velocity == NULL && update->quads <= TILES_MAX && inputs >= 4u) {
        return update_blocks(layer, update, first);
    }
    return update_single(layer, update, first) != 0;
}

#endif
