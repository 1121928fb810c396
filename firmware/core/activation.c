#include "speed.h"
#include "activation.h"

#include <stddef.h>

#include "fixed.h"
#include "functions.h"
#include "norm.h"
#include "protocol.h"
#include "vector.h"

static inline uint32_t rectified(int32_t z, uint32_t half, uint32_t shift)
{
    return ((uint32_t)(z & ~fixed_floor(z, 31)) + half) >> shift;
}

/* a = RN(max(z, 0), shift), 1 <= shift <= 31, where that fits a byte; returns all values or-ed.
 * Section 3. RN(z, shift) = (z + 2^(shift-1)) >> shift for z >= 0.
 * Range: z < 2^31 and 2^(shift-1) <= 2^30: the unsigned sum is below 2^32. */
static __attribute__((noinline)) uint32_t rectify_small(const int32_t *acc, uint32_t count,
                                                        uint32_t shift, uint8_t *row)
{
    const uint32_t half = 1u << (shift - 1u);
    const int32_t *end = acc + (count & ~1u);
    uint32_t magnitudes = 0;
    for (; acc != end; acc += 2, row += 2) {
        const uint32_t even = rectified(acc[0], half, shift), odd = rectified(acc[1], half, shift);
        magnitudes |= even | odd;
        row[0] = (uint8_t)even;
        row[1] = (uint8_t)odd;
    }
    if (count % 2u != 0) {
        const uint32_t v = rectified(*acc, half, shift);
        magnitudes |= v;
        *row = (uint8_t)v;
    }
    return magnitudes;
}

#include "size.h"

uint8_t activation_format(uint8_t kind, uint8_t bits)
{
    const int is_positive = kind == ACTIVATION_RELU || kind == ACTIVATION_SIGMOID;
    return is_positive && bits <= 8 ? INPUT_U8 : INPUT_I16;
}

static void store(const activation_t *activation, void *row, uint32_t i, int32_t a)
{
    if (activation->format == INPUT_U8) {
        ((uint8_t *)row)[i] = (uint8_t)a;
    } else {
        ((int16_t *)row)[i] = (int16_t)a;
    }
}

static int32_t load(const activation_t *activation, const void *row, uint32_t i)
{
    return activation->format == INPUT_U8 ? ((const uint8_t *)row)[i] : ((const int16_t *)row)[i];
}

/* Section 3. q = RS(z, -11 - e, 32767) in Q11.
 *   ReLU, leaky    v = RS(z, shift), z < 0: 0 or z / 8
 *   sigmoid, tanh  v = RN(f(q), 15 - ab)
 *   sign           v = 2^(ab - 1) with the sign of z, + for 0; the gradient passes where |q| <= 1
 * a = clamp(v). Range: |z| < 2^31 - 1 (section 2, budget 1), as fixed_round() needs. */
static int32_t activate(const activation_t *activation, int32_t z, int32_t acc_exponent,
                        int32_t shift, uint8_t *gate)
{
    if (activation->kind == ACTIVATION_RELU || activation->kind == ACTIVATION_LEAKY) {
        if (z < 0) {
            z = activation->kind == ACTIVATION_LEAKY ? fixed_floor(z, 3) : 0;
        }
        return fixed_scale(z, shift, INT32_MAX);
    }
    const int32_t q = fixed_scale(z, -11 - acc_exponent, 32767);
    if (activation->kind == ACTIVATION_SIGN) {
        const int32_t one = 1 << (activation->bits - 1);
        *gate = q >= -2048 && q <= 2048;
        return z < 0 ? -one : one;
    }
    const int32_t y = activation->kind == ACTIVATION_TANH ? functions_tanh_q15(q)
                                                          : functions_sigmoid_q15(q);
    return fixed_round(y, 15 - activation->bits);
}

void activation_forward(const activation_t *activation, const int32_t *acc, uint32_t first,
                        uint32_t count, int32_t acc_exponent, int32_t out_exponent, void *row,
                        uint8_t *gate, activation_stats_t *stats)
{
    row = (uint8_t *)row + (activation->format == INPUT_U8 ? first : 2u * first);
    const int32_t shift = out_exponent - acc_exponent;
    if (activation->kind == ACTIVATION_RELU && activation->format == INPUT_U8 && shift >= 1 &&
        shift <= 31) {
        const uint32_t magnitudes = rectify_small(acc, count, (uint32_t)shift, row);
        if (magnitudes >> activation->bits == 0) {
            stats->magnitudes |= magnitudes;
            return;
        }
    }
    const bool counts =
        activation->kind == ACTIVATION_RELU || activation->kind == ACTIVATION_LEAKY;
    const int32_t limit = (1 << activation->bits) - 1;
    gate += first;
    for (uint32_t i = 0; i < count; i++) {
        const int32_t v = activate(activation, acc[i], acc_exponent, shift, gate + i);
        const int32_t a = fixed_clamp(v, -limit, limit);
        if (counts) {
            stats->magnitudes |= fixed_abs(v);
            stats->saturated += a != v;
        }
        store(activation, row, i, a);
    }
}

/* f'(a) in Q15: a (1 - a) for sigmoid, 1 - a^2 for tanh. Section 5.
 * Range: |a| < 2^ab <= 2^15, so the product is at most 2^30 and the result at most 2^15. */
static int32_t slope_q15(const activation_t *activation, int32_t a)
{
    const int32_t bits = activation->bits;
    const int32_t q = activation->kind == ACTIVATION_SIGMOID ? a * ((1 << bits) - a)
                                                              : (1 << (2 * bits)) - a * a;
    return fixed_scale(q, 2 * bits - 15, 1 << 15);
}

/* Range: the mantissas of NORM(e, 15) are below 2^15, times a slope of at most 2^15: 2^30. */
static int32_t multiply_by_slope(const activation_t *activation, const void *row, uint32_t count,
                                 norm_vector_t error)
{
    const int32_t shift = norm_shift(norm_largest(error, (count + 1u) / 2u), 15);
    for (uint32_t i = 0; i < count; i++) {
        int32_t *e = norm_element(error, i);
        *e = norm_mantissa(*e, shift, 15) * slope_q15(activation, load(activation, row, i));
    }
    return shift - 15;
}

/* e = 0 (ReLU) or e / 8 (leaky) where a <= 0. */
static void rectify_error(const activation_t *activation, const void *row, uint32_t count,
                          norm_vector_t error)
{
    for (uint32_t i = 0; i < count; i++) {
        if (load(activation, row, i) <= 0) {
            int32_t *e = norm_element(error, i);
            *e = activation->kind == ACTIVATION_LEAKY ? fixed_floor(*e, 3) : 0;
        }
    }
}

int32_t activation_backward(const activation_t *activation, const void *row, const uint8_t *gate,
                            uint32_t count, norm_vector_t error, uint32_t *code)
{
    const uint32_t pairs = (count + 1u) / 2u;
    const uint8_t *gates = NULL;
    int32_t exponent = 0;
    if (count % 2u != 0) {
        *norm_element(error, count) = 0;
    }
    if (activation->kind == ACTIVATION_RELU && activation->format == INPUT_U8) {
        gates = row;
    } else if (activation->kind == ACTIVATION_SIGN) {
        gates = gate;
    } else if (activation->kind == ACTIVATION_SIGMOID || activation->kind == ACTIVATION_TANH) {
        exponent = multiply_by_slope(activation, row, count, error);
    } else {
        rectify_error(activation, row, count, error);
    }
    *code = gates == NULL ? norm_largest(error, pairs)
                           : norm_largest_gated(error, pairs, gates);
    return exponent;
}
