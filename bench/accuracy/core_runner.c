/* Whole epochs through the core: the loop that a device's trainer runs, without the link.
 * bench/accuracy/core.py loads it by ctypes. */
#include <stddef.h>

#include "mlp.h"
#include "protocol.h"

size_t core_runner_model_bytes(void)
{
    return sizeof(mlp_t);
}

/* Trains every sample of `wire` once, in order; the last batch may be short.
 * lr_mantissa, lr_exponent: one pair a step of the epoch. Returns the core's status. */
int core_runner_epoch(mlp_t *m, const uint8_t *wire, uint32_t samples, uint16_t batch,
                      const uint16_t *lr_mantissa, const int8_t *lr_exponent)
{
    const size_t features = mlp_feature_bytes(m);
    const size_t stride = features + mlp_target_bytes(m);
    int status = STATUS_OK;
    for (uint32_t place = 0; status == STATUS_OK && place < samples; place++, wire += stride) {
        if (place % batch == 0) {
            const uint32_t left = samples - place;
            const uint32_t step = place / batch;
            status = mlp_begin_batch(m, (uint16_t)(left < batch ? left : batch),
                                     lr_mantissa[step], lr_exponent[step]);
        }
        if (status == STATUS_OK) {
            status = mlp_put_sample(m, wire, wire + features);
        }
    }
    return status;
}

/* Predictions of every sample of `wire`, [samples][mlp_predictions()]. Returns the status. */
int core_runner_predict(mlp_t *m, const uint8_t *wire, uint32_t samples, int32_t *predictions)
{
    const size_t stride = mlp_feature_bytes(m) + mlp_target_bytes(m);
    for (size_t i = 0; i < samples; i++) {
        mlp_result_t result;
        const int status = mlp_infer(m, wire + i * stride, NULL, &result);
        if (status != STATUS_OK) {
            return status;
        }
        for (uint32_t k = 0; k < mlp_predictions(m); k++) {
            *predictions++ = mlp_prediction(m, result.logits, k);
        }
    }
    return STATUS_OK;
}
