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
 * Range: fewer than 8 bits wait when a byte comes. */
static void unpack(const uint8_t *dataset, const mlp_t *m, const uint8_t *codes, uint8_t *features)
{
    const uint32_t bits = dataset[DATASET_AT_BITS], element = mlp_element_size(m);
    const uint8_t *end = features + mlp_feature_bytes(m);
    uint32_t waiting = 0, count = 0;
    while (features < end) {
        if (count < bits) {
            waiting |= (uint32_t)*codes++ << count;
            count += 8;
        }
        const uint8_t *value = dataset + DATASET_BYTES +
                               element * (waiting & ((1u << bits) - 1u));
        waiting >>= bits;
        count -= bits;
        features[0] = value[0];
        features[element - 1u] = value[element - 1u];
        features += element;
    }
}

int dataset_put(const uint8_t *dataset, mlp_t *m, const uint8_t *sample)
{
    const uint8_t *features = sample;
    if (dataset[DATASET_AT_BITS] != 0) {
        uint8_t *row = mlp_free_row(m);
        unpack(dataset, m, sample, row);
        features = row;
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
