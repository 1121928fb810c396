#include "fixed.h"
#include "mlp_internal.h"
#include "protocol.h"
#include "random.h"
#include "vector.h"

#include <stddef.h>
#include <string.h>
#ifdef __ARM_FEATURE_SIMD32
#include <arm_acle.h>
#endif

/* Item 1: E, the exponent that the batch's largest update mantissa is scaled to.
 * Range: md * lrm <= 2^30; E ends in eW - eX - 24 .. eW - eX - 1 - f. */
static __attribute__((noinline)) int32_t update_exponent(const mlp_t *m, uint32_t l, int32_t unit,
                                                         uint16_t count)
{
    int32_t exponent = unit - 24;
#ifdef VECTOR
    const uint32_t *scales = (const uint32_t *)(const void *)mlp_scale(m, l, 0);
    const int32_t wanted =
        vector_reach(scales, count, m->lr_mantissa) + m->lr_exponent - m->update_bits;
    exponent = wanted > exponent ? wanted : exponent;
#else
    for (uint32_t b = 0; b < count; b++) {
        const mlp_scale_t *scale = mlp_scale(m, l, b);
        if (scale->largest > 0) {
            const int32_t wanted = mlp_wanted_exponent(m, scale);
            exponent = wanted > exponent ? wanted : exponent;
        }
    }
#endif
    const int32_t highest = unit - 1 - (m->momentum == 0 ? 0 : m->velocity_bits);
    return exponent < highest ? exponent : highest;
}

#ifndef VECTOR
/* Both halves of a word. */
static inline int32_t add_pair(int32_t sum, const int16_t *halves)
{
    uint32_t pair;
    memcpy(&pair, __builtin_assume_aligned(halves, 4), sizeof pair);
#ifdef __ARM_FEATURE_SIMD32
    return __smlad((int16x2_t)pair, (int16x2_t)0x00010001, sum);
#else
    return sum + (int16_t)pair + fixed_floor((int32_t)pair, 16);
#endif
}
#endif

/* Sum of an output's d' over the batch: in `quads` tiles, one at least. */
static int32_t sum_deltas(const int16_t *half, uint32_t quads)
{
#ifdef VECTOR
    return vector_sum(half, 2u * quads);
#else
    int32_t sum = 0;
    do {
        if (KERNELS_TURNED) {
            sum = add_pair(add_pair(sum, half), half + 4);
        } else {
            sum += half[0] + half[2] + half[4] + half[6];
        }
        half += 8;
        quads--;
    } while (quads > 0);
    return sum;
#endif
}

/* Items 4 and 5: the biases; their unit is the accumulator's, `shift` = s + 2 eX below the
 * gradient's. Range: |sum of d'| <= 2^30 (section 2, budget 3); |Vb * mu| < 2^30; every other
 * term is at most 2^28. */
static __attribute__((noinline)) void update_biases(mlp_t *m, const mlp_layer_t *layer,
                                                    uint16_t count, int32_t shift)
{
    int32_t *bias = mlp_bias(m, layer);
#ifdef VECTOR
    if (m->momentum == 0) {
        m->counters.bsat +=
            vector_biases(bias, layer->outputs, mlp_delta(m, layer), 8u * mlp_quads(m),
                          2u * kernels_quads(count), shift, LIMIT_BIAS_MAX);
        return;
    }
#endif
    const int16_t *delta = mlp_delta(m, layer);
    const uint32_t all = mlp_quads(m), used = kernels_quads(count);
    for (uint32_t j = 0; j < layer->outputs; j++) {
        const int32_t gradient = sum_deltas(delta + kernels_turned_index(all, 0, j), used);
        int32_t moved = bias[j];
        if (m->momentum == 0) {
            moved -= fixed_scale(gradient, shift, LIMIT_BIAS_MAX);
        } else {
            int32_t *velocity = mlp_bias_velocity(m, layer) + j;
            const int32_t v = fixed_round(*velocity * m->momentum, 8) +
                              fixed_scale(gradient, shift - 4, 1 << 20);
            *velocity = fixed_clamp(v, -BIAS_VELOCITY_MAX, BIAS_VELOCITY_MAX);
            moved -= fixed_round(*velocity, 4);
        }
        bias[j] = fixed_clamp(moved, -LIMIT_BIAS_MAX, LIMIT_BIAS_MAX);
        m->counters.bsat += bias[j] != moved;
    }
}

/* The biases and their velocities divided by 2^shift, 1 or -1. */
static __attribute__((noinline)) void scale_biases(const mlp_t *m, const mlp_layer_t *layer,
                                                   int32_t shift)
{
    int32_t *bias = mlp_bias(m, layer), *velocity = mlp_bias_velocity(m, layer);
    for (uint32_t j = 0; j < layer->outputs; j++) {
        bias[j] = fixed_scale(bias[j], shift, LIMIT_BIAS_MAX);
        if (m->momentum != 0) {
            velocity[j] = fixed_scale(velocity[j], shift, BIAS_VELOCITY_MAX);
        }
    }
}

/* (w + (draw >> (32 - shift))) >> shift takes the place of every weight, or is taken away from it
 * where `kept` is 1. Range: the results are not larger than the weights. */
static __attribute__((noinline)) void shrink(const mlp_t *m, const mlp_layer_t *layer,
                                             uint32_t shift, int32_t kept)
{
    const kernels_layer_t kernels = mlp_kernels_layer(m, layer);
    for (uint32_t j = 0; j < layer->outputs; j++) {
        for (uint32_t i = 0; i < layer->inputs; i++) {
            int16_t *w = kernels.weights + kernels_index(&kernels, j, i);
            const uint32_t r = random_draw(mlp_prng(m)) >> (32u - shift);
            const int32_t part = fixed_floor(*w + (int32_t)r, shift);
            *w = (int16_t)(kept ? *w - part : part);
        }
    }
}

/* Item 6: twice the range at half the resolution, rounded stochastically. */
static void widen(const mlp_t *m, const mlp_layer_t *layer)
{
    int16_t *velocity = mlp_velocity(m, layer);
    for (uint32_t k = m->momentum == 0 ? 0 : mlp_weight_count(layer); k > 0; k--, velocity++) {
        *velocity = (int16_t)fixed_round(*velocity, 1);
    }
    shrink(m, layer, 1, 0);
    scale_biases(m, layer, 1);
}

/* A: the largest magnitude in the rows that layer l reads. */
static uint32_t row_limit(const mlp_t *m, uint32_t l)
{
    return l == 0 ? m->input_max : (1u << mlp_layer(m, l - 1u)->activation_bits) - 1u;
}

/* Item 3 or 5, from deltas d' whose sums are at most `bound`. Returns whether a clamp that counts
 * in `wsat` changed a value. */
static __attribute__((noinline)) bool update_weights(const mlp_t *m, uint32_t l, uint16_t count,
                                                     int32_t shift, uint32_t bound)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    const kernels_layer_t kernels = mlp_kernels_layer(m, layer);
    const kernels_update_t update = {
        .x = mlp_row(m, layer, 0),
        .delta = mlp_delta(m, layer),
        .velocity = m->momentum == 0 ? NULL : mlp_velocity(m, layer),
        .work = mlp_scratch(m),
        .work_bytes = mlp_scratch_bytes(m),
        .quads = mlp_quads(m),
        .gradient_max = bound * row_limit(m, l),
        .count = count,
        .shift = (uint8_t)shift,
        .weight_bits = layer->weight_bits,
        .momentum = m->momentum,
        .velocity_bits = m->momentum == 0 ? 0 : m->velocity_bits,
    };
    return kernels_update(&kernels, &update, mlp_prng(m));
}

void mlp_update_layer(mlp_t *m, uint32_t l, uint16_t count)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    int32_t *weight_exponent = mlp_weight_exponent(m, l);
    const int32_t row_exponent = *mlp_row_exponent(m, l);
    const int32_t unit = *weight_exponent - row_exponent;
    const int32_t exponent = update_exponent(m, l, unit, count);
    const int32_t shift = unit - exponent;
    const uint32_t bound = mlp_scale_deltas(m, l, count, exponent);
    update_biases(m, layer, count, shift + 2 * row_exponent);
    const bool saturated = update_weights(m, l, count, shift, bound);
    m->counters.wsat += saturated;
    if (saturated && (m->flags & MODEL_FLAG_WIDEN) &&
        *weight_exponent < LIMIT_WEIGHT_EXPONENT_MAX) {
        widen(m, layer);
        *weight_exponent += 1;
    }
}

/* Section 7, item 2, for the rows that layer l >= 1 reads: the exponent follows the largest value
 * of the batch, at once upwards, after 256 quiet steps downwards. */
static void adapt(const mlp_t *m, uint32_t l)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    const mlp_layer_t *below = layer - 1;
    if (below->activation != ACTIVATION_RELU && below->activation != ACTIVATION_LEAKY) {
        return;
    }
    const int32_t bits = below->largest_bits;
    int32_t *exponent = mlp_row_exponent(m, l);
    int32_t *low = mlp_low(m, l);
    if (bits > below->activation_bits) {
        *low = 0;
        if (*exponent < 0) {
            *exponent += 1;
            scale_biases(m, layer, 1);
        }
    } else if (bits > 0 && bits <= below->activation_bits - 2) {
        *low += 1;
        if (*low == 256) {
            *low = 0;
            if (*exponent > -14 && mlp_all_inside(mlp_bias(m, layer), layer->outputs,
                                                  -LIMIT_BIAS_MAX / 2, LIMIT_BIAS_MAX / 2)) {
                *exponent -= 1;
                scale_biases(m, layer, -1);
            }
        }
    } else {
        *low = 0;
    }
}

void mlp_end_batch(mlp_t *m)
{
    uint32_t *step = mlp_step_word(m);
    const uint32_t every = m->decay_every[0] | (uint32_t)m->decay_every[1] << 16;
    const bool decays = every != 0 && *step % every == every - 1u;
    uint32_t weights = 0;
    for (uint32_t l = 0; l < m->layer_count; l++) {
        const mlp_layer_t *layer = mlp_layer(m, l);
        if (l >= mlp_frozen(m)) {
            weights += mlp_weight_count(layer);
            if (decays) { /* item 1: w -= (w + (draw >> (32 - k))) >> k */
                shrink(m, layer, m->decay_shift, 1);
            }
        }
        if (l > 0 && (m->flags & MODEL_FLAG_ADAPTIVE)) {
            adapt(m, l);
        }
    }
    if (weights % 2 == 0) {
        (void)random_draw(mlp_prng(m));
    }
    *step += 1;
    m->digest_valid = false;
}
