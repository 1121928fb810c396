/* Losses: prediction, reported loss, and the error that starts the backward pass.
 * NUMERICS sections 3 (last layer) and 4. */
#ifndef LOSS_H
#define LOSS_H

#include <stdbool.h>
#include <stdint.h>

/* A sample's target as it waits for its step. */
typedef struct {
    const uint16_t *small; /* softmax: the class; sigmoid losses: Q15 per output, in pairs */
    uint32_t step;         /* elements of `small` from one pair of outputs to the next */
    const int32_t *q16;    /* squared error: Q16 per output */
} loss_target_t;

/* Evaluates the logits z[outputs] of exponent `exponent` against the target. Returns the reported
 * loss; *correct tells whether the prediction equals the target (never for linear outputs).
 * With `error` not NULL the error vector is written there; it may be z itself. */
uint32_t loss_evaluate(uint8_t kind, const int32_t *z, uint32_t outputs, int32_t exponent,
                       loss_target_t target, int32_t *error, bool *correct);

/* Exponent of the error vector. */
int32_t loss_error_exponent(uint8_t kind);

/* Prediction i: the class (softmax), 0 or 1 (sigmoid losses), Q16 (squared error). */
int32_t loss_prediction(uint8_t kind, const int32_t *z, uint32_t outputs, int32_t exponent,
                        uint32_t i);

#endif
