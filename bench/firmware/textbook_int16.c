/* The yardstick in integers: int16 weights (Q12), activations (Q8) and errors (Q14), int32 sums,
 * fixed shifts, no range argument. Right shifts of negative numbers round towards minus infinity,
 * as every compiler for Arm does. */
#include "textbook.h"

#define WEIGHT_BITS 12u
#define INPUT_BITS 8u
#define ERROR_BITS 14u

static textbook_t net;
static uint32_t rate_shift;
static int16_t *weights[TEXTBOOK_LAYERS_MAX], *rows[TEXTBOOK_LAYERS_MAX + 1u];
static int16_t *deltas[TEXTBOOK_LAYERS_MAX];
static int32_t *biases[TEXTBOOK_LAYERS_MAX]; /* Q20, as the sums */
static int32_t *weight_sums[TEXTBOOK_LAYERS_MAX], *bias_sums[TEXTBOOK_LAYERS_MAX];
static int32_t work[TEXTBOOK_WIDTH_MAX];

static void *take(uint8_t **memory, uint32_t bytes)
{
    void *taken = *memory;
    *memory += (bytes + 3u) & ~3u;
    return taken;
}

static int16_t saturated(int32_t value)
{
    return (int16_t)(value > 32767 ? 32767 : value < -32768 ? -32768 : value);
}

uint32_t textbook_start(const textbook_t *t, void *memory)
{
    net = *t;
    uint8_t *at = memory;
    uint32_t seed = 1;
    for (rate_shift = TEXTBOOK_RATE_SHIFT; 1u << (rate_shift - TEXTBOOK_RATE_SHIFT) < net.batch;) {
        rate_shift++;
    }
    rows[0] = take(&at, 2u * net.width[0]);
    for (uint32_t l = 0; l < net.layers; l++) {
        const uint32_t outputs = net.width[l + 1u], count = net.width[l] * outputs;
        weights[l] = take(&at, 2u * count);
        weight_sums[l] = take(&at, 4u * count);
        biases[l] = take(&at, 4u * outputs);
        bias_sums[l] = take(&at, 4u * outputs);
        rows[l + 1u] = take(&at, 2u * outputs);
        deltas[l] = take(&at, 2u * outputs);
        for (uint32_t k = 0; k < count; k++) {
            weights[l][k] = (int16_t)textbook_weight(&seed, net.bound_q12[l]);
            weight_sums[l][k] = 0;
        }
        for (uint32_t j = 0; j < outputs; j++) {
            biases[l][j] = 0;
            bias_sums[l][j] = 0;
        }
    }
    return (uint32_t)(at - (uint8_t *)memory) + sizeof work;
}

static void forward(uint32_t l)
{
    const uint32_t inputs = net.width[l], outputs = net.width[l + 1u];
    const int16_t *restrict x = rows[l];
    for (uint32_t j = 0; j < outputs; j++) {
        const int16_t *restrict w = weights[l] + j * inputs;
        int32_t sum = biases[l][j];
        for (uint32_t i = 0; i < inputs; i++) {
            sum += w[i] * x[i];
        }
        sum >>= WEIGHT_BITS;
        rows[l + 1u][j] = saturated(sum > 0 || l + 1u == net.layers ? sum : 0);
    }
}

/* e^-t in Q15 for t >= 0 in Q8: 2^-u, its fraction by a straight line. */
static uint32_t exp_of_minus(uint32_t t)
{
    const uint32_t u = (t * 369u) >> 8;
    const uint32_t whole = u >> 8;
    return whole > 15u ? 0 : (32768u - (u & 255u) * 64u) >> whole;
}

static uint32_t lose(uint32_t target)
{
    const uint32_t outputs = net.width[net.layers];
    const int16_t *logits = rows[net.layers];
    uint32_t best = 0;
    for (uint32_t k = 1; k < outputs; k++) {
        best = logits[k] > logits[best] ? k : best;
    }
    uint32_t sum = 0;
    for (uint32_t k = 0; k < outputs; k++) {
        work[k] = (int32_t)exp_of_minus((uint32_t)(logits[best] - logits[k]));
        sum += (uint32_t)work[k];
    }
    for (uint32_t k = 0; k < outputs; k++) {
        const uint32_t p = ((uint32_t)work[k] << ERROR_BITS) / sum;
        deltas[net.layers - 1u][k] = (int16_t)((int32_t)p - (k == target ? 1 << ERROR_BITS : 0));
    }
    return best;
}

static void backward(uint32_t l)
{
    const uint32_t inputs = net.width[l], outputs = net.width[l + 1u];
    int32_t *restrict e = work;
    for (uint32_t i = 0; i < inputs; i++) {
        e[i] = 0;
    }
    for (uint32_t j = 0; j < outputs; j++) {
        const int16_t *restrict w = weights[l] + j * inputs;
        const int16_t d = deltas[l][j];
        for (uint32_t i = 0; i < inputs; i++) {
            e[i] += w[i] * d;
        }
    }
    for (uint32_t i = 0; i < inputs; i++) {
        deltas[l - 1u][i] = rows[l][i] > 0 ? saturated(e[i] >> WEIGHT_BITS) : 0;
    }
}

static void add_gradient(uint32_t l)
{
    const uint32_t inputs = net.width[l], outputs = net.width[l + 1u];
    const int16_t *restrict x = rows[l];
    for (uint32_t j = 0; j < outputs; j++) {
        int32_t *restrict sum = weight_sums[l] + j * inputs;
        const int16_t d = deltas[l][j];
        for (uint32_t i = 0; i < inputs; i++) {
            sum[i] += d * x[i];
        }
        bias_sums[l][j] += d;
    }
}

static void update(uint32_t l)
{
    const uint32_t shift = INPUT_BITS + ERROR_BITS - WEIGHT_BITS + rate_shift;
    const uint32_t outputs = net.width[l + 1u], count = net.width[l] * outputs;
    int16_t *restrict w = weights[l];
    int32_t *restrict sum = weight_sums[l];
    for (uint32_t k = 0; k < count; k++) {
        w[k] = saturated(w[k] - ((sum[k] + (1 << (shift - 1u))) >> shift));
        sum[k] = 0;
    }
    for (uint32_t j = 0; j < outputs; j++) {
        biases[l][j] -= (bias_sums[l][j] * (1 << (WEIGHT_BITS + INPUT_BITS - ERROR_BITS))) >> rate_shift;
        bias_sums[l][j] = 0;
    }
}

uint32_t textbook_step(const uint8_t *samples)
{
    uint32_t right = 0;
    for (uint32_t b = 0; b < net.batch; b++) {
        for (uint32_t i = 0; i < net.width[0]; i++) {
            rows[0][i] = samples[i];
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
