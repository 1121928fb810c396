/* The kernels over the blocks of kernels_blocks.h: packing, borders, momentum. */
#include "kernels_blocks.h"

#ifdef KERNELS_DSP

#include "kernels_step.h"
#include "protocol.h"

#include <arm_acle.h>
#include <stddef.h>
#include <string.h>

/* Steps that the first turn leaves out. */
static uint32_t left_out(uint32_t steps)
{
    return (0u - steps) % BLOCKS_STEPS;
}

/* sum + a.low * b.low + a.high * b.high. */
static inline int32_t add_products(uint32_t a, uint32_t b, int32_t sum)
{
    return __smlad((int16x2_t)a, (int16x2_t)b, sum);
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

/* Packs inputs first .. first + 2 * pairs - 1 of four rows. */
static void pack_rows(const kernels_layer_t *layer, const kernels_forward_t *forward,
                      uint32_t first, uint32_t pairs)
{
    const uint8_t format = layer->format;
    const bool wide = format == INPUT_I16;
    uint32_t *end = (uint32_t *)forward->work + 4u * (wide ? pairs : pairs & ~1u);
    if (end != forward->work) {
        blocks_pack_rows(forward->row, wide ? 2u * first : first, forward->work, end, format);
    }
    if (!wide && pairs % 2u != 0) {
        const uint32_t i = first + 2u * pairs - 2u;
        for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
            end[lane] = fixed_halves(load_element(forward->row[lane], i, format),
                                     load_element(forward->row[lane], i + 1u, format));
        }
    }
}

/* One row alone: two terms a word. */
static void forward_single(const uint32_t *x, const int16_t *w, uint32_t pairs, int32_t *acc,
                           uint32_t stride)
{
    for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
        int32_t sum = acc[lane * stride];
        for (uint32_t pair = 0; pair < pairs; pair++) {
            sum = add_products(x[4u * pair + lane], load_word(w + 2u * pair), sum);
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
        const int16_t *w = layer->weights + first * layer->inputs + 4u * pair;
        const uint32_t *x = forward->work;
        const blocks_forward_t block = {
            .w = w,
            .x = x,
            .x_end = x + 4u * pairs,
            .entry = BLOCKS_STEP_BYTES * left_out(pairs),
            .from = pair == 0 ? bias : acc,
            .from_stride = pair == 0 ? 0u : 4u * stride,
            .to = acc,
            .to_stride = 4u * stride,
            .w_gap = 4u * layer->inputs - 8u * pairs,
            .w_end = w + 2u * blocks * layer->inputs,
        };
        if (blocks > 0) {
            blocks_forward(&block);
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
    const blocks_backward_t block = {
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
        blocks_backward(&block);
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
    const uint32_t width = format == INPUT_I16 ? 2u : 1u;
    const uint32_t row_bytes = width * layer->inputs;
    const uint32_t columns = layer->inputs - first, count = update->count;
    const uint8_t *row = (const uint8_t *)update->x + width * first;
    uint32_t *out = update->work;
    uint32_t *end = out + 2u * (count & ~1u);
    if (columns >= 4u) {
        if (end != out) {
            blocks_pack_inputs(row, row_bytes, out, end, format);
        }
        if (count % 2u != 0) {
            blocks_pack_inputs(row + (count - 1u) * row_bytes, 0, end, end + 4, format);
        }
        return;
    }
    for (uint32_t b = 0; b < count; b += 2u, row += 2u * row_bytes, out += 4) {
        const uint8_t *other = b + 1u < count ? row + row_bytes : row;
        for (uint32_t i = 0; i < 4u; i++) {
            out[i] = i >= columns ? 0u
                                  : fixed_halves(load_element(row, i, format),
                                                 load_element(other, i, format));
        }
    }
}

/* Rows first_row .. of the four columns from `first` on, fewer at the borders: through a copy, one
 * pair of rows at a time, filled with zeros that stay zero. prng: of row 0, in front of them. */
static void update_border(const kernels_layer_t *layer, blocks_update_t *block,
                          const int16_t *delta, uint32_t tiles, uint32_t first_row, uint32_t first,
                          uint32_t prng)
{
    const uint32_t columns = layer->inputs - first < 4u ? layer->inputs - first : 4u;
    const random_jump_t row = random_jump(layer->inputs);
    prng = random_ahead(prng, first_row * layer->inputs);
    for (uint32_t j = first_row; j < layer->outputs; j += 2u) {
        const uint32_t count = layer->outputs - j < 2u ? 1u : 2u;
        int16_t copy[8] = {0};
        for (uint32_t at = 0; at < columns * count; at++) {
            const uint32_t i = at / count, k = at % count;
            copy[4u * (i / 2u) + 2u * k + i % 2u] =
                layer->weights[kernels_index(layer, j + k, first + i)];
        }
        block->prng[0] = prng;
        prng = random_leap(prng, row);
        block->prng[1] = prng;
        prng = random_leap(prng, row);
        block->w = copy;
        block->w_end = copy + block->w_bytes / 2u;
        blocks_update(block, delta + 4u * tiles * j);
        for (uint32_t at = 0; at < columns * count; at++) {
            const uint32_t i = at / count, k = at % count;
            layer->weights[kernels_index(layer, j + k, first + i)] =
                copy[4u * (i / 2u) + 2u * k + i % 2u];
        }
    }
}

/* The eight gradients of a block, in the order of its sums. */
static void gradients(const uint32_t *x, const int16_t *delta, uint32_t steps, int32_t *g)
{
    memset(g, 0, 8u * sizeof *g);
    for (uint32_t step = 0; step < steps; step++, x += 4, delta += 4) {
        const uint32_t d0 = load_word(delta), d1 = load_word(delta + 2);
        for (uint32_t i = 0; i < 4u; i++) {
            g[2u * i] = add_products(x[i], d0, g[2u * i]);
            g[2u * i + 1u] = add_products(x[i], d1, g[2u * i + 1u]);
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
                kernels_step(layer->weights[at], update->velocity + at, g[2u * i + j % 2u],
                             random_draw(&r), update, &changed);
        }
    }
    return changed;
}

/* The record lies behind the packed inputs. */
static blocks_update_t *begin_update(const kernels_layer_t *layer, const kernels_update_t *update)
{
    const uint32_t steps = 2u * kernels_quads(update->count);
    const uint32_t skip = left_out(steps);
    const uint32_t turns = (steps + skip) / BLOCKS_STEPS;
    const bool may_clamp = update->gradient_max >> update->shift >= 16383u;
    const uint32_t *work = update->work;
    blocks_update_t *block = (blocks_update_t *)((uint32_t *)update->work + 4u * steps);
    block->random_shift = 32u - update->shift;
    block->draw = (random_jump_t){RANDOM_MULTIPLIER, RANDOM_INCREMENT};
    block->next_rows = random_jump(2u * layer->inputs - 4u);
    block->x = work;
    block->entry = BLOCKS_STEP_BYTES * skip;
    block->w_bytes = 4u * layer->inputs;
    block->tile_gap = 16u * update->quads - 8u * steps;
    block->shift = update->shift;
    block->kept = BLOCKS_END_OF_BITS(update->weight_bits + 1u);
    block->last = may_clamp ? BLOCKS_END_CLAMP : block->kept;
    block->first = turns > 1u ? BLOCKS_END_TURN : block->last;
    block->x_end = work + 4u * steps;
    return block;
}

bool kernels_update(const kernels_layer_t *layer, const kernels_update_t *update, uint32_t *prng)
{
    const uint32_t inputs = layer->inputs, outputs = layer->outputs;
    const random_jump_t columns = random_jump(4);
    const int16_t *delta = update->delta;
    blocks_update_t *block = begin_update(layer, update);
    uint32_t first = *prng, second = random_ahead(first, inputs);
    int32_t changed = 0;
    clear_sticky();
    for (uint32_t i = 0; i < inputs; i += 4u) {
        pack_inputs(layer, update, i);
        if (update->velocity != NULL) {
            changed |= update_momentum(layer, update, i, first);
        } else {
            const uint32_t rows = inputs - i < 4u ? 0u : outputs & ~1u;
            if (rows > 0) {
                block->prng[0] = first;
                block->prng[1] = second;
                block->w = layer->weights + 2u * i;
                block->w_end = block->w + rows * inputs;
                blocks_update(block, delta);
            }
            if (rows < outputs) {
                update_border(layer, block, delta, update->quads, rows, i, first);
            }
        }
        first = random_leap(first, columns);
        second = random_leap(second, columns);
    }
    *prng = random_ahead(*prng, inputs * outputs);
    return is_sticky() || changed != 0;
}

#endif
