/* A part of a batch that several boards share: the last of its samples runs forward, loss and
 * backward only, and the batch is held. The host reads what exponents it wants, tells those of the
 * whole batch, reads the sums of the gradients and applies the update (docs/PROTOCOL.md). */
#ifndef MLP_PART_H
#define MLP_PART_H

#include <stdbool.h>
#include <stdint.h>

#include "mlp.h"

/* As mlp_put_sample(), but the last sample of the announced batch leaves it held: mlp_start() ends
 * that. Until then no sample is taken, and mlp_infer() must not be called. */
int mlp_put_part(mlp_t *m, const uint8_t *features, const uint8_t *target);

bool mlp_part_held(const mlp_t *m);

/* What a held part wants, in words of docs/PROTOCOL.md, region REACH: two a layer. */
uint32_t mlp_reach_words(const mlp_t *m);
uint32_t mlp_reach_word(const mlp_t *m, uint32_t index);

/* Scales the deltas of a held part to exponents that all parts share: i32 for each layer, those of
 * frozen ones are ignored. Once: again it changes nothing. Returns STATUS_OK; or STATUS_BAD_STATE,
 * having done nothing, where no batch in this state has such an exponent. */
int mlp_part_scale(mlp_t *m, const uint8_t *exponents);

/* Sums of a part, in words of region GRADIENT; none before it is scaled. */
uint32_t mlp_gradient_words(const mlp_t *m);
uint32_t mlp_gradient_word(const mlp_t *m, uint32_t index);

#endif
