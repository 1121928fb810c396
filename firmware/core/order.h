/* The order of samples: a permutation of every epoch that needs no table. NUMERICS section 8. */
#ifndef ORDER_H
#define ORDER_H

#include <stdint.h>

/* The sample visited at `place` < samples of an epoch of `samples` >= 1 samples. */
uint32_t order_at(uint32_t samples, uint32_t epoch, uint32_t seed, uint32_t place);

#endif
