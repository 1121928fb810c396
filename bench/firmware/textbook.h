/* What the yardsticks share. A yardstick is a trainer as textbooks write it: row-major weights, one
 * sample after the other, a gradient buffer, plain loops; ReLU, softmax cross-entropy, SGD.
 *
 * The job in memory, u32 each: layers, batch, steps, widths (layers + 1), bound of the initial
 * weights of each layer in Q12; then the samples, n0 bytes and a class byte each. */
#ifndef TEXTBOOK_H
#define TEXTBOOK_H

#include <stdint.h>

#define TEXTBOOK_LAYERS_MAX 8u
#define TEXTBOOK_WIDTH_MAX 1024u
#define TEXTBOOK_RATE_SHIFT 3u /* learning rate 2^-3 */

typedef struct {
    uint32_t layers, batch, steps;
    uint32_t width[TEXTBOOK_LAYERS_MAX + 1u];
    uint32_t bound_q12[TEXTBOOK_LAYERS_MAX];
} textbook_t;

/* A weight between -bound and bound. */
int32_t textbook_weight(uint32_t *seed, uint32_t bound);

/* Lays the net out in `memory`; returns the bytes. */
uint32_t textbook_start(const textbook_t *t, void *memory);

/* Trains one batch; returns how many of its samples were classified right before. */
uint32_t textbook_step(const uint8_t *samples);

#endif
