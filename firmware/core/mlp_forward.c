#include "mlp_internal.h"
#include "vector.h"

/* Columns of sums that the workspace holds beside the packed rows: all, or as many as half of it
 * takes, an even number. Range: scratch is 96 bytes at least and hidden deltas are 16 at least, so
 * that half is two columns and the other half keeps 64 bytes. */
static uint32_t columns_at_once(const mlp_t *m, const mlp_layer_t *layer)
{
    const uint32_t all = mlp_even(layer->outputs);
    const uint32_t lane_bytes = 4u * KERNELS_LANES;
    const uint32_t wanted = (16u * layer->inputs + 31u) & ~31u;
    const uint32_t packed = wanted < 64u ? 64u : wanted < 512u ? wanted : 512u;
    if (layer == mlp_last_layer(m) || all * lane_bytes + packed <= m->work_bytes) {
        return all;
    }
    const uint32_t half = m->work_bytes / (2u * lane_bytes);
    return half < all ? half & ~1u : all;
}

/* The rows of samples b .. b + lanes - 1 and the workspace in front of the sums. */
static __attribute__((noinline)) void begin(const mlp_t *m, const mlp_layer_t *layer, uint32_t b,
                                            uint32_t lanes, const int32_t *acc,
                                            kernels_forward_t *forward)
{
    const uint8_t *work = m->arena + m->work;
    forward->bias = mlp_bias(m, layer);
    forward->lanes = lanes;
    forward->work = m->arena + m->work;
    forward->work_bytes = (uint32_t)((const uint8_t *)acc - work) & ~31u;
    const uint8_t *row = mlp_row(m, layer, b);
    const uint32_t row_bytes = layer->inputs * mlp_element_bytes(layer->format);
    for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
        forward->row[lane] = row;
        row += lane + 1u < lanes ? row_bytes : 0u;
    }
}

/* Sums of units first .. first + count - 1 into the rows of `lanes` samples from b on. */
static __attribute__((noinline)) void activate(const mlp_t *m, uint32_t l, uint32_t b,
                                               uint32_t lanes, const int32_t *acc,
                                               uint32_t stride, uint32_t first,
                                               activation_stats_t *stats)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    const activation_t activation = mlp_activation(layer);
    const uint32_t left = layer->outputs - first;
#ifdef VECTOR
    const int32_t shift = *mlp_row_exponent(m, l + 1) - mlp_acc_exponent(m, l);
    if (activation.kind == ACTIVATION_RELU && activation.format == INPUT_U8 && shift >= 1 &&
        shift <= 31) {
        const uint32_t largest = vector_rectify(
            acc, lanes, left < stride ? left : stride, (uint32_t)shift, 4u * stride,
            (uint8_t *)mlp_row(m, layer + 1, b) + first, layer->outputs);
        if (largest >> activation.bits == 0) {
            stats->magnitudes |= largest;
            return;
        }
    }
#endif
    for (; lanes > 0; lanes--, b++, acc += stride) {
        activation_forward(&activation, acc, first, left < stride ? left : stride,
                           mlp_acc_exponent(m, l), *mlp_row_exponent(m, l + 1),
                           mlp_row(m, layer + 1, b), mlp_gate(m, layer + 1, b), stats);
    }
}

int32_t *mlp_forward(const mlp_t *m, uint32_t l, uint32_t b, uint32_t lanes,
                     activation_stats_t *stats)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    const kernels_layer_t kernels = mlp_kernels_layer(m, layer);
    const uint32_t columns = columns_at_once(m, layer);
    int32_t *acc = (int32_t *)(void *)(m->arena + m->work + m->work_bytes) - KERNELS_LANES * columns;
    kernels_forward_t forward;
    begin(m, layer, b, lanes, acc, &forward);
    for (uint32_t first = 0; first < layer->outputs; first += columns) {
        const uint32_t left = layer->outputs - first;
        kernels_forward(&kernels, &forward, first, left < columns ? left : columns, acc, columns);
        if (l + 1u < m->layer_count) {
            activate(m, l, b, lanes, acc, columns, first, stats);
        }
    }
    return acc;
}
