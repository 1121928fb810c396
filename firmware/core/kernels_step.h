/* One weight's step from its gradient sum: what every kernels_*.c shares.
 * NUMERICS section 6, items 3 and 5. */
#ifndef KERNELS_STEP_H
#define KERNELS_STEP_H

#include "fixed.h"
#include "kernels.h"
#include "random.h"

/* w = clamp(w - clamp((G + (r >> (32 - s))) >> s)). Returns the new weight; *changed collects the
 * bits that a clamp changed. Range: |G| <= 2^30 and the random part is below 2^24;
 * |w - u| <= 2^15. */
static inline int16_t kernels_step(int32_t w, int32_t gradient, uint32_t r,
                                   const kernels_update_t *update, int32_t *changed)
{
    const uint32_t s = update->shift;
    const int32_t high = (1 << update->weight_bits) - 1;
    const int32_t u = fixed_floor(gradient + (int32_t)(r >> (32u - s)), s);
    const int32_t u_kept = fixed_clamp(u, -16384, 16383);
    const int32_t v = w - u_kept;
    const int32_t v_kept = fixed_clamp(v, -high - 1, high);
    *changed |= (u ^ u_kept) | (v ^ v_kept);
    return (int16_t)v_kept;
}

/* The same with momentum: g = clamp((G + (r >> (32 - (s - vf)))) >> (s - vf)),
 * V = clamp(((V mu + ((r >> 8) & 255)) >> 8) + g),
 * w = clamp(w - ((V + (r >> 16 & (2^vf - 1))) >> vf)).
 * Range: |V mu| < 2^23; |V| + 2^8 and |w| + 2^15 are far below 2^31. */
static inline int16_t kernels_step_momentum(int32_t w, int16_t *velocity, int32_t gradient,
                                            uint32_t r, const kernels_update_t *update,
                                            int32_t *changed)
{
    const uint32_t s = (uint32_t)update->shift - update->velocity_bits;
    const uint32_t fraction = (1u << update->velocity_bits) - 1u;
    const int32_t high = (1 << update->weight_bits) - 1;
    const int32_t g =
        fixed_clamp(fixed_floor(gradient + (int32_t)(r >> (32u - s)), s), -32767, 32767);
    const int32_t kept = fixed_floor(*velocity * update->momentum + (int32_t)((r >> 8) & 255u), 8);
    const int32_t v = fixed_clamp(kept + g, -32767, 32767);
    const int32_t part = (int32_t)((r >> 16) & fraction);
    const int32_t moved = w - fixed_floor(v + part, update->velocity_bits);
    const int32_t moved_kept = fixed_clamp(moved, -high - 1, high);
    *changed |= moved ^ moved_kept;
    *velocity = (int16_t)v;
    return (int16_t)moved_kept;
}

#endif
