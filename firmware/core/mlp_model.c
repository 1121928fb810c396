#include "mlp_model.h"

#include "bytes.h"
#include "fixed.h"
#include "mlp_internal.h"

_Static_assert(MODEL_BYTES >= LAYER_BYTES, "a record buffer holds either");

uint32_t mlp_model_bytes(const mlp_t *m)
{
    return m->layer_count == 0 ? 0 : MODEL_BYTES + (uint32_t)m->layer_count * LAYER_BYTES;
}

static void encode_head(const mlp_t *m, uint8_t *record)
{
    const mlp_layer_t *first = mlp_layer(m, 0);
    record[MODEL_AT_NUMERICS] = NUMERICS_VERSION;
    record[MODEL_AT_LAYER_COUNT] = m->layer_count;
    record[MODEL_AT_LOSS] = m->loss;
    record[MODEL_AT_FLAGS] = m->flags;
    bytes_put_u16(record + MODEL_AT_BATCH, m->batch);
    bytes_put_u16(record + MODEL_AT_INPUT_MAX, m->input_max);
    record[MODEL_AT_INPUT_FORMAT] = first->format;
    record[MODEL_AT_UPDATE_BITS] = m->update_bits;
    record[MODEL_AT_MOMENTUM] = m->momentum;
    record[MODEL_AT_VELOCITY_BITS] = m->velocity_bits;
    record[MODEL_AT_CLIP_EXPONENT] = (uint8_t)m->clip_exponent;
    record[MODEL_AT_DECAY_SHIFT] = m->decay_shift;
    bytes_put_u32(record + MODEL_AT_DECAY_EVERY, m->decay_every);
    bytes_put_u16(record + MODEL_AT_INPUT_WIDTH, first->inputs);
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
    encode_head(m, record);
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
