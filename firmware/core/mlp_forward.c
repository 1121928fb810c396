#include "mlp_internal.h"

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
static void begin(const mlp_t *m, const mlp_layer_t *layer, uint32_t b, uint32_t lanes,
                  uint32_t columns, kernels_forward_t *forward)
{
    forward->bias = mlp_bias(m, layer);
    forward->lanes = lanes;
    forward->work = m->arena + m->work;
    forward->work_bytes = (m->work_bytes - 4u * KERNELS_LANES * columns) & ~31u;
    for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
        forward->row[lane] = mlp_row(m, layer, b + (lane < lanes ? lane : 0u));
    }
}

static int32_t *sums(const mlp_t *m, uint32_t columns)
{
    return (int32_t *)(void *)(m->arena + m->work + m->work_bytes) - KERNELS_LANES * columns;
}

/* Sums of units first .. first + count - 1 into the row of sample b. */
static __attribute__((noinline)) void activate(const mlp_t *m, uint32_t l, uint32_t b,
                                               const int32_t *acc, uint32_t first, uint32_t count,
                                               activation_stats_t *stats)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    const activation_t activation = mlp_activation(layer);
    activation_forward(&activation, acc, first, count, mlp_acc_exponent(m, l),
                       *mlp_row_exponent(m, l + 1), mlp_row(m, layer + 1, b),
                       mlp_gate(m, layer + 1, b), stats);
}

void mlp_forward_hidden(const mlp_t *m, uint32_t l, uint32_t b, uint32_t lanes,
                        activation_stats_t *stats)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    const kernels_layer_t kernels = mlp_kernels_layer(m, layer);
    const uint32_t columns = columns_at_once(m, layer);
    kernels_forward_t forward;
    begin(m, layer, b, lanes, columns, &forward);
    int32_t *acc = sums(m, columns);
    for (uint32_t first = 0; first < layer->outputs; first += columns) {
        const uint32_t left = layer->outputs - first;
        const uint32_t count = left < columns ? left : columns;
        kernels_forward(&kernels, &forward, first, count, acc, columns);
        for (uint32_t lane = 0; lane < lanes; lane++) {
            activate(m, l, b + lane, acc + lane * columns, first, count, stats);
        }
    }
}

int32_t *mlp_forward_logits(const mlp_t *m, uint32_t b, uint32_t lanes)
{
    const mlp_layer_t *layer = mlp_last_layer(m);
    const kernels_layer_t kernels = mlp_kernels_layer(m, layer);
    const uint32_t columns = mlp_even(layer->outputs);
    kernels_forward_t forward;
    begin(m, layer, b, lanes, columns, &forward);
    int32_t *acc = sums(m, columns);
    kernels_forward(&kernels, &forward, 0, layer->outputs, acc, columns);
    return acc;
}
