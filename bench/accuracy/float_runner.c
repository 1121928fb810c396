/* Stochastic gradient descent in float32, fed like the core: whole epochs.
 * bench/accuracy/float32.py loads it by ctypes.
 *
 * Weights stand input by input ([n_in][n_out]), so that a zero input costs nothing. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "protocol.h"

enum { LAYERS_MAX = 8 };

typedef struct {
    uint32_t layer_count;               /* L */
    uint32_t widths[LAYERS_MAX + 1];    /* n[0..L] */
    uint32_t activations[LAYERS_MAX];   /* of every hidden layer, ACTIVATION_* */
    uint32_t loss;                      /* LOSS_* */
    float *weights[LAYERS_MAX];         /* [n_in][n_out] */
    float *biases[LAYERS_MAX];          /* [n_out] */
} float_model_t;

/* One sample's values x[0..L] (x[L]: logits) and the loss's derivatives d[0..L-1]. */
typedef struct {
    float *x[LAYERS_MAX + 1];
    float *d[LAYERS_MAX];
} float_rows_t;

static void add(float *restrict sum, const float *restrict v, float factor, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        sum[i] += factor * v[i];
    }
}

static float dot(const float *restrict a, const float *restrict b, uint32_t n)
{
    float sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

static float activate(uint32_t activation, float z)
{
    switch (activation) {
    case ACTIVATION_RELU:
        return z > 0 ? z : 0;
    case ACTIVATION_LEAKY:
        return z > 0 ? z : z / 8;
    case ACTIVATION_SIGMOID:
        return 1 / (1 + expf(-z));
    case ACTIVATION_TANH:
        return tanhf(z);
    default:
        return z;
    }
}

/* f'(z) from a = f(z). */
static float slope(uint32_t activation, float a)
{
    switch (activation) {
    case ACTIVATION_RELU:
        return a > 0 ? 1 : 0;
    case ACTIVATION_LEAKY:
        return a > 0 ? 1 : 0.125f;
    case ACTIVATION_SIGMOID:
        return a * (1 - a);
    default:
        return 1 - a * a;
    }
}

static void forward(const float_model_t *m, const float_rows_t *rows)
{
    for (uint32_t l = 0; l < m->layer_count; l++) {
        const uint32_t n = m->widths[l + 1];
        float *z = rows->x[l + 1];
        for (uint32_t j = 0; j < n; j++) {
            z[j] = m->biases[l][j];
        }
        for (uint32_t i = 0; i < m->widths[l]; i++) {
            if (rows->x[l][i] != 0) {
                add(z, m->weights[l] + (size_t)i * n, rows->x[l][i], n);
            }
        }
        for (uint32_t j = 0; l + 1 < m->layer_count && j < n; j++) {
            z[j] = activate(m->activations[l], z[j]);
        }
    }
}

static uint32_t largest(const float *z, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t k = 1; k < n; k++) {
        best = z[k] > z[best] ? k : best;
    }
    return best;
}

/* d = derivative of the sample's loss by the logits. target: the class, or one value an output. */
static void differentiate(const float_model_t *m, const float *z, const float *target, float *d)
{
    const uint32_t n = m->widths[m->layer_count];
    if (m->loss == LOSS_SOFTMAX_CROSS_ENTROPY) {
        const float top = z[largest(z, n)];
        float sum = 0;
        for (uint32_t k = 0; k < n; k++) {
            d[k] = expf(z[k] - top);
            sum += d[k];
        }
        for (uint32_t k = 0; k < n; k++) {
            d[k] /= sum;
        }
        d[(uint32_t)target[0]] -= 1;
        return;
    }
    for (uint32_t k = 0; k < n; k++) {
        const float a = m->loss == LOSS_SQUARED_ERROR ? z[k] : activate(ACTIVATION_SIGMOID, z[k]);
        d[k] = a - target[k];
        d[k] *= m->loss == LOSS_SIGMOID_SQUARED_ERROR ? slope(ACTIVATION_SIGMOID, a) : 1;
    }
}

static void backward(const float_model_t *m, const float_rows_t *rows)
{
    for (uint32_t l = m->layer_count - 1; l > 0; l--) {
        const uint32_t n = m->widths[l + 1];
        for (uint32_t i = 0; i < m->widths[l]; i++) {
            rows->d[l - 1][i] = dot(m->weights[l] + (size_t)i * n, rows->d[l], n) *
                                slope(m->activations[l - 1], rows->x[l][i]);
        }
    }
}

static void update(const float_model_t *m, const float_rows_t *rows, float rate)
{
    for (uint32_t l = 0; l < m->layer_count; l++) {
        const uint32_t n = m->widths[l + 1];
        for (uint32_t i = 0; i < m->widths[l]; i++) {
            if (rows->x[l][i] != 0) {
                add(m->weights[l] + (size_t)i * n, rows->d[l], -rate * rows->x[l][i], n);
            }
        }
        add(m->biases[l], rows->d[l], -rate, n);
    }
}

/* Rows for `count` samples in one block, which the caller frees; NULL: no memory. */
static float *lay_out(const float_model_t *m, float_rows_t *rows, uint32_t count)
{
    size_t values = 0;
    for (uint32_t l = 0; l <= m->layer_count; l++) {
        values += 2 * (size_t)m->widths[l];
    }
    float *block = malloc(values * count * sizeof *block);
    float *at = block;
    for (uint32_t b = 0; block != NULL && b < count; b++) {
        for (uint32_t l = 0; l <= m->layer_count; l++) {
            rows[b].x[l] = at;
            at += m->widths[l];
            if (l > 0) {
                rows[b].d[l - 1] = at;
                at += m->widths[l];
            }
        }
    }
    return block;
}

static void take(const float_model_t *m, const float_rows_t *rows, const float *features)
{
    for (uint32_t i = 0; i < m->widths[0]; i++) {
        rows->x[0][i] = features[i];
    }
}

/* Trains every sample once, in order; the last batch may be short.
 * features: [samples][n0]; targets: [samples][targets_per_sample]; rates: lr / B of every step.
 * Returns 0, or -1 without memory. */
int float_runner_epoch(const float_model_t *m, const float *features, const float *targets,
                       uint32_t targets_per_sample, uint32_t samples, uint32_t batch,
                       const float *rates)
{
    float_rows_t *rows = malloc(batch * sizeof *rows);
    float *block = rows == NULL ? NULL : lay_out(m, rows, batch);
    for (uint32_t start = 0; block != NULL && start < samples; start += batch) {
        const uint32_t count = samples - start < batch ? samples - start : batch;
        for (uint32_t b = 0; b < count; b++) {
            const size_t sample = start + b;
            take(m, &rows[b], features + sample * m->widths[0]);
            forward(m, &rows[b]);
            differentiate(m, rows[b].x[m->layer_count], targets + sample * targets_per_sample,
                          rows[b].d[m->layer_count - 1]);
            backward(m, &rows[b]);
        }
        for (uint32_t b = 0; b < count; b++) {
            update(m, &rows[b], rates[start / batch]);
        }
    }
    const int status = block == NULL ? -1 : 0;
    free(block);
    free(rows);
    return status;
}

/* Logits of every sample, [samples][outputs]. Returns 0, or -1 without memory. */
int float_runner_logits(const float_model_t *m, const float *features, uint32_t samples,
                        float *logits)
{
    const uint32_t outputs = m->widths[m->layer_count];
    float_rows_t rows;
    float *block = lay_out(m, &rows, 1);
    for (uint32_t s = 0; block != NULL && s < samples; s++) {
        take(m, &rows, features + (size_t)s * m->widths[0]);
        forward(m, &rows);
        for (uint32_t k = 0; k < outputs; k++) {
            logits[(size_t)s * outputs + k] = rows.x[m->layer_count][k];
        }
    }
    const int status = block == NULL ? -1 : 0;
    free(block);
    return status;
}
