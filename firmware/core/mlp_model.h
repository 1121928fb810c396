/* The MODEL region as it was loaded, and the range of its features. */
#ifndef MLP_MODEL_H
#define MLP_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mlp.h"

/* Canonical bytes of docs/PROTOCOL.md, region MODEL; 0 bytes where none is loaded. */
uint32_t mlp_model_bytes(const mlp_t *m);

/* Rebuilds `count` bytes from `offset` on, which lie inside the region. */
void mlp_model_read(const mlp_t *m, uint32_t offset, uint8_t *bytes, size_t count);

/* True if no feature of one sample is beyond A[0]. */
bool mlp_features_valid(const mlp_t *m, const uint8_t *features);

#endif
