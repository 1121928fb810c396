#include "mlp_model.h"

#include "bytes.h"
#include "fixed.h"
#include "mlp_internal.h"

#include <string.h>

_Static_assert(MODEL_BYTES >= LAYER_BYTES, "a record buffer holds either");

uint32_t mlp_model_bytes(const mlp_t *m)
{
    return m->layer_count == 0 ? 0 : MODEL_BYTES + (uint32_t)m->layer_count * LAYER_BYTES;
}

static void encode_layer(const mlp_layer_t *layer, uint8_t *record)
{
    bytes_put_u16(record + LAYER_AT_WIDTH, layer->outputs);
    record[LAYER_AT_ACTIVATION] = layer->activation;
    record[LAYER_AT_ACTIVATION_BITS] = layer->activation_bits;
    record[LAYER_AT_WEIGHT_BITS] = layer->weight_bits;
    record[LAYER_AT_DELTA_BITS] = layer->delta_bits;
}

void mlp_model_read(const mlp_t *m, uint32_t offset, uint8_t *bytes, size_t count)
{
    uint8_t record[MODEL_BYTES];
    uint32_t start = 0, size = MODEL_BYTES;
    memcpy(record, m->model, sizeof record);
    for (uint32_t l = 0; count > 0; l++) {
        for (; offset < start + size && count > 0; count--) {
            *bytes++ = record[offset++ - start];
        }
        start += size;
        size = LAYER_BYTES;
        if (l < m->layer_count) {
            encode_layer(mlp_layer(m, l), record);
        }
    }
}

bool mlp_features_valid(const mlp_t *m, const uint8_t *features)
{
    const mlp_layer_t *layer = mlp_layer(m, 0);
    if (layer->format == INPUT_U8 && m->input_max == 255) {
        return true;
    }
    for (uint32_t i = 0; i < layer->inputs; i++) {
        const int32_t x = layer->format == INPUT_U8   ? features[i]
                          : layer->format == INPUT_I8 ? (int8_t)features[i]
                                                      : (int16_t)bytes_u16(features + 2 * i);
        if (fixed_abs(x) > m->input_max) {
            return false;
        }
    }
    return true;
}
