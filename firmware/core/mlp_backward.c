#include "speed.h"
#include "fixed.h"
#include "mlp_internal.h"
#include "norm.h"
#include "protocol.h"
#include "vector.h"

#include <string.h>

static inline uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Two mantissas that fit 16 bits; the largest magnitude in each half of `largest`. */
static inline uint32_t store_pair(int16_t *delta, int32_t even, int32_t odd, uint32_t largest)
{
#ifdef __ARM_FEATURE_SIMD32
    uint32_t pair, opposite;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(pair) : "r"(even), "r"(odd));
    memcpy(delta, &pair, sizeof pair);
    __asm__("ssub16 %1, %3, %0\n\t"
            "sel %1, %1, %0\n\t"
            "usub16 %0, %1, %2\n\t"
            "sel %2, %1, %2"
            : "+r"(pair), "=&r"(opposite), "+r"(largest)
            : "r"(0));
    return largest;
#else
    delta[0] = (int16_t)even;
    delta[1] = (int16_t)odd;
    return larger(largest, larger(fixed_abs(even), fixed_abs(odd)));
#endif
}

/* Mantissas of `pairs` pairs, saturated to 16 bits, which is a bit more than the clamp of NORM may
 * need; returns the largest magnitude. */
static uint32_t store_mantissas(int16_t *delta, uint32_t step, uint32_t pairs, norm_vector_t error,
                                int32_t shift)
{
#ifdef VECTOR
    return vector_mantissas(error.at, error.step, pairs, (uint32_t)shift, delta, step);
#else
    const int32_t *pair = error.at;
    uint32_t largest = 0;
    if (shift == 0) {
        for (; pairs > 0; pairs--, pair += error.step, delta += step) {
            largest = store_pair(delta, pair[0], pair[1], largest);
        }
    } else {
        const uint32_t s = (uint32_t)shift - 1u;
        for (; pairs > 0; pairs--, pair += error.step, delta += step) {
            const int32_t even = fixed_floor(fixed_floor(pair[0], s) + 1, 1);
            const int32_t odd = fixed_floor(fixed_floor(pair[1], s) + 1, 1);
            largest = store_pair(delta, fixed_saturate16(even),
                                 fixed_saturate16(odd), largest);
        }
    }
    return larger(largest & 0xFFFFu, largest >> 16);
#endif
}

/* The clamp of NORM, which only meets the carry of a rounding up. */
static void clamp_mantissas(int16_t *delta, uint32_t step, uint32_t pairs, int32_t limit)
{
    for (; pairs > 0; pairs--, delta += step) {
        delta[0] = (int16_t)fixed_clamp(delta[0], -limit, limit);
        delta[1] = (int16_t)fixed_clamp(delta[1], -limit, limit);
    }
}

/* d = NORM(e, db), ed = exponent + sh, md = max|m|. Section 5. A lane's sums may lie in the tiles
 * that get its deltas, in front of them: each pair is read before its place is written.
 * Range: |e| < 2^31 - 1 (section 2, budget 2; output errors are at most 2^28). The exponent is a
 * sum of at most 255 layers' eW (-32..31) and of shifts below 32: it fits int16. */
static void normalise(const mlp_t *m, uint32_t l, uint32_t b, norm_vector_t error,
                      int32_t exponent)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    const uint32_t outputs = layer->outputs, pairs = mlp_even(outputs) / 2u;
    const uint32_t step = 8u * mlp_quads(m);
    const uint32_t limit = (1u << layer->delta_bits) - 1u;
    int16_t *delta = mlp_delta(m, layer) + kernels_delta_index(mlp_quads(m), b, 0);
    if (outputs % 2u != 0) {
        *norm_element(error, outputs) = 0;
    }
    const int32_t shift = norm_shift(error, pairs, layer->delta_bits);
    uint32_t largest = store_mantissas(delta, step, pairs, error, shift);
    if (largest > limit) {
        clamp_mantissas(delta, step, pairs, (int32_t)limit);
        largest = limit;
    }
    *mlp_scale(m, l, b) = (mlp_scale_t){(int16_t)(exponent + shift), (uint16_t)largest};
}

/* Clipping to a power-of-two norm: ed + blen(md) is at most `clip`. */
void mlp_backward_output(const mlp_t *m, uint32_t b, int32_t *error, int32_t exponent)
{
    const uint32_t l = m->layer_count - 1u;
    normalise(m, l, b, (norm_vector_t){error, 2u}, exponent);
    mlp_scale_t *scale = mlp_scale(m, l, b);
    const int32_t highest = m->clip_exponent - fixed_bits(scale->largest);
    if ((m->flags & MODEL_FLAG_CLIP) && scale->largest > 0 && scale->exponent > highest) {
        scale->exponent = (int16_t)highest;
    }
}

/* The sums of lanes 0 and 1 grow in the tiles that their deltas will fill, those of lanes 2 and 3
 * in scratch: the deltas of a lane only overwrite sums of lanes that are done. */
void mlp_backward_hidden(const mlp_t *m, uint32_t l, uint32_t b, uint32_t lanes)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    const kernels_layer_t kernels = mlp_kernels_layer(m, layer);
    const activation_t activation = mlp_activation(layer - 1);
    const uint32_t tile = kernels_delta_index(mlp_quads(m), b, 0);
    const kernels_backward_t backward = {
        .delta = mlp_delta(m, layer) + tile,
        .low = (int32_t *)(void *)(mlp_delta(m, layer - 1) + tile),
        .high = mlp_scratch(m),
        .quads = mlp_quads(m),
        .lanes = lanes,
    };
    kernels_backward(&kernels, &backward);
    for (uint32_t lane = 0; lane < lanes; lane++) {
        const norm_vector_t error = {
            (lane < 2u ? backward.low : backward.high) + 2u * (lane % 2u),
            lane < 2u ? 4u * backward.quads : 4u,
        };
        const int32_t exponent = *mlp_weight_exponent(m, l) +
                                 mlp_scale(m, l, b + lane)->exponent +
                                 activation_backward(&activation, mlp_row(m, layer, b + lane),
                                                     mlp_gate(m, layer, b + lane), layer->inputs,
                                                     error);
        normalise(m, l - 1u, b + lane, error, exponent);
    }
}
