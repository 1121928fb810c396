/* What the mlp_*.c files share: the records in the arena and the parts of a step. */
#ifndef MLP_INTERNAL_H
#define MLP_INTERNAL_H

#include "activation.h"
#include "fixed.h"
#include "kernels.h"
#include "mlp.h"
#include "protocol.h"

/* Layer l, which reads rows of n[l] and makes rows of n[l + 1]. The records stand at the start of
 * the arena. Offsets are in bytes from there; all are multiples of 4. */
typedef struct {
    uint32_t parameters; /* W, b and with momentum V, Vb */
    uint32_t rows;       /* x_l, [batch][inputs] in `format` */
    uint32_t deltas;     /* d_l, tiles of kernels.h */
    uint16_t inputs, outputs;
    uint8_t format : 4;      /* storage of x_l */
    uint8_t activation : 4;  /* of the rows it makes; ACTIVATION_LINEAR for the last layer */
    uint8_t weight_bits : 4;
    uint8_t delta_bits : 4;
    uint8_t activation_bits; /* of the rows it makes */
    uint8_t largest_bits;    /* of amx of these rows, in the running step */
} mlp_layer_t;

/* Block exponent and largest mantissa of one sample's delta row: ed and md. */
typedef struct {
    int16_t exponent;
    uint16_t largest;
} mlp_scale_t;

#define BIAS_VELOCITY_MAX (1 << 22)

_Static_assert(offsetof(mlp_t, input_width) - offsetof(mlp_t, model) == MODEL_AT_INPUT_WIDTH &&
                   offsetof(mlp_t, decay_every) - offsetof(mlp_t, model) == MODEL_AT_DECAY_EVERY &&
                   offsetof(mlp_t, input_format) - offsetof(mlp_t, model) == MODEL_AT_INPUT_FORMAT,
               "the fields of mlp_t are those of the region");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "as those of the region are");
_Static_assert(sizeof(mlp_layer_t) == 20, "planner.py counts 20 bytes a layer");
_Static_assert(sizeof(mlp_scale_t) == 4, "planner.py counts 4 bytes a sample and layer");

static inline uint32_t mlp_align(uint32_t bytes)
{
    return (bytes + 3u) & ~3u;
}

static inline mlp_layer_t *mlp_layer(const mlp_t *m, uint32_t l)
{
    return (mlp_layer_t *)(void *)m->arena + l;
}

static inline mlp_layer_t *mlp_last_layer(const mlp_t *m)
{
    return mlp_layer(m, m->layer_count - 1u);
}

/* F: the first layers that are not trained. */
static inline uint32_t mlp_frozen(const mlp_t *m)
{
    return m->flags / MODEL_FLAG_FROZEN;
}

static inline uint32_t mlp_weight_count(const mlp_layer_t *layer)
{
    return (uint32_t)layer->inputs * layer->outputs;
}

static inline int16_t *mlp_weights(const mlp_t *m, const mlp_layer_t *layer)
{
    return (int16_t *)(void *)(m->arena + layer->parameters);
}

static inline int32_t *mlp_bias(const mlp_t *m, const mlp_layer_t *layer)
{
    return (int32_t *)(void *)(m->arena + layer->parameters +
                               mlp_align(2u * mlp_weight_count(layer)));
}

/* Velocities exist with momentum only. */
static inline int16_t *mlp_velocity(const mlp_t *m, const mlp_layer_t *layer)
{
    return (int16_t *)(void *)(mlp_bias(m, layer) + layer->outputs);
}

static inline int32_t *mlp_bias_velocity(const mlp_t *m, const mlp_layer_t *layer)
{
    return (int32_t *)(void *)((uint8_t *)mlp_velocity(m, layer) +
                               mlp_align(2u * mlp_weight_count(layer)));
}

static inline uint32_t mlp_element_bytes(uint8_t format)
{
    return format == INPUT_I16 ? 2u : 1u;
}

/* The row of sample b that the layer reads. */
static inline void *mlp_row(const mlp_t *m, const mlp_layer_t *layer, uint32_t b)
{
    return m->arena + layer->rows + b * layer->inputs * mlp_element_bytes(layer->format);
}

/* The gates of sample b behind the rows that the layer reads; there if the layer below is sign. */
static inline uint8_t *mlp_gate(const mlp_t *m, const mlp_layer_t *layer, uint32_t b)
{
    const uint32_t row_bytes = layer->inputs * mlp_element_bytes(layer->format);
    return m->arena + layer->rows + mlp_align(m->batch * row_bytes) + b * layer->inputs;
}

static inline uint32_t mlp_even(uint32_t count)
{
    return (count + 1u) & ~1u;
}

static inline uint32_t mlp_quads(const mlp_t *m)
{
    return kernels_quads(m->batch);
}

static inline int16_t *mlp_delta(const mlp_t *m, const mlp_layer_t *layer)
{
    return (int16_t *)(void *)(m->arena + layer->deltas);
}

static inline mlp_scale_t *mlp_scale(const mlp_t *m, uint32_t l, uint32_t b)
{
    return (mlp_scale_t *)(void *)(m->arena + m->scales) + l * m->batch + b;
}

/* The exponent that a sample with md > 0 wants its updates scaled to, section 6, item 1:
 * ed + blen(md * lrm) + elr - dp. Range: md * lrm <= 2^30; the exponents are int16. */
static inline int32_t mlp_wanted_exponent(const mlp_t *m, const mlp_scale_t *scale)
{
    return scale->exponent + fixed_bits((uint32_t)scale->largest * m->lr_mantissa) +
           m->lr_exponent - m->update_bits;
}

/* Targets of sample b: in the lane that its step will overwrite (output k at kernels_delta_index()
 * from there), or in a row of their own. */
static inline uint16_t *mlp_small_target(const mlp_t *m, uint32_t b)
{
    return (uint16_t *)mlp_delta(m, mlp_last_layer(m)) + kernels_delta_index(mlp_quads(m), b, 0);
}

static inline int32_t *mlp_q16_target(const mlp_t *m, uint32_t b)
{
    return (int32_t *)(void *)mlp_scale(m, m->layer_count, 0) + b * mlp_last_layer(m)->outputs;
}

/* The end of the workspace, free in every part of a step. */
static inline int32_t *mlp_scratch(const mlp_t *m)
{
    return (int32_t *)(void *)(m->arena + m->scratch);
}

static inline uint32_t mlp_scratch_bytes(const mlp_t *m)
{
    return m->work + m->work_bytes - m->scratch;
}

/* The state's 32-bit words, in the order of the digest: eW[0..L-1], eX[0..L-1], low[1..L-1], S,
 * step. */
static inline uint32_t mlp_word_count(const mlp_t *m)
{
    return 3u * m->layer_count + 1u;
}

static inline int32_t *mlp_words(const mlp_t *m)
{
    return (int32_t *)(void *)mlp_layer(m, m->layer_count);
}

static inline int32_t *mlp_weight_exponent(const mlp_t *m, uint32_t l)
{
    return mlp_words(m) + l;
}

static inline int32_t *mlp_row_exponent(const mlp_t *m, uint32_t l)
{
    return mlp_words(m) + m->layer_count + l;
}

/* l >= 1. */
static inline int32_t *mlp_low(const mlp_t *m, uint32_t l)
{
    return mlp_words(m) + 2u * m->layer_count + l - 1u;
}

static inline uint32_t *mlp_prng(const mlp_t *m)
{
    return (uint32_t *)mlp_words(m) + 3u * m->layer_count - 1u;
}

static inline uint32_t *mlp_step_word(const mlp_t *m)
{
    return (uint32_t *)mlp_words(m) + 3u * m->layer_count;
}

/* e = eW + eX: the unit of layer l's accumulators and biases. */
static inline int32_t mlp_acc_exponent(const mlp_t *m, uint32_t l)
{
    return *mlp_weight_exponent(m, l) + *mlp_row_exponent(m, l);
}

static inline kernels_layer_t mlp_kernels_layer(const mlp_t *m, const mlp_layer_t *layer)
{
    return (kernels_layer_t){mlp_weights(m, layer), layer->inputs, layer->outputs, layer->format};
}

static inline activation_t mlp_activation(const mlp_layer_t *layer)
{
    return (activation_t){layer->activation, layer->activation_bits,
                          activation_format(layer->activation, layer->activation_bits)};
}

/* Forward (section 3) of samples b .. b + lanes - 1: layer l < L - 1 into the next layer's rows;
 * the last layer into the rows of sums that are returned, mlp_even(outputs) apart, in the
 * workspace. */
int32_t *mlp_forward(const mlp_t *m, uint32_t l, uint32_t b, uint32_t lanes,
                     activation_stats_t *stats);

/* Backward (section 5) of samples b .. b + lanes - 1, b a multiple of KERNELS_LANES: normalises
 * rows of errors, mlp_even(outputs) apart, into the last layer's deltas; carries layer l's deltas,
 * l >= 1, to layer l - 1. */
void mlp_backward_output(const mlp_t *m, uint32_t b, uint32_t lanes, int32_t *error,
                         int32_t exponent);
void mlp_backward_hidden(const mlp_t *m, uint32_t l, uint32_t b, uint32_t lanes);

/* For a part of a step: inlined, its frame would stay on the stack of the parts that follow. */
#define MLP_PART __attribute__((noinline))

/* The parts of a step on the collected batch: hidden layer l forward, with amx and asat; the last
 * layer, its loss and its deltas; the deltas of layer l carried to the layer below. */
MLP_PART void mlp_forward_layer(mlp_t *m, uint32_t l);
MLP_PART void mlp_lose_batch(mlp_t *m);
MLP_PART void mlp_backward_layer(mlp_t *m, uint32_t l);

/* Item 2 of section 6: d' in turned tiles, from the deltas of `count` samples; E = `exponent`.
 * Returns a bound of |sum of d'|. */
uint32_t mlp_scale_deltas(const mlp_t *m, uint32_t l, uint16_t count, int32_t exponent);

/* Update (section 6) of layer l from the deltas of `count` samples. */
MLP_PART void mlp_update_layer(mlp_t *m, uint32_t l, uint16_t count);

/* Whether all values are in low .. high. */
bool mlp_all_inside(const int32_t *values, uint32_t count, int32_t low, int32_t high);

/* End of batch (section 7). */
MLP_PART void mlp_end_batch(mlp_t *m);

#endif
