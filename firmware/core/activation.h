/* Hidden activations and their gradients. NUMERICS sections 3 and 5. */
#ifndef ACTIVATION_H
#define ACTIVATION_H

#include <stdint.h>

#include "norm.h"

typedef struct {
    uint8_t kind;   /* ACTIVATION_RELU .. ACTIVATION_SIGN */
    uint8_t bits;   /* ab, 4..15: mantissas are at most 2^ab - 1 */
    uint8_t format; /* storage of a row: INPUT_U8 or INPUT_I16 */
} activation_t;

/* Telemetry of ReLU and leaky; the others leave it alone. */
typedef struct {
    uint32_t magnitudes; /* all |v| before the clamp, or-ed: as many bits as amx, the largest */
    uint32_t saturated;  /* asat: values that the clamp changed */
} activation_stats_t;

/* Storage of a row: unsigned bytes where no mantissa is negative and all fit. */
uint8_t activation_format(uint8_t kind, uint8_t bits);

/* a = f(acc) into elements first .. first + count - 1 of a row; acc_exponent: e of acc;
 * out_exponent: eX of the row. `gate`, an entry for each element of the row, is written by sign
 * only: whether the gradient passes the unit. */
void activation_forward(const activation_t *activation, const int32_t *acc, uint32_t first,
                        uint32_t count, int32_t acc_exponent, int32_t out_exponent, void *row,
                        uint8_t *gate, activation_stats_t *stats);

/* Multiplies the error by f' at the activations `row` (sign: by `gate`), in place.
 * |error| < 2^31 - 1. Returns what to add to the error's exponent, and in *code the largest code
 * of norm.h. */
int32_t activation_backward(const activation_t *activation, const void *row, const uint8_t *gate,
                            uint32_t count, norm_vector_t error, uint32_t *code);

#endif
