#include "mlp_internal.h"

void mlp_forward_hidden(const mlp_t *m, uint32_t l, uint32_t b, activation_stats_t *stats)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    const kernels_layer_t kernels = mlp_kernels_layer(m, layer);
    const activation_t activation = mlp_activation(layer);
    int32_t *acc = mlp_scratch(m);
    kernels_forward(&kernels, mlp_bias(m, layer), mlp_row(m, layer, b), acc);
    activation_forward(&activation, acc, layer->outputs, mlp_acc_exponent(m, l),
                       *mlp_row_exponent(m, l + 1), mlp_row(m, layer + 1, b), mlp_delta(m, layer, b),
                       stats);
}

int32_t *mlp_forward_logits(const mlp_t *m, uint32_t b)
{
    const mlp_layer_t *layer = mlp_last_layer(m);
    const kernels_layer_t kernels = mlp_kernels_layer(m, layer);
    int32_t *acc = mlp_scratch(m);
    kernels_forward(&kernels, mlp_bias(m, layer), mlp_row(m, layer, b), acc);
    return acc;
}
