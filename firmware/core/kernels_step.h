/* One weight's step from its gradient sum: what every kernels_*.c shares.
 * NUMERICS section 6, items 3 and 5. */
#ifndef KERNELS_STEP_H
#define KERNELS_STEP_H

#include "fixed.h"
#include "kernels.h"
#include "random.h"

#include <stddef.h>

/* Without momentum (`velocity` NULL): w = clamp(w - clamp((G + (r >> (32 - s))) >> s)). With it:
 * g = clamp((G + (r >> (32 - (s - vf)))) >> (s - vf)),
 * V = clamp(((V mu + ((r >> 8) & 255)) >> 8) + g),
 * w = clamp(w - ((V + (r >> 16 & (2^vf - 1))) >> vf)).
 * Returns the new weight; *changed collects the bits that a clamp changed which counts in `wsat`.
 * Range: |G| <= 2^30 and the random part is below 2^24; |V mu| < 2^23; |V| + 2^8 and |w| + 2^15
 * are far below 2^31. */
static inline int16_t kernels_step(int32_t w, int16_t *velocity, int32_t gradient, uint32_t r,
                                   const kernels_update_t *update, int32_t *changed)
{
    const uint32_t s = (uint32_t)update->shift - update->velocity_bits;
    const int32_t high = (1 << update->weight_bits) - 1;
    const int32_t u = fixed_floor(gradient + (int32_t)(r >> (32u - s)), s);
    int32_t step;
    if (velocity == NULL) {
        step = fixed_clamp(u, -16384, 16383);
        *changed |= u ^ step;
    } else {
        const int32_t fraction = (1 << update->velocity_bits) - 1;
        const int32_t g = fixed_clamp(u, -32767, 32767);
        const int32_t kept =
            fixed_floor(*velocity * update->momentum + (int32_t)((r >> 8) & 255u), 8);
        const int32_t v = fixed_clamp(kept + g, -32767, 32767);
        *velocity = (int16_t)v;
        step = fixed_floor(v + ((int32_t)(r >> 16) & fraction), update->velocity_bits);
    }
    const int32_t moved = w - step;
    const int32_t moved_kept = fixed_clamp(moved, -high - 1, high);
    *changed |= moved ^ moved_kept;
    return (int16_t)moved_kept;
}

#endif
