#include "mlp_dataset.h"

#include "bytes.h"
#include "mlp_internal.h"
#include "mlp_part.h"
#include "order.h"

const uint8_t mlp_dataset_none[DATASET_BYTES];

uint8_t *mlp_dataset_place(const mlp_t *m)
{
    return m->arena + m->work + m->work_bytes;
}

/* Bytes of head and table. The table says which feature a code stands for; there is none where
 * features travel as they are. */
static __attribute__((noinline)) uint32_t head_bytes(const mlp_t *m, const uint8_t *dataset)
{
    const uint32_t bits = dataset[DATASET_AT_BITS];
    const uint32_t element = mlp_element_bytes(mlp_layer(m, 0)->format);
    return DATASET_BYTES + (bits == 0 ? 0 : element << bits);
}

static uint32_t packed_bytes(const mlp_t *m, const uint8_t *dataset)
{
    const uint32_t bits = dataset[DATASET_AT_BITS];
    return bits == 0 ? (uint32_t)mlp_feature_bytes(m)
                     : (mlp_layer(m, 0)->inputs * bits + 7u) / 8u;
}

uint32_t mlp_dataset_sample_bytes(const mlp_t *m, const uint8_t *dataset)
{
    return packed_bytes(m, dataset) + (uint32_t)mlp_target_bytes(m);
}

uint32_t mlp_dataset_bytes(const mlp_t *m, const uint8_t *dataset)
{
    const uint32_t head = head_bytes(m, dataset);
    const uint32_t samples = bytes_u32(dataset + DATASET_AT_SAMPLES);
    const uint32_t sample = mlp_dataset_sample_bytes(m, dataset);
    return samples > (INT32_MAX - head) / sample ? INT32_MAX : head + samples * sample;
}

/* Codes of `bits` bits, the first in the lowest bits of the first byte, become what the table says.
 * Range: a code begins in bits 0..7 and takes at most 8, so it lies inside 16 bits; the target
 * follows, so the second byte exists. */
static void unpack(const mlp_layer_t *layer, const uint8_t *dataset, const uint8_t *codes,
                   uint8_t *features)
{
    const uint32_t bits = dataset[DATASET_AT_BITS], mask = (1u << bits) - 1u;
    const uint32_t element = mlp_element_bytes(layer->format), end = layer->inputs * bits;
    for (uint32_t at = 0; at < end; at += bits, features += element) {
        const uint32_t code = (uint32_t)bytes_u16(codes + at / 8u) >> at % 8u & mask;
        const uint8_t *value = dataset + DATASET_BYTES + code * element;
        features[0] = value[0];
        features[element - 1u] = value[element - 1u];
    }
}

/* The features of a sample, as the model stores them. */
static const uint8_t *features_of(const mlp_t *m, const uint8_t *dataset, const uint8_t *sample)
{
    const uint8_t *features = sample;
    if (dataset[DATASET_AT_BITS] != 0) {
        const mlp_layer_t *layer = mlp_layer(m, 0);
        uint8_t *row = mlp_row(m, layer, m->collected);
        unpack(layer, dataset, sample, row);
        features = row;
    }
    return features;
}

int mlp_dataset_put(mlp_t *m, const uint8_t *dataset, const uint8_t *sample)
{
    const uint8_t *features = features_of(m, dataset, sample);
    return mlp_put_sample(m, features, sample + packed_bytes(m, dataset));
}

int mlp_dataset_put_part(mlp_t *m, const uint8_t *dataset, const uint8_t *sample)
{
    const uint8_t *features = features_of(m, dataset, sample);
    return mlp_put_part(m, features, sample + packed_bytes(m, dataset));
}

uint16_t mlp_dataset_batch(const mlp_t *m, const uint8_t *dataset, uint32_t position)
{
    const uint32_t samples = bytes_u32(dataset + DATASET_AT_SAMPLES);
    const uint32_t left = samples - position % samples;
    return (uint16_t)(left < m->batch ? left : m->batch);
}

const uint8_t *mlp_dataset_at(const mlp_t *m, const uint8_t *dataset, uint32_t position)
{
    const uint32_t samples = bytes_u32(dataset + DATASET_AT_SAMPLES);
    uint32_t place = position % samples;
    if (dataset[DATASET_AT_SHUFFLE]) {
        place = order_at(samples, position / samples, bytes_u32(dataset + DATASET_AT_SEED), place);
    }
    return dataset + head_bytes(m, dataset) + place * mlp_dataset_sample_bytes(m, dataset);
}
