/* The kernels for cores with the M-profile Vector Extension: Cortex-M55.
 *
 * A block is four samples by two outputs, or four inputs by two outputs: eight sums in the even
 * registers r0..r14, eight terms of each in one VMLADAVA. Packed 16-bit halves, filled with zeros:
 *   rows       [eight inputs][4 samples][8]
 *   deltas     [eight outputs][4 samples][8]
 *   gradient   [eight samples][4 inputs][8]
 * Weights are row-major; a block's two rows are loaded straight from there. */
#include "speed.h"
#include "kernels.h"

#ifdef KERNELS_MVE

#include "kernels_step.h"
#include "protocol.h"

#include <arm_mve.h>
#include <string.h>

/* clang-format off */
__asm__(
"    .syntax unified\n"
"    .thumb\n"
"    .text\n"
/* mve_dot(r0 = mve_dot_t): [0] four vectors a turn, [4] first row, [8] second row, [12] turns,
 * [16] bytes from one vector of a row to the next, [20] sums: initial, then final, eight words. */
"    .balign 4\n"
"    .global mve_dot\n"
"    .thumb_func\n"
"    .type mve_dot, %function\n"
"mve_dot:\n"
"    push    {r4-r11, lr}\n"
"    vpush   {d8-d11}\n"
"    ldr     r11, [r0, #16]\n"
"    ldrd    r1, r3, [r0, #0]\n"
"    ldrd    r5, r7, [r0, #8]\n"
"    ldr     r9, [r0, #20]\n"
"    ldrd    r0, r2, [r9, #0]\n"
"    ldrd    r4, r6, [r9, #8]\n"
"    ldrd    r8, r10, [r9, #16]\n"
"    ldrd    r12, lr, [r9, #24]\n"
"1:\n"
"    vldrh.u16 q0, [r1], #16\n"
"    vldrh.u16 q4, [r3]\n"
"    vldrh.u16 q5, [r5]\n"
"    vmladava.s16 r0, q0, q4\n"
"    vldrh.u16 q1, [r1], #16\n"
"    vmladava.s16 r2, q0, q5\n"
"    vmladava.s16 r4, q1, q4\n"
"    vldrh.u16 q2, [r1], #16\n"
"    vmladava.s16 r6, q1, q5\n"
"    vmladava.s16 r8, q2, q4\n"
"    vldrh.u16 q3, [r1], #16\n"
"    vmladava.s16 r10, q2, q5\n"
"    vmladava.s16 r12, q3, q4\n"
"    vmladava.s16 lr, q3, q5\n"
"    add     r3, r3, r11\n"
"    add     r5, r5, r11\n"
"    subs    r7, r7, #1\n"
"    bne     1b\n"
"    strd    r0, r2, [r9, #0]\n"
"    strd    r4, r6, [r9, #8]\n"
"    strd    r8, r10, [r9, #16]\n"
"    strd    r12, lr, [r9, #24]\n"
"    vpop    {d8-d11}\n"
"    pop     {r4-r11, pc}\n"
"    .size mve_dot, .-mve_dot\n"
);
/* clang-format on */

typedef struct {
    const int16_t *terms;
    const int16_t *first, *second;
    uint32_t turns;
    uint32_t step_bytes;
    int32_t *sums; /* lane by lane: of the first row, of the second */
} mve_dot_t;

void mve_dot(const mve_dot_t *dot);

/* Eight elements of a row, 0 beyond `left`. */
static inline int16x8_t load_eight(const void *row, uint32_t i, uint32_t left, uint8_t format)
{
    const mve_pred16_t valid = vctp16q(left);
    if (format == INPUT_U8) {
        return vreinterpretq_s16_u16(vldrbq_z_u16((const uint8_t *)row + i, valid));
    }
    if (format == INPUT_I8) {
        return vldrbq_z_s16((const int8_t *)row + i, valid);
    }
    return vldrhq_z_s16((const int16_t *)row + i, valid);
}

/* Packs inputs first .. first + count - 1 of four rows. */
static void pack_rows(const kernels_layer_t *layer, const kernels_forward_t *forward,
                      uint32_t first, uint32_t count)
{
    for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
        int16_t *out = (int16_t *)forward->work + 8u * lane;
        for (uint32_t i = 0; i < count; i += 8u, out += 32) {
            vst1q_s16(out, load_eight(forward->row[lane], first + i, count - i, layer->format));
        }
    }
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
        for (uint32_t j = 0; j < count; j += 2u) {
            int32_t sums[8];
            const int16_t *w = layer->weights + (first + j) * all + i;
            const uint32_t other = j + 1u < count ? 1u : 0u;
            for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
                const int32_t *from = i == 0 ? forward->bias + first + j : acc + lane * stride + j;
                sums[2u * lane] = from[0];
                sums[2u * lane + 1u] = from[other];
            }
            const mve_dot_t dot = {
                forward->work, w, w + other * all, (inputs + 7u) / 8u, 16u, sums};
            mve_dot(&dot);
            for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
                acc[lane * stride + j] = sums[2u * lane];
                acc[lane * stride + j + other] = sums[2u * lane + other];
            }
        }
    }
}

/* e_i of one lane and eight inputs at a time. */
void kernels_backward(const kernels_layer_t *layer, const kernels_backward_t *backward)
{
    const uint32_t inputs = layer->inputs;
    for (uint32_t lane = 0; lane < backward->lanes; lane++) {
        int32_t *out = (lane < 2u ? backward->low : backward->high) + 2u * (lane % 2u);
        const uint32_t step = lane < 2u ? 4u * backward->quads : 4u;
        for (uint32_t i = 0; i < inputs; i += 8u) {
            const mve_pred16_t low = vctp32q(inputs - i);
            const mve_pred16_t high = vctp32q(inputs - i < 4u ? 0u : inputs - i - 4u);
            int32x4_t a = vdupq_n_s32(0), b = vdupq_n_s32(0);
            const int16_t *w = layer->weights + i;
            for (uint32_t j = 0; j < layer->outputs; j++, w += inputs) {
                const int32_t d = backward->delta[kernels_delta_index(backward->quads, lane, j)];
                a = vmlaq_n_s32(a, vldrhq_z_s32(w, low), d);
                b = vmlaq_n_s32(b, vldrhq_z_s32(w + 4, high), d);
            }
            int32_t sums[8];
            vst1q_s32(sums, a);
            vst1q_s32(sums + 4, b);
            for (uint32_t k = 0; k < 8u && i + k < inputs; k++) {
                out[(i + k) / 2u * step + k % 2u] = sums[k];
            }
        }
    }
}

/* Gradients of eight columns: vector sums of single terms. */
static void gradients(const kernels_layer_t *layer, const kernels_update_t *update, uint32_t j,
                      uint32_t i, int32_t *g)
{
    const uint32_t inputs = layer->inputs;
    const uint32_t left = inputs - i;
    const uint32_t width = layer->format == INPUT_I16 ? 2u : 1u;
    const uint8_t *row = update->x;
    const mve_pred16_t low = vctp32q(left), high = vctp32q(left < 4u ? 0u : left - 4u);
    int32x4_t a = vdupq_n_s32(0), b = vdupq_n_s32(0);
    for (uint32_t sample = 0; sample < update->count; sample++, row += inputs * width) {
        const int32_t d = update->delta[kernels_turned_index(update->quads, sample, j)];
        if (layer->format == INPUT_U8) {
            a = vmlaq_n_s32(a, vreinterpretq_s32_u32(vldrbq_z_u32(row + i, low)), d);
            b = vmlaq_n_s32(b, vreinterpretq_s32_u32(vldrbq_z_u32(row + i + 4u, high)), d);
        } else if (layer->format == INPUT_I8) {
            a = vmlaq_n_s32(a, vldrbq_z_s32((const int8_t *)row + i, low), d);
            b = vmlaq_n_s32(b, vldrbq_z_s32((const int8_t *)row + i + 4u, high), d);
        } else {
            a = vmlaq_n_s32(a, vldrhq_z_s32((const int16_t *)(const void *)row + i, low), d);
            b = vmlaq_n_s32(b, vldrhq_z_s32((const int16_t *)(const void *)row + i + 4u, high), d);
        }
    }
    vst1q_s32(g, a);
    vst1q_s32(g + 4, b);
}

/* One weight after the other: momentum, and steps that a clamp may change. */
static int32_t update_single(const kernels_layer_t *layer, const kernels_update_t *update,
                             uint32_t j, uint32_t i, const int32_t *g, uint32_t *prng)
{
    int32_t changed = 0;
    for (uint32_t k = 0; k < 8u && i + k < layer->inputs; k++) {
        const uint32_t at = j * layer->inputs + i + k;
        int16_t *w = layer->weights + at;
        const uint32_t r = random_draw(prng);
        *w = update->velocity == NULL
                 ? kernels_step(*w, g[k], r, update, &changed)
                 : kernels_step_momentum(*w, update->velocity + at, g[k], r, update, &changed);
    }
    return changed;
}

/* Where the four draws of a vector stand, and four draws at once. */
static uint32x4_t four_draws(uint32_t prng)
{
    uint32_t draws[4];
    for (uint32_t k = 0; k < 4u; k++) {
        draws[k] = random_draw(&prng);
    }
    return vld1q_u32(draws);
}

/* u = (G + (r >> (32 - s))) >> s; w - u clamped to wb + 1 bits; not 0 where that changed it. */
static inline uint32x4_t step_four(int16_t *w, int32x4_t g, uint32x4_t draws, int32_t shift,
                                   int32_t high, mve_pred16_t valid, uint32x4_t changed)
{
    const int32x4_t random = vreinterpretq_s32_u32(vshlq_r_u32(draws, shift - 32));
    const int32x4_t u = vshlq_r_s32(vaddq_s32(g, random), -shift);
    const int32x4_t v = vsubq_s32(vldrhq_z_s32(w, valid), u);
    const int32x4_t kept =
        vmaxq_s32(vminq_s32(v, vdupq_n_s32(high)), vdupq_n_s32(-high - 1));
    vstrhq_p_s32(w, kept, valid);
    const uint32x4_t bits = veorq_u32(vreinterpretq_u32_s32(v), vreinterpretq_u32_s32(kept));
    return vorrq_m_u32(changed, changed, bits, valid);
}

/* Samples that a block of four inputs and two rows takes at a time. */
enum { SAMPLES = 16, SLICE = 4 * SAMPLES };

/* Packs four inputs of all samples: [eight samples][4 inputs][8], 0 beyond the batch. */
static void pack_inputs(const kernels_layer_t *layer, const kernels_update_t *update, uint32_t i)
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

/* Deltas of two rows for eight samples each: two tiles; 0 for tiles that are not there. */
static void load_deltas(const int16_t *tile, uint32_t tiles, uint32_t turns, int16_t *out)
{
    const uint32x4_t pairs = vshlq_n_u32(vidupq_n_u32(0, 1), 3);
    for (uint32_t turn = 0; turn < turns; turn++, tile += 16, out += 8, tiles -= 2u) {
        const mve_pred16_t valid = vctp32q(tiles >= 2u ? 4u : 2u);
        const uint32_t *words = (const uint32_t *)(const void *)tile;
        vst1q_u32((uint32_t *)(void *)out, vldrwq_gather_offset_z_u32(words, pairs, valid));
        vst1q_u32((uint32_t *)(void *)(out + SAMPLES),
                  vldrwq_gather_offset_z_u32(words + 1, pairs, valid));
    }
}

/* Eight gradients: inputs one after the other, of both rows each. */
static void block_gradients(const kernels_update_t *update, uint32_t j, int32_t *g)
{
    const int16_t *tile = update->delta + j / 2u * update->quads * 8u;
    const int16_t *terms = update->work;
    memset(g, 0, 8u * sizeof *g);
    for (uint32_t b = 0; b < update->count; b += SAMPLES, terms += SLICE, tile += 2 * SAMPLES) {
        int16_t deltas[2 * SAMPLES];
        const uint32_t left = update->count - b;
        const uint32_t turns = left < SAMPLES ? (left + 7u) / 8u : SAMPLES / 8u;
        load_deltas(tile, kernels_quads(left), turns, deltas);
        const mve_dot_t dot = {terms, deltas, deltas + SAMPLES, turns, 16u, g};
        mve_dot(&dot);
    }
}

/* Four inputs of all rows. `draws` of rows 0 and 1 at the first of the inputs. */
static uint32x4_t update_columns(const kernels_layer_t *layer, const kernels_update_t *update,
                                 uint32_t i, uint32x4_t draws, random_jump_t row)
{
    const uint32_t inputs = layer->inputs;
    const int32_t high = (1 << update->weight_bits) - 1;
    const mve_pred16_t valid = vctp32q(inputs - i);
    uint32x4_t changed = vdupq_n_u32(0);
    int16_t *w = layer->weights + i;
    for (uint32_t j = 0; j < layer->outputs; j += 2u) {
        int32_t g[8];
        block_gradients(update, j, g);
        const int32x4x2_t rows = vld2q_s32(g);
        for (uint32_t k = 0; k < 2u && j + k < layer->outputs; k++, w += inputs) {
            changed = step_four(w, k == 0 ? rows.val[0] : rows.val[1], draws, update->shift, high,
                                valid, changed);
            draws = vaddq_n_u32(vmulq_n_u32(draws, row.multiplier), row.increment);
        }
    }
    return changed;
}

/* With momentum, or where a clamp may change a step: row by row. */
static bool update_slowly(const kernels_layer_t *layer, const kernels_update_t *update,
                          uint32_t prng)
{
    int32_t changed = 0;
    for (uint32_t j = 0; j < layer->outputs; j++) {
        for (uint32_t i = 0; i < layer->inputs; i += 8u) {
            int32_t g[8];
            gradients(layer, update, j, i, g);
            changed |= update_single(layer, update, j, i, g, &prng);
        }
    }
    return changed != 0;
}

bool kernels_update(const kernels_layer_t *layer, const kernels_update_t *update, uint32_t *prng)
{
    const uint32_t inputs = layer->inputs;
    const uint32_t start = *prng;
    const bool may_clamp = update->gradient_max >> update->shift >= 16383u;
    *prng = random_ahead(start, inputs * layer->outputs);
    if (may_clamp || update->velocity != NULL) {
        return update_slowly(layer, update, start);
    }
    const random_jump_t row = random_jump(inputs), four = random_jump(4);
    uint32x4_t draws = four_draws(start), changed = vdupq_n_u32(0);
    for (uint32_t i = 0; i < inputs; i += 4u) {
        pack_inputs(layer, update, i);
        changed = vorrq_u32(changed, update_columns(layer, update, i, draws, row));
        draws = vaddq_n_u32(vmulq_n_u32(draws, four.multiplier), four.increment);
    }
    uint32_t bits[4];
    vst1q_u32(bits, changed);
    return (bits[0] | bits[1] | bits[2] | bits[3]) != 0;
}

#endif
