/* The forward pass of a trained network in plain C11: the logits of the board, bit for bit.
 * fixgrad_net.h holds the network. No library, no dynamic memory; float only in fixgrad_scale()
 * and fixgrad_value(). NUMERICS section 3. */
#include "fixgrad_net.h"

_Static_assert((-3 >> 1) == -2, "a signed right shift must be arithmetic");

/* RN(v, s) = floor(v / 2^s + 1/2). Range: every accumulator is below 2^31 - 1. */
static int32_t round_shift(int32_t v, int32_t s)
{
    if (s == 0) {
        return v;
    }
    return s >= 32 ? 0 : ((v >> (s - 1)) + 1) >> 1;
}

static int32_t clamp(int32_t v, int32_t limit)
{
    return v < -limit ? -limit : v > limit ? limit : v;
}

/* RS(v, s, limit) = v / 2^s, rounded and clamped to +-limit. */
static int32_t scale(int32_t v, int32_t s, int32_t limit)
{
    if (s >= 0) {
        return clamp(round_shift(v, s), limit);
    }
    const int32_t k = -s < 31 ? -s : 31;
    const int32_t most = limit >> k;
    if (v > most || v < -most) {
        return v < 0 ? -limit : limit;
    }
    return v * (int32_t)(1u << k);
}

#if FIXGRAD_USES_SIGMOID
/* sigmoid(i / 16) in Q15. */
static const uint16_t sigmoid_q15[129] = {
@SIGMOID@
};

/* Q11 in, 0..16383; Q15 out. */
static int32_t interpolate(int32_t m)
{
    const int32_t low = sigmoid_q15[m >> 7];
    return low + (((sigmoid_q15[(m >> 7) + 1] - low) * (m & 127) + 64) >> 7);
}

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* q in Q11, |q| <= 32767; Q15 out. */
static int32_t squash(int32_t q, int is_tanh)
{
    const int32_t size = q < 0 ? -q : q;
    if (is_tanh) {
        const int32_t y = least(2 * (interpolate(least(2 * size, 16383)) - 16384), 32767);
        return q < 0 ? -y : y;
    }
    const int32_t y = interpolate(least(size, 16383));
    return q < 0 ? 32768 - y : y;
}
#endif

static int32_t activate(const fixgrad_layer_t *layer, int32_t z)
{
    const int32_t limit = (int32_t)(1u << layer->bits) - 1;
    switch (layer->activation) {
    case FIXGRAD_RELU:
        return z < 0 ? 0 : scale(z, layer->shift, limit);
    case FIXGRAD_LEAKY:
        return scale(z < 0 ? z >> 3 : z, layer->shift, limit);
    case FIXGRAD_SIGN:
        return z < 0 ? -(1 << (layer->bits - 1)) : 1 << (layer->bits - 1);
#if FIXGRAD_USES_SIGMOID
    case FIXGRAD_SIGMOID:
    case FIXGRAD_TANH: {
        const int32_t q = scale(z, layer->shift, 32767);
        return clamp(round_shift(squash(q, layer->activation == FIXGRAD_TANH), 15 - layer->bits),
                     limit);
    }
#endif
    default:
        return z;
    }
}

/* Range: the network's bit budgets keep every sum below 2^31 - 1, in any order. */
static int32_t read_input(const fixgrad_layer_t *layer, uint32_t j, const fixgrad_input_t *x)
{
    const int16_t *w = layer->weights + (uint32_t)layer->inputs * j;
    int32_t sum = layer->biases[j];
    for (uint32_t i = 0; i < layer->inputs; i++) {
        sum += w[i] * (int32_t)x[i];
    }
    return sum;
}

static int32_t read_row(const fixgrad_layer_t *layer, uint32_t j, const int16_t *a)
{
    const int16_t *w = layer->weights + (uint32_t)layer->inputs * j;
    int32_t sum = layer->biases[j];
    for (uint32_t i = 0; i < layer->inputs; i++) {
        sum += w[i] * (int32_t)a[i];
    }
    return sum;
}

void fixgrad_infer(const fixgrad_input_t x[FIXGRAD_INPUTS], int32_t logits[FIXGRAD_OUTPUTS])
{
    int16_t rows[2][FIXGRAD_WIDEST] = {{0}};
    for (uint32_t l = 0; l < FIXGRAD_LAYERS; l++) {
        const fixgrad_layer_t *layer = &fixgrad_layers[l];
        for (uint32_t j = 0; j < layer->outputs; j++) {
            const int32_t z =
                l == 0 ? read_input(layer, j, x) : read_row(layer, j, rows[(l - 1u) % 2u]);
            if (l == FIXGRAD_LAYERS - 1u) {
                logits[j] = z;
            } else {
                rows[l % 2u][j] = (int16_t)activate(layer, z);
            }
        }
    }
}

void fixgrad_scale(const double raw[FIXGRAD_INPUTS], fixgrad_input_t x[FIXGRAD_INPUTS])
{
    const double rounder = 6755399441055744.0; /* 1.5 * 2^52: what is added to it is rounded */
    for (uint32_t i = 0; i < FIXGRAD_INPUTS; i++) {
        double v = (raw[i] - fixgrad_offset[i]) * fixgrad_factor[i];
        v = v < FIXGRAD_INPUT_MIN ? FIXGRAD_INPUT_MIN : v;
        v = v > FIXGRAD_INPUT_MAX ? FIXGRAD_INPUT_MAX : v;
        x[i] = (fixgrad_input_t)((v + rounder) - rounder);
    }
}

#if FIXGRAD_CLASSES
uint32_t fixgrad_class(const int32_t logits[FIXGRAD_OUTPUTS])
{
#if FIXGRAD_OUTPUTS == 1
    return logits[0] > FIXGRAD_THRESHOLD;
#else
    uint32_t best = 0;
    for (uint32_t k = 1; k < FIXGRAD_OUTPUTS; k++) {
        best = logits[k] > logits[best] ? k : best;
    }
    return best;
#endif
}
#elif FIXGRAD_VALUES
double fixgrad_value(const int32_t logits[FIXGRAD_OUTPUTS], uint32_t k)
{
    const int32_t q16 = scale(logits[k], -16 - FIXGRAD_LOGIT_EXPONENT, 1 << 26);
    return q16 / 65536.0 / fixgrad_target_factor[k] + fixgrad_target_offset[k];
}
#endif
