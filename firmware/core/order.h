/* The order of samples: a permutation of every epoch that needs no table. NUMERICS section 8. */
#ifndef ORDER_H
#define ORDER_H

#include <stdint.h>

typedef struct {
    uint32_t samples;   /* N */
    uint32_t keys[4];   /* one a round */
    uint32_t mask;      /* 2^half_bits - 1 */
    uint32_t half_bits; /* h, 1..16 */
} order_t;

/* Prepares the permutation of one epoch of `samples` >= 1 samples. */
void order_begin(order_t *order, uint32_t samples, uint32_t epoch, uint32_t seed);

/* The sample visited at `place` < samples. */
uint32_t order_at(const order_t *order, uint32_t place);

#endif
