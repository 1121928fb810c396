#include "dataset.h"

#include "bytes.h"
#include "order.h"
#include "protocol.h"

const uint8_t dataset_none[DATASET_BYTES];

/* Bytes of the table that says which feature a code stands for; none where features travel as they
 * are. */
static uint32_t table_bytes(const uint8_t *dataset, const mlp_t *m)
{
    const uint32_t bits = dataset[DATASET_AT_BITS];
    return bits == 0 ? 0 : mlp_element_size(m) << bits;
}

static uint32_t packed_bytes(const uint8_t *dataset, const mlp_t *m)
{
    const uint32_t bits = dataset[DATASET_AT_BITS];
    const uint32_t bytes = (uint32_t)mlp_feature_bytes(m);
    return bits == 0 ? bytes : ((bytes >> (mlp_element_size(m) - 1u)) * bits + 7u) / 8u;
}

uint32_t dataset_sample_bytes(const uint8_t *dataset, const mlp_t *m)
{
    return packed_bytes(dataset, m) + (uint32_t)mlp_target_bytes(m);
}

uint32_t dataset_bytes(const uint8_t *dataset, const mlp_t *m)
{
    const uint32_t head = DATASET_BYTES + table_bytes(dataset, m);
    const uint32_t samples = bytes_u32(dataset + DATASET_AT_SAMPLES);
    const uint32_t sample = dataset_sample_bytes(dataset, m);
    return samples > (INT32_MAX - head) / sample ? INT32_MAX : head + samples * sample;
}

/* Codes of `bits` bits, the first in the lowest bits of the first byte, become what the table says.
 * Range: a code begins in bits 0..7 and takes at most 8, so it lies inside 16 bits; the target
 * follows, so the second byte exists. */
static void unpack(const uint8_t *dataset, const mlp_t *m, const uint8_t *codes, uint8_t *features)
{
    const uint32_t bits = dataset[DATASET_AT_BITS], mask = (1u << bits) - 1u;
    const uint32_t element = mlp_element_size(m);
    const uint8_t *end = features + mlp_feature_bytes(m);
    dataset += DATASET_BYTES;
    for (uint32_t at = 0; features < end; at += bits, features += element) {
        const uint32_t code = (uint32_t)bytes_u16(codes + at / 8u) >> at % 8u & mask;
        const uint8_t *value = dataset + code * element;
        features[0] = value[0];
        features[element - 1u] = value[element - 1u];
    }
}

int dataset_put(const uint8_t *dataset, mlp_t *m, const uint8_t *sample)
{
    const uint8_t *features = sample;
    if (dataset[DATASET_AT_BITS] != 0) {
        features = mlp_free_row(m);
        unpack(dataset, m, sample, mlp_free_row(m));
    }
    return mlp_put_sample(m, features, sample + packed_bytes(dataset, m));
}

const uint8_t *dataset_at(const uint8_t *dataset, const mlp_t *m, uint32_t epoch, uint32_t place)
{
    if (dataset[DATASET_AT_SHUFFLE]) {
        place = order_at(bytes_u32(dataset + DATASET_AT_SAMPLES), epoch,
                         bytes_u32(dataset + DATASET_AT_SEED), place);
    }
    return dataset + DATASET_BYTES + table_bytes(dataset, m) +
           place * dataset_sample_bytes(dataset, m);
}
