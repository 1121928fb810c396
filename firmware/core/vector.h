/* The loops around the kernels that a vector extension shortens. Each gives the bits of the plain
 * C beside its call, which is the definition and runs on every other core. */
#ifndef VECTOR_H
#define VECTOR_H

#include <stddef.h>
#include <stdint.h>

#include "kernels.h"

#ifdef KERNELS_MVE
#define VECTOR 1

void vector_copy(void *to, const void *from, uint32_t bytes);

/* row_i = RN(max(acc_i, 0), shift), 1 <= shift <= 31, kept to a byte, of rows whose bytes lie
 * `stride` and `row_bytes` apart. Returns the largest before that. */
uint32_t vector_rectify(const int32_t *acc, uint32_t rows, uint32_t count, uint32_t shift,
                        uint32_t stride, uint8_t *row, uint32_t row_bytes);

/* Pairs of sums, `step` words from one to the next: 0 where the byte of the row is 0. The row may
 * be read up to a byte beyond. */
void vector_clear(int32_t *at, uint32_t step, uint32_t pairs, const uint8_t *row);

/* The largest magnitude of such pairs. */
uint32_t vector_largest(const int32_t *at, uint32_t step, uint32_t pairs);

/* NORM of four lanes of sums, which lie in pairs, into tiles of deltas: a pair of each lane is read
 * before its tile is written. Mantissas are saturated to 16 bits, which is a bit more than the
 * clamp of NORM may need; `largest` are their magnitudes before that. */
typedef struct {
    int32_t *low, *high;         /* of lanes 0 and 2 */
    int16_t *delta;              /* the first tile */
    uint32_t pairs;
    uint32_t low_step, high_step; /* bytes from a pair to the next */
    uint32_t delta_step;         /* bytes from a tile to the next */
    uint32_t other;              /* bytes from the pairs of lanes 0 and 2 to those of 1 and 3 */
    const uint8_t *row;          /* sums are 0 where the byte of lane 0's row is; NULL: nowhere */
    uint32_t row_bytes;          /* from a lane's row to the next */
    uint32_t bits;               /* db */
    int32_t back[8];             /* -sh, twice for each lane */
    uint32_t largest[8];         /* twice for each lane */
} vector_lanes_t;

void vector_normalise(vector_lanes_t *lanes);

/* max(ed + blen(md * factor)) of scales, ed in the low half of a word; INT16_MIN or less where all
 * md are 0. */
int32_t vector_reach(const uint32_t *scales, uint32_t count, uint32_t factor);

/* The largest. */
int32_t vector_top(const int32_t *z, uint32_t count);

/* Sum of the halves of `count` words, the first one and each second one after it. */
int32_t vector_sum(const int16_t *halves, uint32_t count);

/* RS(d * factor, exponent - ed, limit) of tiles, `step` halves apart, in place and turned; 0 in the
 * lanes behind the first `lanes`. `scales`: ed and md of each lane as words, ed in the low half.
 * Returns the sum over the lanes of the same of md. |d * factor| <= 2^30. */
uint32_t vector_scale(int16_t *tile, uint32_t step, uint32_t tiles, const uint32_t *scales,
                      uint32_t lanes, int32_t factor, int32_t exponent, int32_t limit);

/* bias = clamp(bias - RS(sum, shift, limit), +-limit); sums are those of vector_sum() for the
 * deltas of each output, `step` halves from a pair of outputs to the next. Returns how many values
 * the clamp changed. */
uint32_t vector_biases(int32_t *bias, uint32_t outputs, const int16_t *delta, uint32_t step,
                       uint32_t count, int32_t shift, int32_t limit);

/* exp2(-distance) of each logit to `top`, the largest: section 4. Returns the sum; `ex` may be
 * NULL, or z. */
uint32_t vector_exponentials(const int32_t *z, uint32_t outputs, int32_t top, int32_t exponent,
                             int32_t *ex);

/* digest = digest * multiplier + value for each value: section 9. */
uint32_t vector_digest(const int16_t *values, uint32_t count, uint32_t multiplier,
                       uint32_t digest);
#endif

#endif
