#include "fixed.h"
#include "mlp_internal.h"
#include "norm.h"
#include "protocol.h"

/* d = NORM(e, db), ed = exponent + sh, md = max|m|, from the largest code of e. Section 5. A lane's
 * sums may lie in the tiles that get its deltas, in front of them.
 * Range: |e| < 2^31 - 1 (section 2, budget 2; output errors are at most 2^28). The exponent is a
 * sum of at most 255 layers' eW (-32..31) and of shifts below 32: it fits int16. */
static void normalise(const mlp_t *m, uint32_t l, uint32_t b, norm_vector_t error, uint32_t code,
                      int32_t exponent)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    const uint32_t quads = mlp_quads(m);
    const int32_t bits = layer->delta_bits, shift = norm_shift(code, bits);
    const uint32_t largest =
        norm_store(mlp_delta(m, layer) + kernels_delta_index(quads, b, 0), 8u * quads, error,
                   mlp_even(layer->outputs) / 2u, code, shift, bits);
    *mlp_scale(m, l, b) = (mlp_scale_t){(int16_t)(exponent + shift), (uint16_t)largest};
}

/* Clipping to a power-of-two norm: ed + blen(md) is at most `clip`. */
void mlp_backward_output(const mlp_t *m, uint32_t b, int32_t *error, int32_t exponent)
{
    const uint32_t l = m->layer_count - 1u, outputs = mlp_outputs(m);
    const norm_vector_t row = {error, 2u};
    if (outputs % 2u != 0) {
        error[outputs] = 0;
    }
    normalise(m, l, b, row, norm_largest(row, mlp_even(outputs) / 2u), exponent);
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
    const int32_t unit = *mlp_weight_exponent(m, l);
    kernels_backward(&kernels, &backward);
    for (uint32_t lane = 0; lane < lanes; lane++) {
        const norm_vector_t error = {
            (lane < 2u ? backward.low : backward.high) + 2u * (lane % 2u),
            lane < 2u ? 4u * backward.quads : 4u,
        };
        uint32_t code;
        const int32_t slope = activation_backward(&activation, mlp_row(m, layer, b + lane),
                                                  mlp_gate(m, layer, b + lane), layer->inputs,
                                                  error, &code);
        const int32_t exponent = unit + mlp_scale(m, l, b + lane)->exponent + slope;
        normalise(m, l - 1u, b + lane, error, code, exponent);
    }
}
