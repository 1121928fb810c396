#include "fixed.h"

/* Range: for s < 0 the product is formed only if |v| <= limit / 2^k, so it is at most limit. */
int32_t fixed_scale(int32_t v, int32_t s, int32_t limit)
{
    if (s >= 0) {
        return fixed_clamp(fixed_round(v, s), -limit, limit);
    }
    const uint32_t k = s < -31 ? 31u : (uint32_t)-s;
    if (fixed_abs(v) > (uint32_t)limit >> k) {
        return v < 0 ? -limit : limit;
    }
    return (int32_t)((uint32_t)v << k);
}
