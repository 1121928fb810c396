#include "kernels.h"

#include "fixed.h"
#include "protocol.h"
#include "random.h"

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

/* Range: |b| <= 2^28 on top of the dot product: below 2^31 - 1. */
void kernels_forward(const kernels_layer_t *layer, const int32_t *bias, const void *x,
                     int32_t *acc)
{
    const size_t n = layer->inputs;
    const int16_t *w = layer->weights;
    for (size_t j = 0; j < layer->outputs; j++, w += n) {
        switch (layer->format) {
        case INPUT_U8:
            acc[j] = bias[j] + dot_u8(w, x, n);
            break;
        case INPUT_I8:
            acc[j] = bias[j] + dot_i8(w, x, n);
            break;
        default:
            acc[j] = bias[j] + dot_i16(w, x, n);
            break;
        }
    }
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

/* Range: n_out * 2^wb * (2^db - 1) <= 2^31 - 1 (section 2, budget 2). */
void kernels_backward(const kernels_layer_t *layer, const int16_t *delta, int32_t *error)
{
    const size_t n = layer->inputs;
    const int16_t *w = layer->weights;
    clear(error, n);
    for (size_t j = 0; j < layer->outputs; j++, w += n) {
        if (delta[j] != 0) {
            add_i16(error, w, delta[j], n);
        }
    }
}

/* Columns whose gradient is summed at a time, on the stack. */
enum { BLOCK = 32 };

/* G_i = sum_b d'[b][row] * x[b][i] for columns first .. first + n - 1.
 * Range: |G| <= 2^30 (section 2, budget 3). */
static void gradient_block(const kernels_layer_t *layer, const kernels_update_t *update,
                           size_t row, size_t first, size_t n, int32_t *gradient)
{
    clear(gradient, n);
    for (size_t b = 0; b < update->count; b++) {
        const int32_t d = update->delta[b * layer->outputs + row];
        const size_t at = b * layer->inputs + first;
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

/* Section 6, item 3: w = clamp(w - clamp((G + (r >> (32 - s))) >> s)).
 * Range: |G| <= 2^30 and the random part is below 2^24; |w - u| <= 2^15. */
static bool step_block(int16_t *restrict w, const int32_t *restrict gradient,
                       const kernels_update_t *update, size_t n, uint32_t *prng)
{
    const uint32_t s = update->shift;
    const int32_t high = (1 << update->weight_bits) - 1;
    uint32_t r = *prng;
    int32_t changed = 0;
    for (size_t i = 0; i < n; i++) {
        r = r * RANDOM_MULTIPLIER + RANDOM_INCREMENT;
        const int32_t u = fixed_floor(gradient[i] + (int32_t)(r >> (32u - s)), s);
        const int32_t u_kept = fixed_clamp(u, -16384, 16383);
        const int32_t v = w[i] - u_kept;
        const int32_t v_kept = fixed_clamp(v, -high - 1, high);
        changed |= (u ^ u_kept) | (v ^ v_kept);
        w[i] = (int16_t)v_kept;
    }
    *prng = r;
    return changed != 0;
}

/* Section 6, item 5. Range: s - vf >= 1; |V * mu| < 2^23; g and V stay within +-32767, so the
 * step is at most 2^14 and |w - step| <= 2^15. */
static bool step_block_momentum(int16_t *restrict w, int16_t *restrict velocity,
                                const int32_t *restrict gradient,
                                const kernels_update_t *update, size_t n, uint32_t *prng)
{
    const uint32_t s = (uint32_t)update->shift - update->velocity_bits;
    const uint32_t fraction = (1u << update->velocity_bits) - 1u;
    const int32_t high = (1 << update->weight_bits) - 1;
    uint32_t r = *prng;
    int32_t changed = 0;
    for (size_t i = 0; i < n; i++) {
        r = r * RANDOM_MULTIPLIER + RANDOM_INCREMENT;
        const int32_t g = fixed_clamp(
            fixed_floor(gradient[i] + (int32_t)(r >> (32u - s)), s), -32767, 32767);
        const int32_t kept =
            fixed_floor(velocity[i] * update->momentum + (int32_t)((r >> 8) & 255u), 8);
        const int32_t v = fixed_clamp(kept + g, -32767, 32767);
        const int32_t moved =
            w[i] - fixed_floor(v + (int32_t)((r >> 16) & fraction), update->velocity_bits);
        const int32_t moved_kept = fixed_clamp(moved, -high - 1, high);
        changed |= moved ^ moved_kept;
        velocity[i] = (int16_t)v;
        w[i] = (int16_t)moved_kept;
    }
    *prng = r;
    return changed != 0;
}

bool kernels_update(const kernels_layer_t *layer, const kernels_update_t *update, uint32_t *prng)
{
    const size_t inputs = layer->inputs;
    bool saturated = false;
    for (size_t j = 0; j < layer->outputs; j++) {
        for (size_t i = 0; i < inputs; i += BLOCK) {
            int32_t gradient[BLOCK];
            const size_t n = inputs - i < BLOCK ? inputs - i : BLOCK;
            int16_t *w = layer->weights + j * inputs + i;
            gradient_block(layer, update, j, i, n, gradient);
            const bool block =
                update->velocity == NULL
                    ? step_block(w, gradient, update, n, prng)
                    : step_block_momentum(w, update->velocity + j * inputs + i, gradient, update,
                                          n, prng);
            saturated = saturated || block;
        }
    }
    return saturated;
}
