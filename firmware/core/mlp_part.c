#include "mlp_part.h"

#include "bytes.h"
#include "fixed.h"
#include "mlp_internal.h"

bool mlp_part_held(const mlp_t *m)
{
    return m->size != 0 && m->collected == m->size;
}

uint32_t mlp_reach_words(const mlp_t *m)
{
    return (uint32_t)m->layer_count * (REACH_BYTES / 4u);
}

/* The largest exponent that a sample wants; INT32_MIN where none has an error. */
static int32_t wanted_exponent(const mlp_t *m, uint32_t l)
{
    int32_t most = INT32_MIN;
    for (uint32_t b = 0; b < m->size; b++) {
        const mlp_scale_t *scale = mlp_scale(m, l, b);
        if (scale->largest > 0) {
            const int32_t wanted = mlp_wanted_exponent(m, scale);
            most = wanted > most ? wanted : most;
        }
    }
    return most;
}

uint32_t mlp_reach_word(const mlp_t *m, uint32_t index)
{
    const uint32_t l = index / 2u;
    if (index % 2u != 0) {
        return l == 0 ? 0 : mlp_layer(m, l - 1u)->largest_bits;
    }
    return (uint32_t)(l < mlp_frozen(m) ? INT32_MIN : wanted_exponent(m, l));
}

/* E = eW - eX - s with s in 1 + f .. 24, f = vf with momentum (section 6, items 1 and 2). */
static bool is_possible(const mlp_t *m, uint32_t l, int32_t exponent)
{
    const int32_t unit = *mlp_weight_exponent(m, l) - *mlp_row_exponent(m, l);
    const int32_t least = 1 + (m->momentum == 0 ? 0 : m->velocity_bits);
    return exponent >= unit - 24 && exponent <= unit - least;
}

int mlp_part_scale(mlp_t *m, const uint8_t *exponents)
{
    const uint32_t layers = m->layer_count;
    for (uint32_t l = mlp_frozen(m); l < layers; l++) {
        if (!is_possible(m, l, (int32_t)bytes_u32(exponents + SCALE_BYTES * l))) {
            return STATUS_BAD_STATE;
        }
    }
    for (uint32_t l = mlp_frozen(m); l < layers && !m->scaled; l++) {
        (void)mlp_scale_deltas(m, l, m->size, (int32_t)bytes_u32(exponents + SCALE_BYTES * l));
    }
    m->scaled = true;
    return STATUS_OK;
}

/* G and gb. */
static uint32_t layer_words(const mlp_layer_t *layer)
{
    return mlp_weight_count(layer) + layer->outputs;
}

uint32_t mlp_gradient_words(const mlp_t *m)
{
    uint32_t words = 0;
    for (uint32_t l = mlp_frozen(m); m->scaled && l < m->layer_count; l++) {
        words += layer_words(mlp_layer(m, l));
    }
    return words;
}

/* x[b][i] of the rows that a layer reads. */
static int32_t row_value(const mlp_t *m, const mlp_layer_t *layer, uint32_t b, uint32_t i)
{
    const void *row = mlp_row(m, layer, b);
    switch (layer->format) {
    case INPUT_U8:
        return ((const uint8_t *)row)[i];
    case INPUT_I8:
        return ((const int8_t *)row)[i];
    default:
        return ((const int16_t *)row)[i];
    }
}

/* G = sum_b d'[b][j] * x[b][i] and gb = sum_b d'[b][j] (section 6, items 3 and 4), each when it is
 * asked for: the line is slower. Range: both are at most 2^30, whatever part of the batch this is
 * (section 2, budget 3). */
uint32_t mlp_gradient_word(const mlp_t *m, uint32_t index)
{
    const mlp_layer_t *layer = mlp_layer(m, mlp_frozen(m));
    for (; index >= layer_words(layer); layer++) {
        index -= layer_words(layer);
    }
    const uint32_t inputs = layer->inputs, weights = mlp_weight_count(layer);
    const bool is_weight = index < weights;
    const uint32_t j = is_weight ? index / inputs : index - weights;
    const int16_t *delta = mlp_delta(m, layer);
    int32_t sum = 0;
    for (uint32_t b = 0; b < m->size; b++) {
        const int32_t d = delta[kernels_turned_index(mlp_quads(m), b, j)];
        sum += is_weight ? d * row_value(m, layer, b, index % inputs) : d;
    }
    return (uint32_t)sum;
}
