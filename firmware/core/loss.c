#include "speed.h"
#include "loss.h"

#include "fixed.h"
#include "functions.h"
#include "protocol.h"
#include "vector.h"

#include <stddef.h>

/* Index of the largest logit, the lowest on a tie. */
static uint32_t largest(const int32_t *z, uint32_t outputs)
{
    uint32_t best = 0;
#ifdef VECTOR
    const int32_t top = vector_top(z, outputs);
    while (z[best] != top) {
        best++;
    }
#else
    for (uint32_t k = 1; k < outputs; k++) {
        best = z[k] > z[best] ? k : best;
    }
#endif
    return best;
}

/* u = (t * 23637) >> 14, t = distance to the largest logit in Q10: the same distance in powers of
 * two. Range: t <= 32767, so the product is below 2^30. */
static inline uint32_t distance_q10(uint32_t distance, int32_t exponent)
{
    const int32_t s = -10 - exponent;
    uint32_t t = 0;
    if (s >= 0) {
        t = s >= 32 ? 0 : distance >> s;
        t = t < 32767u ? t : 32767u;
    } else {
        const uint32_t k = s < -31 ? 31u : (uint32_t)-s;
        t = distance > 32767u >> k ? 32767u : distance << k;
    }
    return (t * 23637u) >> 14;
}

/* ex_k of every logit, `top` the largest of them; returns their sum. `ex` may be NULL, or z. */
static uint32_t exponentials(const int32_t *z, uint32_t outputs, int32_t top, int32_t exponent,
                             int32_t *ex)
{
#ifdef VECTOR
    return vector_exponentials(z, outputs, top, exponent, ex);
#else
    uint32_t sum = 0;
    for (uint32_t k = 0; k < outputs; k++) {
        const uint32_t value =
            functions_exp2_q16(distance_q10((uint32_t)top - (uint32_t)z[k], exponent));
        sum += value;
        if (ex != NULL) {
            ex[k] = (int32_t)value;
        }
    }
    return sum;
#endif
}

#if defined(__arm__) && !defined(__ARM_FEATURE_IDIV)

/* 2^31 / sum. */
static uint32_t reciprocal(uint32_t sum)
{
    return 0x80000000u / sum;
}

/* ((ex << 15) + (sum >> 1)) / sum without a division: `inverse` is less than 1 too small and
 * ex < 2^16, so (ex * inverse) >> 16 is less than 2 below ex * 2^15 / sum, and less than 2.5 below
 * the quotient. Range: inverse <= 2^31 / 65535 < 2^16; the rest is below 3 * 2^22. */
static uint32_t probability(uint32_t ex, uint32_t sum, uint32_t inverse)
{
    uint32_t p = (ex * inverse) >> 16;
    uint32_t rest = (ex << 15) + (sum >> 1) - p * sum;
    for (; rest >= sum; rest -= sum) {
        p++;
    }
    return p;
}

#else

static uint32_t reciprocal(uint32_t sum)
{
    return sum;
}

static uint32_t probability(uint32_t ex, uint32_t sum, uint32_t inverse)
{
    (void)inverse;
    return ((ex << 15) + (sum >> 1)) / sum;
}

#endif

/* p_k = ex_k / sum(ex) in Q15, error = p_k - [k = y]; loss = -log2(p_y) in Q10.
 * Range: the largest logit has ex = 65535, so 65535 <= sum <= 64 * 65535 and ex << 15 plus half
 * the sum stays below 2^32; log2(sum) >= 16 * 1024. */
static uint32_t softmax(const int32_t *z, uint32_t outputs, int32_t exponent, uint32_t wanted,
                        int32_t *error, bool *correct)
{
    const uint32_t best = largest(z, outputs);
    const int32_t top = z[best];
    const uint32_t wanted_q10 = distance_q10((uint32_t)top - (uint32_t)z[wanted], exponent);
    const uint32_t sum = exponentials(z, outputs, top, exponent, error);
    if (error != NULL) {
        const uint32_t inverse = reciprocal(sum);
        for (uint32_t k = 0; k < outputs; k++) {
            error[k] = (int32_t)probability((uint32_t)error[k], sum, inverse);
        }
        error[wanted] -= 32768;
    }
    *correct = best == wanted;
    return wanted_q10 + functions_log2_q10(sum) - 16u * 1024u;
}

#include "size.h"

/* q^2 with q = RS(v, s, 2047): the share of one output in the reported loss, below 2^22. */
static uint32_t square(int32_t v, int32_t s)
{
    const int32_t q = fixed_scale(v, s, 2047);
    return (uint32_t)(q * q);
}

static int32_t linear_q16(int32_t z, int32_t exponent)
{
    return fixed_scale(z, -16 - exponent, LIMIT_TARGET_MAX);
}

/* error = y - t; or a = sigmoid(z) and error = a - t, for squared error times a (1 - a).
 * Range: y and t are at most 2^26; |a - t| <= 2^15 and RN(a (1 - a)) <= 2^13: 2^28. */
static uint32_t separate_loss(uint8_t kind, const int32_t *z, uint32_t outputs, int32_t exponent,
                              loss_target_t target, int32_t *error, bool *correct)
{
    uint32_t loss = 0;
    *correct = kind != LOSS_SQUARED_ERROR;
    for (uint32_t k = 0; k < outputs; k++) {
        int32_t d, factor = 1, share = 8;
        if (kind == LOSS_SQUARED_ERROR) {
            d = linear_q16(z[k], exponent) - target.q16[k];
        } else {
            const int32_t a = functions_sigmoid_q15(fixed_scale(z[k], -11 - exponent, 32767));
            const int32_t target_q15 = target.small[k / 2u * target.step + k % 2u];
            d = a - target_q15;
            share = 7;
            *correct = *correct && (z[k] > 0) == (target_q15 >= 16384);
            if (kind == LOSS_SIGMOID_SQUARED_ERROR) {
                factor = fixed_round(a * (32768 - a), 15);
            }
        }
        loss += square(d, share);
        if (error != NULL) {
            error[k] = d * factor;
        }
    }
    return loss;
}

uint32_t loss_evaluate(uint8_t kind, const int32_t *z, uint32_t outputs, int32_t exponent,
                       loss_target_t target, int32_t *error, bool *correct)
{
    return kind == LOSS_SOFTMAX_CROSS_ENTROPY
               ? softmax(z, outputs, exponent, target.small[0], error, correct)
               : separate_loss(kind, z, outputs, exponent, target, error, correct);
}

int32_t loss_error_exponent(uint8_t kind)
{
    switch (kind) {
    case LOSS_SQUARED_ERROR:
        return -16;
    case LOSS_SIGMOID_SQUARED_ERROR:
        return -30;
    default:
        return -15;
    }
}

int32_t loss_prediction(uint8_t kind, const int32_t *z, uint32_t outputs, int32_t exponent,
                        uint32_t i)
{
    switch (kind) {
    case LOSS_SOFTMAX_CROSS_ENTROPY:
        return (int32_t)largest(z, outputs);
    case LOSS_SQUARED_ERROR:
        return linear_q16(z[i], exponent);
    default:
        return z[i] > 0;
    }
}
