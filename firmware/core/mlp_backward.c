#pragma GCC optimize("O2")
#include "fixed.h"
#include "mlp_internal.h"
#include "norm.h"
#include "protocol.h"

/* Mantissas of all pairs but an unpaired last one, where no clamp changes any.
 * RN(v, shift) by two shifts: |v| may be as large as 2^31 - 2. */
static void store_plain(int16_t *delta, uint32_t step, uint32_t pairs, norm_vector_t error,
                        uint32_t shift)
{
    const int32_t *pair = error.at;
    if (shift == 0) {
        for (; pairs > 0; pairs--, pair += error.step, delta += step) {
            const int32_t even = pair[0], odd = pair[1];
            delta[0] = (int16_t)even;
            delta[1] = (int16_t)odd;
        }
        return;
    }
    for (; pairs > 0; pairs--, pair += error.step, delta += step) {
        const int32_t even = fixed_floor(pair[0], shift - 1u), odd = fixed_floor(pair[1], shift - 1u);
        delta[0] = (int16_t)fixed_floor(even + 1, 1);
        delta[1] = (int16_t)fixed_floor(odd + 1, 1);
    }
}

/* d = NORM(e, db), ed = exponent + sh, md = max|m|. Section 5. Mantissas are monotonous in e, so
 * the extremes of e make the largest one. A lane's sums may lie in the tiles that get its deltas,
 * in front of them: each pair is read before its place is written.
 * Range: |e| < 2^31 - 1 (section 2, budget 2; output errors are at most 2^28). The exponent is a
 * sum of at most 255 layers' eW (-32..31) and of shifts below 32: it fits int16. */
static void normalise(const mlp_t *m, uint32_t l, uint32_t b, norm_vector_t error,
                      int32_t exponent)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    const uint32_t outputs = layer->outputs;
    const int32_t bits = layer->delta_bits;
    const uint32_t step = 8u * mlp_quads(m);
    int16_t *delta = mlp_delta(m, layer) + kernels_delta_index(mlp_quads(m), b, 0);
    const norm_range_t range = norm_range(error, outputs);
    const int32_t shift = norm_shift(range, bits);
    const int32_t high = norm_mantissa(range.high, shift, bits);
    const int32_t low = -norm_mantissa(range.low, shift, bits);
    uint32_t pairs = 0;
    if (fixed_round(range.high, shift) == high && -fixed_round(range.low, shift) == low) {
        pairs = outputs / 2u;
        store_plain(delta, step, pairs, error, (uint32_t)shift);
    }
    for (uint32_t j = 2u * pairs; j < outputs; j += 2u) {
        const int32_t even = *norm_element(error, j);
        const int32_t odd = j + 1u < outputs ? *norm_element(error, j + 1u) : 0;
        delta[j / 2u * step] = (int16_t)norm_mantissa(even, shift, bits);
        delta[j / 2u * step + 1u] = (int16_t)norm_mantissa(odd, shift, bits);
    }
    *mlp_scale(m, l, b) = (mlp_scale_t){(int16_t)(exponent + shift),
                                        (uint16_t)(high > low ? high : low)};
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
                                                     layer->inputs, error);
        normalise(m, l - 1u, b + lane, error, exponent);
    }
}
