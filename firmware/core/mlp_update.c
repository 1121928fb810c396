#include "speed.h"
#include "fixed.h"
#include "mlp_internal.h"
#include "protocol.h"
#include "random.h"

#include <stddef.h>
#include <string.h>

#define BIAS_VELOCITY_MAX (1 << 22)

/* Item 1: E, the exponent that the batch's largest update mantissa is scaled to.
 * Range: md * lrm <= 2^30; E ends in eW - eX - 24 .. eW - eX - 1 - f. */
static int32_t update_exponent(const mlp_t *m, uint32_t l, int32_t unit, uint16_t count,
                               int32_t fraction_bits)
{
    int32_t exponent = unit - 24;
    for (uint32_t b = 0; b < count; b++) {
        const mlp_scale_t *scale = mlp_scale(m, l, b);
        if (scale->largest > 0) {
            const int32_t wanted = scale->exponent +
                                   fixed_bits((uint32_t)scale->largest * m->lr_mantissa) +
                                   m->lr_exponent - m->update_bits;
            exponent = wanted > exponent ? wanted : exponent;
        }
    }
    const int32_t highest = unit - 1 - fraction_bits;
    return exponent < highest ? exponent : highest;
}

/* What a lane's deltas are multiplied with, then shifted by; plain: by 1 .. 31 without a clamp. */
typedef struct {
    int32_t factor;
    int32_t shift;
    bool plain;
} delta_scale_t;

static int32_t scale_delta(int32_t delta, delta_scale_t scale, int32_t limit)
{
    return fixed_scale(delta * scale.factor, scale.shift, limit);
}

/* Two lanes of each tile of a group, in place and turned. RN(v, shift) = (v + 2^(shift-1)) >> shift.
 * Range: |d * lrm| < 2^30 and 2^(shift-1) <= 2^30. */
static void scale_half(int16_t *half, uint32_t step, uint32_t pairs, const delta_scale_t *scale,
                       int32_t limit)
{
    const int32_t f = scale[0].factor, g = scale[1].factor;
    if (scale[0].plain && scale[1].plain) {
        const uint32_t s = (uint32_t)scale[0].shift, t = (uint32_t)scale[1].shift;
        const int32_t s_half = 1 << (s - 1u), t_half = 1 << (t - 1u);
        for (uint32_t pair = 0; pair < pairs; pair++, half += step) {
            const int32_t a = half[0], b = half[1], c = half[2], d = half[3];
            half[0] = (int16_t)fixed_floor(a * f + s_half, s);
            half[1] = (int16_t)fixed_floor(c * g + t_half, t);
            half[2] = (int16_t)fixed_floor(b * f + s_half, s);
            half[3] = (int16_t)fixed_floor(d * g + t_half, t);
        }
        return;
    }
    for (uint32_t pair = 0; pair < pairs; pair++, half += step) {
        const int32_t a = half[0], b = half[1], c = half[2], d = half[3];
        half[0] = (int16_t)scale_delta(a, scale[0], limit);
        half[1] = (int16_t)scale_delta(c, scale[1], limit);
        half[2] = (int16_t)scale_delta(b, scale[0], limit);
        half[3] = (int16_t)scale_delta(d, scale[1], limit);
    }
}

/* Item 2: d' = RS(d * lrm, E - (ed + elr), 2^dp - 1), in place, and tiles turned for
 * kernels_update(): 0 in lanes without a sample. Returns a bound of |sum_b d'|.
 * Range: |d * lrm| <= 2^30; the bound is at most batch * (2^dp - 1) <= 2^30. */
static uint32_t scale_deltas(const mlp_t *m, uint32_t l, uint16_t count, int32_t exponent)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    const uint32_t step = 8u * mlp_quads(m);
    const uint32_t pairs = mlp_even(layer->outputs) / 2u;
    const int32_t limit = (1 << m->update_bits) - 1;
    uint32_t bound = 0;
    for (uint32_t quad = 0; quad < kernels_quads(count); quad++) {
        delta_scale_t scales[KERNELS_LANES] = {{0, 1, true}, {0, 1, true}, {0, 1, true}, {0, 1, true}};
        for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
            const uint32_t b = quad * KERNELS_LANES + lane;
            if (b < count) {
                const mlp_scale_t *scale = mlp_scale(m, l, b);
                const int32_t largest = scale->largest * m->lr_mantissa;
                const int32_t shift = exponent - (scale->exponent + m->lr_exponent);
                bound += (uint32_t)fixed_scale(largest, shift, limit);
                scales[lane] = (delta_scale_t){
                    m->lr_mantissa, shift,
                    shift >= 1 && shift <= 31 && fixed_round(largest, shift) <= limit};
            }
        }
        int16_t *tiles = mlp_delta(m, layer) + 8u * quad;
        scale_half(tiles, step, pairs, scales, limit);
        scale_half(tiles + 4, step, pairs, scales + 2, limit);
    }
    return bound;
}

/* Sum of d' over the batch. */
static int32_t sum_deltas(const mlp_t *m, const mlp_layer_t *layer, uint16_t count, uint32_t j)
{
    const int16_t *half = mlp_delta(m, layer) + kernels_turned_index(mlp_quads(m), 0, j);
    int32_t sum = 0;
    for (uint32_t b = 0; b < count; b += KERNELS_LANES, half += 8) {
        sum += half[0] + half[1] + half[4] + half[5];
    }
    return sum;
}

/* Items 4 and 5: the biases; their unit is the accumulator's, `shift` = s + 2 eX below the
 * gradient's. Range: |sum of d'| <= 2^30 (section 2, budget 3); |Vb * mu| < 2^30; every other
 * term is at most 2^28. */
static void update_biases(mlp_t *m, const mlp_layer_t *layer, uint16_t count, int32_t shift)
{
    int32_t *bias = mlp_bias(m, layer);
    for (uint32_t j = 0; j < layer->outputs; j++) {
        const int32_t gradient = sum_deltas(m, layer, count, j);
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

static void halve_biases(const mlp_t *m, const mlp_layer_t *layer)
{
    int32_t *bias = mlp_bias(m, layer);
    for (uint32_t j = 0; j < layer->outputs; j++) {
        bias[j] = fixed_round(bias[j], 1);
        if (m->momentum != 0) {
            int32_t *velocity = mlp_bias_velocity(m, layer) + j;
            *velocity = fixed_round(*velocity, 1);
        }
    }
}

/* Item 6: twice the range at half the resolution, rounded stochastically. */
static void widen(const mlp_t *m, const mlp_layer_t *layer)
{
    const kernels_layer_t kernels = mlp_kernels_layer(m, layer);
    int16_t *velocity = m->momentum == 0 ? NULL : mlp_velocity(m, layer);
    for (uint32_t j = 0; j < layer->outputs; j++) {
        for (uint32_t i = 0; i < layer->inputs; i++) {
            const uint32_t at = kernels_index(&kernels, j, i);
            const int32_t carry = (int32_t)(random_draw(mlp_prng(m)) >> 31);
            kernels.weights[at] = (int16_t)fixed_floor(kernels.weights[at] + carry, 1);
            if (velocity != NULL) {
                velocity[at] = (int16_t)fixed_round(velocity[at], 1);
            }
        }
    }
    halve_biases(m, layer);
}

/* A: the largest magnitude in the rows that layer l reads. */
static uint32_t row_limit(const mlp_t *m, uint32_t l)
{
    return l == 0 ? m->input_max : (1u << mlp_layer(m, l - 1u)->activation_bits) - 1u;
}

void mlp_update_layer(mlp_t *m, uint32_t l, uint16_t count)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    const kernels_layer_t kernels = mlp_kernels_layer(m, layer);
    const uint8_t fraction_bits = m->momentum == 0 ? 0 : m->velocity_bits;
    int32_t *weight_exponent = mlp_weight_exponent(m, l);
    const int32_t row_exponent = *mlp_row_exponent(m, l);
    const int32_t unit = *weight_exponent - row_exponent;
    const int32_t exponent = update_exponent(m, l, unit, count, fraction_bits);
    const int32_t shift = unit - exponent;

    const uint32_t bound = scale_deltas(m, l, count, exponent);
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
        .velocity_bits = fraction_bits,
    };
    const bool saturated = kernels_update(&kernels, &update, mlp_prng(m));
    update_biases(m, layer, count, shift + 2 * row_exponent);
    m->counters.wsat += saturated;
    if (saturated && (m->flags & MODEL_FLAG_WIDEN) &&
        *weight_exponent < LIMIT_WEIGHT_EXPONENT_MAX) {
        widen(m, layer);
        *weight_exponent += 1;
    }
}

/* Section 7, item 1: w -= (w + (draw >> (32 - k))) >> k. Range: the result lies between w and 0. */
static void decay(const mlp_t *m)
{
    for (uint32_t l = 0; l < m->layer_count; l++) {
        const mlp_layer_t *layer = mlp_layer(m, l);
        const kernels_layer_t kernels = mlp_kernels_layer(m, layer);
        for (uint32_t j = 0; j < layer->outputs; j++) {
            for (uint32_t i = 0; i < layer->inputs; i++) {
                int16_t *w = kernels.weights + kernels_index(&kernels, j, i);
                const uint32_t r = random_draw(mlp_prng(m)) >> (32u - m->decay_shift);
                *w = (int16_t)(*w - fixed_floor(*w + (int32_t)r, m->decay_shift));
            }
        }
    }
}

static void double_biases(const mlp_t *m, const mlp_layer_t *layer)
{
    int32_t *bias = mlp_bias(m, layer);
    for (uint32_t j = 0; j < layer->outputs; j++) {
        bias[j] *= 2;
        if (m->momentum != 0) {
            int32_t *velocity = mlp_bias_velocity(m, layer) + j;
            *velocity = fixed_clamp(2 * *velocity, -BIAS_VELOCITY_MAX, BIAS_VELOCITY_MAX);
        }
    }
}

static uint32_t largest_bias(const mlp_t *m, const mlp_layer_t *layer)
{
    const int32_t *bias = mlp_bias(m, layer);
    uint32_t largest = 0;
    for (uint32_t j = 0; j < layer->outputs; j++) {
        const uint32_t magnitude = fixed_abs(bias[j]);
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest;
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
    const int32_t bits = fixed_bits(below->magnitudes);
    int32_t *exponent = mlp_row_exponent(m, l);
    int32_t *low = mlp_low(m, l);
    if (bits > below->activation_bits) {
        *low = 0;
        if (*exponent < 0) {
            *exponent += 1;
            halve_biases(m, layer);
        }
    } else if (bits > 0 && bits <= below->activation_bits - 2) {
        *low += 1;
        if (*low == 256) {
            *low = 0;
            if (*exponent > -14 && largest_bias(m, layer) <= LIMIT_BIAS_MAX / 2) {
                *exponent -= 1;
                double_biases(m, layer);
            }
        }
    } else {
        *low = 0;
    }
}

void mlp_end_batch(mlp_t *m)
{
    uint32_t *step = mlp_step_word(m);
    if (m->decay_every != 0 && *step % m->decay_every == m->decay_every - 1) {
        decay(m);
    }
    uint32_t weights = mlp_weight_count(mlp_layer(m, 0));
    for (uint32_t l = 1; l < m->layer_count; l++) {
        weights += mlp_weight_count(mlp_layer(m, l));
        if (m->flags & MODEL_FLAG_ADAPTIVE) {
            adapt(m, l);
        }
    }
    if (weights % 2 == 0) {
        (void)random_draw(mlp_prng(m));
    }
    *step += 1;
    m->digest_valid = false;
}
