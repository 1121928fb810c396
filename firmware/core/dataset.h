/* How the samples of a run travel, and the samples themselves where the host left them on the
 * device: the DATASET region of docs/PROTOCOL.md, as it lies in the arena. */
#ifndef DATASET_H
#define DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "mlp.h"

/* A region without samples, whose samples travel as the model stores them. */
extern const uint8_t dataset_none[];

/* Bytes of the region that begins with the header `dataset`; at most INT32_MAX, which stands for
 * anything larger. */
uint32_t dataset_bytes(const uint8_t *dataset, const mlp_t *m);

/* Bytes of one sample as it travels: packed features, then the target. */
uint32_t dataset_sample_bytes(const uint8_t *dataset, const mlp_t *m);

/* Puts a sample as it travels: unpacks its features. Returns what mlp_put_sample() returns. */
int dataset_put(const uint8_t *dataset, mlp_t *m, const uint8_t *sample);

/* The sample at `place` of an epoch; the region holds samples. */
const uint8_t *dataset_at(const uint8_t *dataset, const mlp_t *m, uint32_t epoch, uint32_t place);

#endif
