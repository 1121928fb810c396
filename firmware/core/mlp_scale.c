#include "speed.h"
#include "fixed.h"
#include "mlp_internal.h"
#include "vector.h"

#include <string.h>

#ifdef VECTOR
/* Range as below. */
uint32_t mlp_scale_deltas(const mlp_t *m, uint32_t l, uint16_t count, int32_t exponent)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    const uint32_t pairs = mlp_even(layer->outputs) / 2u;
    uint32_t bound = 0;
    for (uint32_t b = 0; b < count; b += KERNELS_LANES) {
        bound += vector_scale(mlp_delta(m, layer) + 2u * b, 8u * mlp_quads(m), pairs,
                              (const uint32_t *)(const void *)mlp_scale(m, l, b), count - b,
                              m->lr_mantissa, exponent - m->lr_exponent,
                              (1 << m->update_bits) - 1);
    }
    return bound;
}
#else
/* What a lane's deltas are multiplied with, then shifted by; plain: by 1 .. 31 without a clamp. */
typedef struct {
    int32_t factor;
    int32_t shift;
    bool plain;
} delta_scale_t;

/* Where kernels_update() wants the first output of the second lane, and the other way round. */
enum { SECOND_LANE = KERNELS_TURNED ? 1 : 2, SECOND_OUTPUT = 3 - SECOND_LANE };
static const uint8_t places[4] = {0, SECOND_OUTPUT, SECOND_LANE, 3};

/* Two lanes of a tile: of the first output a and c, of the second b and d. */
static inline void store_pairs(int16_t *half, int32_t a, int32_t c, int32_t b, int32_t d)
{
#ifdef __ARM_FEATURE_SIMD32
    const uint32_t first = fixed_halves(a, KERNELS_TURNED ? c : b);
    const uint32_t second = fixed_halves(KERNELS_TURNED ? b : c, d);
    memcpy(half, &first, sizeof first);
    memcpy(half + 2, &second, sizeof second);
#else
    half[0] = (int16_t)a;
    half[SECOND_LANE] = (int16_t)c;
    half[SECOND_OUTPUT] = (int16_t)b;
    half[3] = (int16_t)d;
#endif
}

/* Two lanes of each tile of a group, in place. RN(v, shift) = (v + 2^(shift-1)) >> shift.
 * Range: |d * lrm| < 2^30 and 2^(shift-1) <= 2^30. */
static void scale_half(int16_t *half, uint32_t step, uint32_t pairs, const delta_scale_t *scale,
                       int32_t limit)
{
    const int32_t f = scale[0].factor, g = scale[1].factor;
    if (scale[0].plain && scale[1].plain) {
        const uint32_t s = (uint32_t)scale[0].shift, t = (uint32_t)scale[1].shift;
        const int32_t s_half = 1 << (s - 1u), t_half = 1 << (t - 1u);
        for (; pairs > 0; pairs--, half += step) {
            const int32_t a = half[0], b = half[1], c = half[2], d = half[3];
            store_pairs(half, fixed_floor(a * f + s_half, s), fixed_floor(c * g + t_half, t),
                        fixed_floor(b * f + s_half, s), fixed_floor(d * g + t_half, t));
        }
        return;
    }
    for (uint32_t pair = 0; pair < pairs; pair++, half += step) {
        int16_t d[4];
        memcpy(d, half, sizeof d);
        for (uint32_t i = 0; i < 4u; i++) {
            const delta_scale_t *lane = scale + i / 2u;
            half[places[i]] = (int16_t)fixed_scale(d[i] * lane->factor, lane->shift, limit);
        }
    }
}

/* Item 2: d' = RS(d * lrm, E - (ed + elr), 2^dp - 1), in place, as
 * kernels_update() reads them: 0 in lanes without a sample. Returns a bound of |sum_b d'|.
 * Range: |d * lrm| <= 2^30; the bound is at most batch * (2^dp - 1) <= 2^30. */
uint32_t mlp_scale_deltas(const mlp_t *m, uint32_t l, uint16_t count, int32_t exponent)
{
    const mlp_layer_t *layer = mlp_layer(m, l);
    const uint32_t step = 8u * mlp_quads(m);
    const uint32_t pairs = mlp_even(layer->outputs) / 2u;
    const int32_t limit = (1 << m->update_bits) - 1;
    uint32_t bound = 0;
    for (uint32_t quad = 0; quad < kernels_quads(count); quad++) {
        delta_scale_t scales[KERNELS_LANES] = {
            {0, 1, true}, {0, 1, true}, {0, 1, true}, {0, 1, true}};
        for (uint32_t lane = 0; lane < KERNELS_LANES; lane++) {
            const uint32_t b = quad * KERNELS_LANES + lane;
            if (b < count) {
                const mlp_scale_t *scale = mlp_scale(m, l, b);
                const int32_t largest = scale->largest * m->lr_mantissa;
                const int32_t shift = exponent - (scale->exponent + m->lr_exponent);
                bound += (uint32_t)fixed_scale(largest, shift, limit);
                scales[lane] = (delta_scale_t){
                    m->lr_mantissa, shift,
                    shift >= 1 && shift <= 31 && fixed_round(largest, shift) <= limit};
            }
        }
        int16_t *tiles = mlp_delta(m, layer) + 8u * quad;
        scale_half(tiles, step, pairs, scales, limit);
        scale_half(tiles + 4, step, pairs, scales + 2, limit);
    }
    return bound;
}
#endif
