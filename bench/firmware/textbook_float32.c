/* The yardstick in float32: inputs in 0 .. 1. */
#include "textbook.h"

#include <math.h>

static textbook_t net;
static float *weights[TEXTBOOK_LAYERS_MAX], *biases[TEXTBOOK_LAYERS_MAX];
static float *weight_sums[TEXTBOOK_LAYERS_MAX], *bias_sums[TEXTBOOK_LAYERS_MAX];
static float *rows[TEXTBOOK_LAYERS_MAX + 1u], *deltas[TEXTBOOK_LAYERS_MAX];

static float *take(float **memory, uint32_t count)
{
    float *taken = *memory;
    *memory += count;
    return taken;
}

uint32_t textbook_start(const textbook_t *t, void *memory)
{
    net = *t;
    float *at = memory;
    uint32_t seed = 1;
    rows[0] = take(&at, net.width[0]);
    for (uint32_t l = 0; l < net.layers; l++) {
        const uint32_t outputs = net.width[l + 1u], count = net.width[l] * outputs;
        weights[l] = take(&at, count);
        weight_sums[l] = take(&at, count);
        biases[l] = take(&at, outputs);
        bias_sums[l] = take(&at, outputs);
        rows[l + 1u] = take(&at, outputs);
        deltas[l] = take(&at, outputs);
        for (uint32_t k = 0; k < count; k++) {
            weights[l][k] = (float)textbook_weight(&seed, net.bound_q12[l]) / 4096.0f;
            weight_sums[l][k] = 0.0f;
        }
        for (uint32_t j = 0; j < outputs; j++) {
            biases[l][j] = 0.0f;
            bias_sums[l][j] = 0.0f;
        }
    }
    return (uint32_t)((uintptr_t)at - (uintptr_t)memory);
}

static void forward(uint32_t l)
{
    const uint32_t inputs = net.width[l], outputs = net.width[l + 1u];
    const float *restrict x = rows[l];
    for (uint32_t j = 0; j < outputs; j++) {
        const float *restrict w = weights[l] + j * inputs;
        float sum = biases[l][j];
        for (uint32_t i = 0; i < inputs; i++) {
            sum += w[i] * x[i];
        }
        rows[l + 1u][j] = sum > 0.0f || l + 1u == net.layers ? sum : 0.0f;
    }
}

/* Softmax in place, and its error; returns the predicted class. */
static uint32_t lose(uint32_t target)
{
    const uint32_t outputs = net.width[net.layers];
    float *p = rows[net.layers];
    uint32_t best = 0;
    for (uint32_t k = 1; k < outputs; k++) {
        best = p[k] > p[best] ? k : best;
    }
    const float most = p[best];
    float sum = 0.0f;
    for (uint32_t k = 0; k < outputs; k++) {
        p[k] = expf(p[k] - most);
        sum += p[k];
    }
    for (uint32_t k = 0; k < outputs; k++) {
        deltas[net.layers - 1u][k] = p[k] / sum - (k == target ? 1.0f : 0.0f);
    }
    return best;
}

/* Error of the layer below: e_i = sum_j w_ji d_j where the unit was active. */
static void backward(uint32_t l)
{
    const uint32_t inputs = net.width[l], outputs = net.width[l + 1u];
    float *restrict e = deltas[l - 1u];
    for (uint32_t i = 0; i < inputs; i++) {
        e[i] = 0.0f;
    }
    for (uint32_t j = 0; j < outputs; j++) {
        const float *restrict w = weights[l] + j * inputs;
        const float d = deltas[l][j];
        for (uint32_t i = 0; i < inputs; i++) {
            e[i] += w[i] * d;
        }
    }
    for (uint32_t i = 0; i < inputs; i++) {
        e[i] = rows[l][i] > 0.0f ? e[i] : 0.0f;
    }
}

static void add_gradient(uint32_t l)
{
    const uint32_t inputs = net.width[l], outputs = net.width[l + 1u];
    const float *restrict x = rows[l];
    for (uint32_t j = 0; j < outputs; j++) {
        float *restrict sum = weight_sums[l] + j * inputs;
        const float d = deltas[l][j];
        for (uint32_t i = 0; i < inputs; i++) {
            sum[i] += d * x[i];
        }
        bias_sums[l][j] += d;
    }
}

static void update(uint32_t l)
{
    const float rate = 1.0f / (float)((1u << TEXTBOOK_RATE_SHIFT) * net.batch);
    const uint32_t outputs = net.width[l + 1u], count = net.width[l] * outputs;
    float *restrict w = weights[l], *restrict sum = weight_sums[l];
    for (uint32_t k = 0; k < count; k++) {
        w[k] -= rate * sum[k];
        sum[k] = 0.0f;
    }
    for (uint32_t j = 0; j < outputs; j++) {
        biases[l][j] -= rate * bias_sums[l][j];
        bias_sums[l][j] = 0.0f;
    }
}

uint32_t textbook_step(const uint8_t *samples)
{
    uint32_t right = 0;
    for (uint32_t b = 0; b < net.batch; b++) {
        for (uint32_t i = 0; i < net.width[0]; i++) {
            rows[0][i] = (float)samples[i] * (1.0f / 256.0f);
        }
        const uint8_t target = samples[net.width[0]];
        samples += net.width[0] + 1u;
        for (uint32_t l = 0; l < net.layers; l++) {
            forward(l);
        }
        right += lose(target) == target;
        for (uint32_t l = net.layers - 1u; l > 0; l--) {
            backward(l);
        }
        for (uint32_t l = 0; l < net.layers; l++) {
            add_gradient(l);
        }
    }
    for (uint32_t l = 0; l < net.layers; l++) {
        update(l);
    }
    return right;
}
