#include "fixed.h"
#include "mlp_internal.h"
#include "norm.h"
#include "protocol.h"

/* d = NORM(e, db), ed = exponent + sh, md = max|m|. Section 5.
 * Range: |e| < 2^31 - 1 (section 2, budget 2; output errors are at most 2^28). The exponent is a
 * sum of at most 255 layers' eW (-32..31) and of shifts below 32: it fits int16. */
static void normalise(const mlp_t *m, const mlp_layer_t *layer, uint32_t b, int32_t exponent)
{
    const int32_t *error = mlp_scratch(m);
    const int32_t shift = norm_shift(error, layer->outputs, layer->delta_bits);
    int16_t *delta = mlp_delta(m, layer, b);
    uint32_t largest = 0;
    for (uint32_t j = 0; j < layer->outputs; j++) {
        const int32_t mantissa = norm_mantissa(error[j], shift, layer->delta_bits);
        const uint32_t magnitude = fixed_abs(mantissa);
        largest = magnitude > largest ? magnitude : largest;
        delta[j] = (int16_t)mantissa;
    }
    *mlp_scale(m, layer, b) = (mlp_scale_t){(int16_t)(exponent + shift), (uint16_t)largest};
}

/* Clipping to a power-of-two norm: ed + blen(md) is at most `clip`. */
void mlp_backward_output(const mlp_t *m, uint32_t b, int32_t exponent)
{
    const mlp_layer_t *layer = mlp_last_layer(m);
    normalise(m, layer, b, exponent);
    mlp_scale_t *scale = mlp_scale(m, layer, b);
    const int32_t highest = m->clip_exponent - fixed_bits(scale->largest);
    if ((m->flags & MODEL_FLAG_CLIP) && scale->largest > 0 && scale->exponent > highest) {
        scale->exponent = (int16_t)highest;
    }
}

void mlp_backward_hidden(const mlp_t *m, uint32_t l, uint32_t b)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    const mlp_layer_t *below = layer - 1;
    const kernels_layer_t kernels = mlp_kernels_layer(m, layer);
    const activation_t activation = mlp_activation(below);
    int32_t *error = mlp_scratch(m);
    kernels_backward(&kernels, mlp_delta(m, layer, b), error);
    int32_t exponent = *mlp_weight_exponent(m, l) + mlp_scale(m, layer, b)->exponent;
    exponent += activation_backward(&activation, mlp_row(m, layer, b), mlp_delta(m, below, b),
                                    layer->inputs, error);
    normalise(m, below, b, exponent);
}
