/* The kernels in plain C: the definition. */
#include "speed.h"
#include "kernels.h"

#ifdef KERNELS_PLAIN

#include "kernels_step.h"
#include "protocol.h"

#include <stddef.h>

/* sum_i w_i * x_i. Range: n * A * 2^wb <= 2^31 - 1 - 2^28 (section 2, budget 1). */
static int32_t dot_u8(const int16_t *restrict w, const uint8_t *restrict x, size_t n)
{
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += w[i] * x[i];
    }
    return sum;
}

static int32_t dot_i8(const int16_t *restrict w, const int8_t *restrict x, size_t n)
{
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += w[i] * x[i];
    }
    return sum;
}

static int32_t dot_i16(const int16_t *restrict w, const int16_t *restrict x, size_t n)
{
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += w[i] * x[i];
    }
    return sum;
}

/* sum_i += factor * v_i: the same bounds as the sum it builds. */
static void add_u8(int32_t *restrict sum, const uint8_t *restrict v, int32_t factor, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sum[i] += factor * v[i];
    }
}

static void add_i8(int32_t *restrict sum, const int8_t *restrict v, int32_t factor, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sum[i] += factor * v[i];
    }
}

static void add_i16(int32_t *restrict sum, const int16_t *restrict v, int32_t factor, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sum[i] += factor * v[i];
    }
}

static void clear(int32_t *sum, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sum[i] = 0;
    }
}

/* Range: |b| <= 2^28 on top of the dot product: below 2^31 - 1. */
static void forward_lane(const kernels_layer_t *layer, const int32_t *bias, const void *x,
                         uint32_t first, uint32_t count, int32_t *acc)
{
    const size_t n = layer->inputs;
    const int16_t *w = layer->weights + first * n;
    for (size_t j = 0; j < count; j++, w += n) {
        switch (layer->format) {
        case INPUT_U8:
            acc[j] = bias[first + j] + dot_u8(w, x, n);
            break;
        case INPUT_I8:
            acc[j] = bias[first + j] + dot_i8(w, x, n);
            break;
        default:
            acc[j] = bias[first + j] + dot_i16(w, x, n);
            break;
        }
    }
}

void kernels_forward(const kernels_layer_t *layer, const kernels_forward_t *forward,
                     uint32_t first, uint32_t count, int32_t *acc, uint32_t stride)
{
    for (uint32_t lane = 0; lane < forward->lanes; lane++) {
        forward_lane(layer, forward->bias, forward->row[lane], first, count, acc + lane * stride);
    }
}

/* Sums that are built at a time, on the stack. */
enum { BLOCK = 16 };

/* e_i for columns first .. first + n - 1 of one lane.
 * Range: n_out * 2^wb * (2^db - 1) <= 2^31 - 1 (section 2, budget 2). */
static void error_block(const kernels_layer_t *layer, const kernels_backward_t *backward,
                        uint32_t lane, size_t first, size_t n, int32_t *error)
{
    const int16_t *w = layer->weights + first;
    clear(error, n);
    for (uint32_t j = 0; j < layer->outputs; j++, w += layer->inputs) {
        const int32_t d = backward->delta[kernels_delta_index(backward->quads, lane, j)];
        if (d != 0) {
            add_i16(error, w, d, n);
        }
    }
}

void kernels_backward(const kernels_layer_t *layer, const kernels_backward_t *backward)
{
    const size_t inputs = layer->inputs;
    for (uint32_t lane = 0; lane < backward->lanes; lane++) {
        int32_t *out = (lane < 2u ? backward->low : backward->high) + 2u * (lane % 2u);
        const size_t step = lane < 2u ? 4u * backward->quads : 4u;
        for (size_t first = 0; first < inputs; first += BLOCK) {
            int32_t error[BLOCK];
            const size_t n = inputs - first < BLOCK ? inputs - first : BLOCK;
            error_block(layer, backward, lane, first, n, error);
            for (size_t i = 0; i < n; i++) {
                out[(first + i) / 2u * step + i % 2u] = error[i];
            }
        }
    }
}

/* G_i = sum_b d'[b][row] * x[b][i] for columns first .. first + n - 1.
 * Range: |G| <= 2^30 (section 2, budget 3). */
static void gradient_block(const kernels_layer_t *layer, const kernels_update_t *update,
                           uint32_t row, size_t first, size_t n, int32_t *gradient)
{
    clear(gradient, n);
    for (uint32_t b = 0; b < update->count; b++) {
        const int32_t d = update->delta[kernels_turned_index(update->quads, b, row)];
        const size_t at = (size_t)b * layer->inputs + first;
        if (d == 0) {
            continue;
        }
        switch (layer->format) {
        case INPUT_U8:
            add_u8(gradient, (const uint8_t *)update->x + at, d, n);
            break;
        case INPUT_I8:
            add_i8(gradient, (const int8_t *)update->x + at, d, n);
            break;
        default:
            add_i16(gradient, (const int16_t *)update->x + at, d, n);
            break;
        }
    }
}

static int32_t step_block(int16_t *restrict w, const int32_t *restrict gradient,
                          const kernels_update_t *update, size_t n, uint32_t *prng)
{
    uint32_t r = *prng;
    int32_t changed = 0;
    for (size_t i = 0; i < n; i++) {
        w[i] = kernels_step(w[i], NULL, gradient[i], random_draw(&r), update, &changed);
    }
    *prng = r;
    return changed;
}

static int32_t step_block_momentum(int16_t *restrict w, int16_t *restrict velocity,
                                   const int32_t *restrict gradient,
                                   const kernels_update_t *update, size_t n, uint32_t *prng)
{
    uint32_t r = *prng;
    int32_t changed = 0;
    for (size_t i = 0; i < n; i++) {
        w[i] = kernels_step(w[i], velocity + i, gradient[i], random_draw(&r), update, &changed);
    }
    *prng = r;
    return changed;
}

bool kernels_update(const kernels_layer_t *layer, const kernels_update_t *update, uint32_t *prng)
{
    const size_t inputs = layer->inputs;
    int32_t changed = 0;
    for (uint32_t j = 0; j < layer->outputs; j++) {
        for (size_t i = 0; i < inputs; i += BLOCK) {
            int32_t gradient[BLOCK];
            const size_t n = inputs - i < BLOCK ? inputs - i : BLOCK;
            const size_t at = j * inputs + i;
            gradient_block(layer, update, j, i, n, gradient);
            changed |= update->velocity == NULL
                           ? step_block(layer->weights + at, gradient, update, n, prng)
                           : step_block_momentum(layer->weights + at, update->velocity + at,
                                                 gradient, update, n, prng);
        }
    }
    return changed != 0;
}

#endif
