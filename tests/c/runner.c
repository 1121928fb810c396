/* The core behind a few calls that take whole arrays; tests/core_library.py loads it by ctypes. */
#include "fixed.h"
#include "functions.h"
#include "mlp.h"
#include "order.h"
#include "protocol.h"
#include "random.h"

size_t runner_model_bytes(void)
{
    return sizeof(mlp_t);
}

/* Announces a batch and puts its samples; stops at the first refusal. */
int runner_step(mlp_t *m, const uint8_t *samples, uint16_t count, uint16_t lr_mantissa,
                int8_t lr_exponent)
{
    const size_t features = mlp_feature_bytes(m);
    const size_t stride = features + mlp_target_bytes(m);
    int status = mlp_begin_batch(m, count, lr_mantissa, lr_exponent);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        status = mlp_put_sample(m, samples + i * stride, samples + i * stride + features);
    }
    return status;
}

/* Infers `count` samples with their targets: logits and predictions of all, loss, correct. */
int runner_infer(mlp_t *m, const uint8_t *samples, size_t count, int32_t *logits,
                 int32_t *predictions, uint32_t *losses, uint8_t *correct)
{
    const size_t features = mlp_feature_bytes(m);
    const size_t stride = features + mlp_target_bytes(m);
    for (size_t i = 0; i < count; i++) {
        mlp_result_t result;
        const uint8_t *sample = samples + i * stride;
        const int status = mlp_infer(m, sample, sample + features, &result);
        if (status != STATUS_OK) {
            return status;
        }
        for (uint32_t k = 0; k < mlp_outputs(m); k++) {
            *logits++ = result.logits[k];
        }
        for (uint32_t k = 0; k < mlp_predictions(m); k++) {
            *predictions++ = mlp_prediction(m, result.logits, k);
        }
        losses[i] = result.loss;
        correct[i] = result.correct;
    }
    return STATUS_OK;
}

void runner_round(const int32_t *v, size_t count, int32_t s, int32_t *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = fixed_round(v[i], s);
    }
}

void runner_scale(const int32_t *v, size_t count, int32_t s, int32_t limit, int32_t *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = fixed_scale(v[i], s, limit);
    }
}

void runner_floor(const int32_t *v, size_t count, uint32_t s, int32_t *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = fixed_floor(v[i], s);
    }
}

void runner_bits(const uint32_t *u, size_t count, int32_t *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = fixed_bits(u[i]);
    }
}

void runner_sigmoid(const int32_t *q_q11, size_t count, int32_t *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = functions_sigmoid_q15(q_q11[i]);
    }
}

void runner_tanh(const int32_t *q_q11, size_t count, int32_t *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = functions_tanh_q15(q_q11[i]);
    }
}

void runner_order(uint32_t samples, uint32_t epoch, uint32_t seed, uint32_t *out)
{
    for (uint32_t place = 0; place < samples; place++) {
        out[place] = order_at(samples, epoch, seed, place);
    }
}

void runner_draws(uint32_t state, size_t count, uint32_t *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = random_draw(&state);
    }
}

uint32_t runner_ahead(uint32_t state, uint32_t draws)
{
    return random_ahead(state, draws);
}
