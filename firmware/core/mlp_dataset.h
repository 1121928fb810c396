/* How the samples of a run travel, and the samples themselves where the host left them on the
 * device: the DATASET region of docs/PROTOCOL.md, as it lies in the arena. All need a model. */
#ifndef MLP_DATASET_H
#define MLP_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "mlp.h"

/* A region without samples, whose samples travel as the model stores them. */
extern const uint8_t mlp_dataset_none[];

/* Where a region begins: behind the model. */
uint8_t *mlp_dataset_place(const mlp_t *m);

/* Bytes of the region that begins with the head `dataset`; at most INT32_MAX, which stands for
 * anything larger. */
uint32_t mlp_dataset_bytes(const mlp_t *m, const uint8_t *dataset);

/* Bytes of one sample as it travels: packed features, then the target. */
uint32_t mlp_dataset_sample_bytes(const mlp_t *m, const uint8_t *dataset);

/* Puts a sample as it travels. Returns what mlp_put_sample() returns. */
int mlp_dataset_put(mlp_t *m, const uint8_t *dataset, const uint8_t *sample);

/* The same with mlp_put_part(). */
int mlp_dataset_put_part(mlp_t *m, const uint8_t *dataset, const uint8_t *sample);

/* What stands at a position of a run: the samples of the batch that begins there, the last of an
 * epoch may be short; and the sample. The region holds samples. */
uint16_t mlp_dataset_batch(const mlp_t *m, const uint8_t *dataset, uint32_t position);
const uint8_t *mlp_dataset_at(const mlp_t *m, const uint8_t *dataset, uint32_t position);

#endif
