#include "fixed.h"
#include "mlp_internal.h"
#include "norm.h"
#include "protocol.h"
#include "vector.h"

#ifdef VECTOR
/* The clamp of NORM, which only meets the carry of a rounding up. */
static void clamp_mantissas(int16_t *delta, uint32_t step, uint32_t pairs, int32_t limit)
{
    for (; pairs > 0; pairs--, delta += step) {
        delta[0] = (int16_t)fixed_clamp(delta[0], -limit, limit);
        delta[1] = (int16_t)fixed_clamp(delta[1], -limit, limit);
    }
}

/* Sums of four lanes: of 2h and 2h + 1 in half[h], `other` words apart; to be cleared first where
 * the bytes of `row`, of the first lane and behind it of the others, are 0. */
typedef struct {
    norm_vector_t half[2];
    uint32_t other;
    const uint8_t *row; /* NULL: nowhere */
} quad_t;

/* normalise() for samples b .. b + lanes - 1. The other lanes get any value. */
static void normalise_quad(const mlp_t *m, uint32_t l, uint32_t b, uint32_t lanes,
                           const quad_t *quad, const int32_t *exponent)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    const uint32_t outputs = layer->outputs, step = 8u * mlp_quads(m);
    const uint32_t limit = (1u << layer->delta_bits) - 1u;
    vector_lanes_t four;
    four.low = quad->half[0].at;
    four.high = quad->half[1].at;
    four.delta = mlp_delta(m, layer) + 2u * b;
    four.pairs = mlp_even(outputs) / 2u;
    four.low_step = 4u * quad->half[0].step;
    four.high_step = 4u * quad->half[1].step;
    four.delta_step = 2u * step;
    four.other = 4u * quad->other;
    four.row = quad->row;
    four.row_bytes = outputs;
    four.bits = layer->delta_bits;
    for (uint32_t h = 0; outputs % 2u != 0 && h < 2u; h++) {
        int32_t *pad = norm_element(quad->half[h], outputs);
        pad[0] = 0;
        pad[quad->other] = 0;
    }
    vector_normalise(&four);
    mlp_scale_t *scale = mlp_scale(m, l, b);
    for (uint32_t lane = 0; lane < lanes; lane++, scale++) {
        uint32_t largest = four.largest[2u * lane];
        if (largest > limit) {
            clamp_mantissas(four.delta + 2u * lane, step, four.pairs, (int32_t)limit);
            largest = limit;
        }
        *scale = (mlp_scale_t){(int16_t)(exponent[lane] - four.back[2u * lane]),
                               (uint16_t)largest};
    }
}
#else
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
#endif

/* Clipping to a power-of-two norm: ed + blen(md) is at most `clip`. */
static void clip(const mlp_t *m, mlp_scale_t *scale)
{
    const int32_t highest = m->clip_exponent - fixed_bits(scale->largest);
    if (scale->largest > 0 && scale->exponent > highest) {
        scale->exponent = (int16_t)highest;
    }
}

void mlp_backward_output(const mlp_t *m, uint32_t b, uint32_t lanes, int32_t *error,
                         int32_t exponent)
{
    const uint32_t l = m->layer_count - 1u;
    const uint32_t row = mlp_even(mlp_outputs(m));
#ifdef VECTOR
    const quad_t quad = {{{error, 2u}, {error + 2u * row, 2u}}, row, NULL};
    const int32_t exponents[KERNELS_LANES] = {exponent, exponent, exponent, exponent};
    normalise_quad(m, l, b, lanes, &quad, exponents);
#else
    for (uint32_t lane = 0; lane < lanes; lane++) {
        const norm_vector_t logits = {error + lane * row, 2u};
        if (mlp_outputs(m) % 2u != 0) {
            *norm_element(logits, mlp_outputs(m)) = 0;
        }
        normalise(m, l, b + lane, logits, norm_largest(logits, row / 2u), exponent);
    }
#endif
    for (uint32_t lane = 0; (m->flags & MODEL_FLAG_CLIP) && lane < lanes; lane++) {
        clip(m, mlp_scale(m, l, b + lane));
    }
}

/* The sums of a lane. */
static norm_vector_t lane_sums(const kernels_backward_t *backward, uint32_t lane)
{
    return (norm_vector_t){(lane < 2u ? backward->low : backward->high) + 2u * (lane % 2u),
                           lane < 2u ? 4u * backward->quads : 4u};
}

/* The error of sample b behind layer l - 1's activation, in place, and its largest code; returns
 * what to add to its exponent. */
static int32_t activate_backward(const mlp_t *m, uint32_t l, uint32_t b, norm_vector_t error,
                                 uint32_t *code)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    const activation_t activation = mlp_activation(layer - 1);
    return activation_backward(&activation, mlp_row(m, layer, b), mlp_gate(m, layer, b),
                               layer->inputs, error, code);
}

/* From the sums of layer l to the deltas of layer l - 1. */
static void propagate(const mlp_t *m, uint32_t l, uint32_t b, const kernels_backward_t *backward)
{
    const int32_t unit = *mlp_weight_exponent(m, l);
    const mlp_scale_t *scale = mlp_scale(m, l, b);
#ifdef VECTOR
    const mlp_layer_t *layer = mlp_layer(m, l);
    const bool is_cleared = (layer - 1)->activation == ACTIVATION_RELU && layer->format == INPUT_U8;
    const quad_t quad = {{lane_sums(backward, 0), lane_sums(backward, 2)},
                         2u,
                         is_cleared ? mlp_row(m, layer, b) : NULL};
    int32_t exponent[KERNELS_LANES];
    for (uint32_t lane = 0; lane < backward->lanes; lane++) {
        exponent[lane] = unit + scale[lane].exponent;
        if (!is_cleared) {
            uint32_t unused;
            exponent[lane] +=
                activate_backward(m, l, b + lane, lane_sums(backward, lane), &unused);
        }
    }
    normalise_quad(m, l - 1u, b, backward->lanes, &quad, exponent);
#else
    for (uint32_t lane = 0; lane < backward->lanes; lane++) {
        const norm_vector_t error = lane_sums(backward, lane);
        uint32_t code;
        const int32_t slope = activate_backward(m, l, b + lane, error, &code);
        normalise(m, l - 1u, b + lane, error, code, unit + scale[lane].exponent + slope);
    }
#endif
}

/* The sums of lanes 0 and 1 grow in the tiles that their deltas will fill, those of lanes 2 and 3
 * in scratch: the deltas of a lane only overwrite sums of lanes that are done. */
void mlp_backward_hidden(const mlp_t *m, uint32_t l, uint32_t b, uint32_t lanes)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    const kernels_layer_t kernels = mlp_kernels_layer(m, layer);
    const uint32_t tile = kernels_delta_index(mlp_quads(m), b, 0);
    const kernels_backward_t backward = {
        .delta = mlp_delta(m, layer) + tile,
        .low = (int32_t *)(void *)(mlp_delta(m, layer - 1) + tile),
        .high = mlp_scratch(m),
        .quads = mlp_quads(m),
        .lanes = lanes,
    };
    kernels_backward(&kernels, &backward);
    propagate(m, l, b, &backward);
}
