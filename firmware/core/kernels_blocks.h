/* Blocks of eight sums in registers: the assembly behind kernels_blocks.c, in kernels_dsp.c. A
 * block is four samples, or four inputs, by two outputs. Packed 16-bit halves:
 *   rows       [pair of inputs][4 samples]           (x_i, x_i+1)
 *   gradient   [pair of samples][4 inputs]           (x of b, x of b + 1)
 *   weights    [2 outputs][pair of inputs][2]        (w_i, w_i+1), see kernels_index()
 * A step is one pair of terms of each sum. The steps stand eight in a row, a turn; the first turn
 * is entered behind the steps that it leaves out. */
#ifndef KERNELS_BLOCKS_H
#define KERNELS_BLOCKS_H

#include "kernels.h"
#include "random.h"

#define BLOCKS_STEPS 8u

/* Packs inputs of four rows, from an offset in bytes on, up to `end`: bytes in groups of four
 * inputs, halves in pairs. One group or pair at least. */
void blocks_pack_rows(const void *const *rows, uint32_t offset, uint32_t *out,
                      const uint32_t *end, uint32_t format);

/* Packs four inputs of pairs of samples, `stride` bytes apart, up to `end`. One pair at least. */
void blocks_pack_inputs(const void *row, uint32_t stride, uint32_t *out, const uint32_t *end,
                        uint32_t format);
#define BLOCKS_STEP_BYTES 44u /* of code */

typedef struct {
    const int16_t *w;
    const uint32_t *x, *x_end; /* packed rows */
    uint32_t entry;            /* bytes of code to skip */
    const int32_t *from;       /* initial sums */
    uint32_t from_stride;      /* bytes between lanes */
    int32_t *to;               /* sums */
    uint32_t to_stride;
    uint32_t w_gap;            /* bytes of weights between blocks */
    const int16_t *w_end;      /* where the block behind the last would begin */
} blocks_forward_t;

/* All pairs of outputs of four samples. */
void blocks_forward(const blocks_forward_t *block);

typedef struct {
    uint32_t tile_bytes;  /* from one pair of outputs to the next */
    uint32_t w_bytes;     /* the same in the weights */
    const int16_t *end;   /* behind the last tile */
    const int16_t *delta;
    const int16_t *w;
    int32_t *low, *high;
    uint32_t blocks;      /* pairs of inputs */
    uint32_t unused;
} blocks_backward_t;

/* All pairs of inputs of four samples. */
void blocks_backward(const blocks_backward_t *block);

/* Where a block of weights ends: at the saturation to 8 .. 15 bits, or before that at the clamp of
 * the steps, or at the next turn. */
#define BLOCKS_END_OF_BITS(bits) ((bits)-8u)
#define BLOCKS_END_CLAMP 8u
#define BLOCKS_END_TURN 9u

typedef struct {
    uint32_t random_shift;     /* 32 - s */
    uint32_t prng[2];          /* of the two rows, in front of the block */
    random_jump_t draw;
    random_jump_t next_rows;   /* from behind the block to in front of the next rows' */
    const uint32_t *x;         /* packed inputs */
    uint32_t entry;            /* bytes of code to skip */
    uint32_t unused[2];
    int16_t *w;
    uint32_t w_bytes;          /* from one pair of rows to the next */
    const int16_t *w_end;
    uint32_t tile_gap;         /* bytes from behind the deltas of a pair of rows to the next */
    uint32_t shift;            /* s */
    uint32_t first, kept, last; /* the ends behind the first turn, behind the clamp,
                                   behind the last of several turns */
    const uint32_t *x_end;      /* behind the packed inputs */
} blocks_update_t;

/* Four inputs of all pairs of rows: a sum starts with the random part of its weight, and ends with
 * the weight stepped and saturated. A clamp that changes a value sets the sticky flag Q. `delta`:
 * the first turned tile. */
void blocks_update(const blocks_update_t *block, const int16_t *delta);

#endif
