/* Trains and infers whatever jobs stand on stdin and prints every digest and loss: made to run
 * under sanitizers. Every buffer has exactly its size, so that a byte too far is found.
 *
 * A job, little-endian: model bytes u32, state bytes u32, steps u32, MODEL, STATE; then per step
 * size u16, lr_mantissa u16, lr_exponent i8, samples as in DATA. */
#include "mlp.h"
#include "protocol.h"

#include <stdio.h>
#include <stdlib.h>

static void fail(const char *what, int status)
{
    fprintf(stderr, "%s: status %d\n", what, status);
    exit(1);
}

/* Returns `count` bytes of stdin in their own allocation; NULL at the end of the input. */
static uint8_t *take(size_t count)
{
    uint8_t *bytes = malloc(count == 0 ? 1 : count);
    if (bytes == NULL || fread(bytes, 1, count, stdin) != count) {
        free(bytes);
        return NULL;
    }
    return bytes;
}

static uint32_t take_number(size_t width)
{
    uint8_t *bytes = take(width);
    uint32_t value = 0;
    for (size_t i = 0; bytes != NULL && i < width; i++) {
        value |= (uint32_t)bytes[i] << (8 * i);
    }
    free(bytes);
    return value;
}

static void check(const char *what, int status)
{
    if (status != STATUS_OK) {
        fail(what, status);
    }
}

static void run_step(mlp_t *m)
{
    const uint16_t size = (uint16_t)take_number(2);
    const uint16_t lr_mantissa = (uint16_t)take_number(2);
    const int8_t lr_exponent = (int8_t)take_number(1);
    check("batch", mlp_begin_batch(m, size, lr_mantissa, lr_exponent));
    for (uint16_t i = 0; i < size; i++) {
        uint8_t *features = take(mlp_feature_bytes(m));
        uint8_t *target = take(mlp_target_bytes(m));
        mlp_result_t result;
        check("inference", mlp_infer(m, features, i % 2 ? target : NULL, &result));
        for (uint32_t k = 0; k < mlp_predictions(m); k++) {
            (void)mlp_prediction(m, result.logits, k);
        }
        check("sample", mlp_put_sample(m, features, target));
        free(features);
        free(target);
    }
    printf("%u %llu\n", mlp_digest(m), (unsigned long long)mlp_counters(m)->loss_sum);
}

int main(void)
{
    for (uint32_t model_bytes = take_number(4); model_bytes != 0; model_bytes = take_number(4)) {
        const uint32_t state_bytes = take_number(4);
        const uint32_t steps = take_number(4);
        uint8_t *model = take(model_bytes);
        uint8_t *state = take(state_bytes);
        mlp_t m;
        uint32_t needed = 0;
        if (mlp_configure(&m, model, model_bytes, NULL, 0, &needed) != STATUS_NO_MEMORY) {
            fail("size of the arena", 0);
        }
        void *arena = malloc(needed);
        check("model", mlp_configure(&m, model, model_bytes, arena, needed, &needed));
        check("state", mlp_state_write(&m, 0, state, state_bytes));
        check("start", mlp_start(&m));
        for (uint32_t i = 0; i < steps; i++) {
            run_step(&m);
        }
        check("reading", mlp_state_read(&m, 0, state, state_bytes));
        free(arena);
        free(state);
        free(model);
    }
    return 0;
}
