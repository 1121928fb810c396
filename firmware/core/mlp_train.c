/* Samples in, steps and inferences out. */
#include "bytes.h"
#include "fixed.h"
#include "loss.h"
#include "mlp_internal.h"
#include "mlp_model.h"
#include "mlp_part.h"
#include "profile.h"
#include "vector.h"

#include <stddef.h>
#include <string.h>

size_t mlp_feature_bytes(const mlp_t *m)
{
    const mlp_layer_t *layer = mlp_layer(m, 0);
    return (size_t)layer->inputs * mlp_element_bytes(layer->format);
}

size_t mlp_target_bytes(const mlp_t *m)
{
    switch (m->loss) {
    case LOSS_SOFTMAX_CROSS_ENTROPY:
        return 1;
    case LOSS_SQUARED_ERROR:
        return 4u * mlp_outputs(m);
    default:
        return 2u * mlp_outputs(m);
    }
}

uint32_t mlp_outputs(const mlp_t *m)
{
    return mlp_last_layer(m)->outputs;
}

uint32_t mlp_predictions(const mlp_t *m)
{
    return m->loss == LOSS_SOFTMAX_CROSS_ENTROPY ? 1 : mlp_outputs(m);
}

const mlp_counters_t *mlp_counters(const mlp_t *m)
{
    return &m->counters;
}

static void copy(uint8_t *to, const uint8_t *from, size_t count)
{
#ifdef VECTOR
    vector_copy(to, from, count);
#else
    memcpy(to, from, count);
#endif
}

/* Copies the features of sample b into its row; false where one is beyond A[0]. */
static bool take_features(const mlp_t *m, uint32_t b, const uint8_t *bytes)
{
    const mlp_layer_t *layer = mlp_layer(m, 0);
    if (!mlp_features_valid(m, bytes)) {
        return false;
    }
    void *row = mlp_row(m, layer, b);
    if (layer->format == INPUT_I16) {
        int16_t *values = row;
        for (uint32_t i = 0; i < layer->inputs; i++) {
            values[i] = (int16_t)bytes_u16(bytes + 2 * i);
        }
    } else if (row != bytes) {
        copy(row, bytes, layer->inputs);
    }
    return true;
}

/* Parks the target of sample b until its step; false where a value is out of its range. */
static bool take_target(const mlp_t *m, uint32_t b, const uint8_t *bytes)
{
    const uint32_t outputs = mlp_outputs(m);
    if (m->loss == LOSS_SOFTMAX_CROSS_ENTROPY) {
        *mlp_small_target(m, b) = bytes[0];
        return bytes[0] < outputs;
    }
    for (uint32_t k = 0; k < outputs; k++) {
        if (m->loss == LOSS_SQUARED_ERROR) {
            const int32_t target = (int32_t)bytes_u32(bytes + 4 * k);
            mlp_q16_target(m, b)[k] = target;
            if (fixed_abs(target) > LIMIT_TARGET_MAX) {
                return false;
            }
        } else {
            const uint16_t target = bytes_u16(bytes + 2 * k);
            mlp_small_target(m, b)[kernels_delta_index(mlp_quads(m), 0, k)] = target;
            if (target > LIMIT_SIGMOID_TARGET_MAX) {
                return false;
            }
        }
    }
    return true;
}

/* Evaluates the logits of sample b against its parked target. */
static uint32_t evaluate(const mlp_t *m, uint32_t b, const int32_t *logits, int32_t *error,
                         bool *correct)
{
    const loss_target_t target = {mlp_small_target(m, b), 8u * mlp_quads(m), mlp_q16_target(m, b)};
    return loss_evaluate(m->loss, logits, mlp_outputs(m),
                         mlp_acc_exponent(m, m->layer_count - 1u), target, error, correct);
}

static uint32_t add_saturating(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

/* Samples of the group that starts at b. */
static uint32_t lanes_at(const mlp_t *m, uint32_t b)
{
    return m->size - b < KERNELS_LANES ? m->size - b : KERNELS_LANES;
}

void mlp_forward_layer(mlp_t *m, uint32_t l)
{
    activation_stats_t stats = {0, 0};
    for (uint32_t b = 0; b < m->size; b += KERNELS_LANES) {
        (void)mlp_forward(m, l, b, lanes_at(m, b), &stats);
    }
    mlp_layer(m, l)->largest_bits = (uint8_t)fixed_bits(stats.magnitudes);
    m->counters.asat += stats.saturated;
}

void mlp_lose_batch(mlp_t *m)
{
    const uint32_t row = mlp_even(mlp_outputs(m));
    uint32_t loss = 0;
    for (uint32_t b = 0; b < m->size; b += KERNELS_LANES) {
        const uint32_t lanes = lanes_at(m, b);
        int32_t *logits = mlp_forward(m, m->layer_count - 1u, b, lanes, NULL);
        int32_t *error = logits;
        for (uint32_t lane = 0; lane < lanes; lane++, error += row) {
            bool correct;
            loss = add_saturating(loss, evaluate(m, b + lane, error, error, &correct));
            m->counters.correct += correct;
        }
        mlp_backward_output(m, b, lanes, logits, loss_error_exponent(m->loss));
    }
    m->counters.loss_sum += loss;
}

void mlp_backward_layer(mlp_t *m, uint32_t l)
{
    for (uint32_t b = 0; b < m->size; b += KERNELS_LANES) {
        mlp_backward_hidden(m, l, b, lanes_at(m, b));
    }
}

/* Forward, loss and backward of the collected batch: layers up to L - 1, and back to F. */
static inline void learn(mlp_t *m, uint32_t last, uint32_t frozen)
{
    for (uint32_t l = 0; l < last; l++) {
        profile_enter(PHASE_FORWARD, l);
        mlp_forward_layer(m, l);
    }
    profile_enter(PHASE_LOSS, last);
    mlp_lose_batch(m);
    for (uint32_t l = last; l > frozen; l--) {
        profile_enter(PHASE_BACKWARD, l);
        mlp_backward_layer(m, l);
    }
}

/* One training step on the collected batch. */
static void run_step(mlp_t *m)
{
    const uint32_t last = m->layer_count - 1u, frozen = mlp_frozen(m);
    learn(m, last, frozen);
    for (uint32_t l = frozen; l <= last; l++) {
        profile_enter(PHASE_UPDATE, l);
        mlp_update_layer(m, l, m->size);
    }
    profile_enter(PHASE_END, 0);
    mlp_end_batch(m);
    profile_leave();
    m->size = 0;
    m->collected = 0;
}

int mlp_batch_open(const mlp_t *m)
{
    return m->size != 0;
}

int mlp_begin_batch(mlp_t *m, uint16_t size, uint16_t lr_mantissa, int8_t lr_exponent)
{
    if (!m->started || m->size != 0 || size == 0 || size > m->batch || lr_mantissa == 0 ||
        lr_mantissa > LIMIT_LR_MANTISSA_MAX || lr_exponent < LIMIT_LR_EXPONENT_MIN ||
        lr_exponent > LIMIT_LR_EXPONENT_MAX) {
        return STATUS_BAD_SAMPLE;
    }
    m->size = size;
    m->lr_mantissa = lr_mantissa;
    m->lr_exponent = lr_exponent;
    return STATUS_OK;
}

/* The last sample of a batch ends in what `finish` does. */
static inline __attribute__((always_inline)) int put(mlp_t *m, const uint8_t *features,
                                                     const uint8_t *target, void (*finish)(mlp_t *))
{
    if (m->collected == m->size) { /* none is announced, or a part is held */
        return STATUS_BAD_SAMPLE;
    }
    profile_enter(PHASE_PACK, 0);
    const bool good =
        take_features(m, m->collected, features) && take_target(m, m->collected, target);
    profile_leave();
    if (!good) {
        if (m->collected == 0) {
            m->size = 0;
        }
        return STATUS_BAD_SAMPLE;
    }
    m->collected++;
    if (m->collected == m->size) {
        finish(m);
    }
    return STATUS_OK;
}

int mlp_put_sample(mlp_t *m, const uint8_t *features, const uint8_t *target)
{
    return put(m, features, target, run_step);
}

static void hold(mlp_t *m)
{
    learn(m, m->layer_count - 1u, mlp_frozen(m));
    profile_leave();
    m->scaled = false;
}

int mlp_put_part(mlp_t *m, const uint8_t *features, const uint8_t *target)
{
    return put(m, features, target, hold);
}

/* Works in the rows of the first sample that is still missing: they are free whenever no step
 * runs. */
int mlp_infer(mlp_t *m, const uint8_t *features, const uint8_t *target, mlp_result_t *result)
{
    const uint32_t b = m->collected;
    if (!m->started || !take_features(m, b, features) ||
        (target != NULL && !take_target(m, b, target))) {
        return STATUS_BAD_SAMPLE;
    }
    activation_stats_t unused = {0, 0};
    for (uint32_t l = 0; l < m->layer_count; l++) {
        result->logits = mlp_forward(m, l, b, 1, &unused);
    }
    result->correct = false;
    result->loss = target == NULL ? 0 : evaluate(m, b, result->logits, NULL, &result->correct);
    return STATUS_OK;
}

int32_t mlp_prediction(const mlp_t *m, const int32_t *logits, uint32_t i)
{
    return loss_prediction(m->loss, logits, mlp_outputs(m),
                           mlp_acc_exponent(m, m->layer_count - 1u), i);
}
