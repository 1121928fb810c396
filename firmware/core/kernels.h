/* The three inner loops of training, over whole layers and groups of samples. kernels_plain.c is
 * the definition; a file for an instruction set gives the same bits behind the same prototypes.
 *
 * Every sum is exact in int32 whatever its order: NUMERICS section 2 bounds the sum of the
 * magnitudes, so no partial sum overflows either.
 *
 * Layouts. Rows are [sample][input]. Deltas are tiles of 16 bytes, KERNELS_LANES samples by two
 * outputs, with the samples of a pair of outputs in a row: tile (j / 2, b / 4) of `quads` per pair.
 * Inside a tile: lane by lane, (j, j + 1) of each; where KERNELS_TURNED, kernels_update() reads
 * them turned, sample pairs of each output: (b, b + 1) of j, then of j + 1. Weights and
 * velocities: kernels_index(). */
#ifndef KERNELS_H
#define KERNELS_H

#include <stdbool.h>
#include <stdint.h>

/* Which file implements them. KERNELS_DEFINITION forces plain C on any target; KERNELS_HOST, which
 * a build for a computer may define as the bytes of the widest vectors, takes those it has. */
#if defined(KERNELS_DEFINITION) || !defined(__thumb__)
#ifndef KERNELS_HOST
#define KERNELS_PLAIN 1
#endif
#elif defined(__ARM_FEATURE_MVE)
#define KERNELS_MVE 1
#elif defined(__ARM_FEATURE_DSP)
#define KERNELS_DSP 1
#elif defined(__ARM_ARCH_7M__)
#define KERNELS_MLA 1
#elif defined(__ARM_ARCH_6M__)
#define KERNELS_MUL 1
#else
#define KERNELS_PLAIN 1
#endif

#ifdef KERNELS_MLA
#define KERNELS_TURNED 0
#else
#define KERNELS_TURNED 1
#endif

/* Samples that are worked on together. */
#define KERNELS_LANES 4u

typedef struct {
    int16_t *weights;
    uint16_t inputs;
    uint16_t outputs;
    uint8_t format; /* storage of a row it reads: INPUT_U8, INPUT_I8 or INPUT_I16 */
} kernels_layer_t;

/* Elements from one pair of columns to the next in the weights of a row. */
static inline uint32_t kernels_pair_step(const kernels_layer_t *layer, uint32_t row)
{
#if defined(KERNELS_DSP) || defined(KERNELS_MLA)
    return (row | 1u) < layer->outputs ? 4u : 2u;
#else
    (void)layer;
    (void)row;
    return 2u;
#endif
}

/* Elements from the first to the second column of a pair. */
static inline uint32_t kernels_column_step(const kernels_layer_t *layer, uint32_t row)
{
#ifdef KERNELS_MLA
    return (row | 1u) < layer->outputs ? 2u : 1u;
#else
    (void)layer;
    (void)row;
    return 1u;
#endif
}

/* Place of weight (row = output, column = input) in the weights and in the velocities. Row-major;
 * or two rows at a time: column by column of both, or pairs of columns of one and of the other. */
static inline uint32_t kernels_index(const kernels_layer_t *layer, uint32_t row, uint32_t column)
{
    const uint32_t inputs = layer->inputs;
#ifdef KERNELS_MLA
    if ((row | 1u) < layer->outputs) {
        return (row & ~1u) * inputs + 2u * column + (row & 1u);
    }
#elif defined(KERNELS_DSP)
    if ((row | 1u) < layer->outputs) {
        const uint32_t pair = (row & ~1u) * inputs + 2u * (column & ~1u);
        return (column | 1u) < inputs ? pair + 2u * (row & 1u) + (column & 1u)
                                      : pair + (row & 1u);
    }
#endif
    return row * inputs + column;
}

/* Tiles for each pair of outputs. */
static inline uint32_t kernels_quads(uint32_t samples)
{
    return (samples + KERNELS_LANES - 1u) / KERNELS_LANES;
}

/* Place of the delta of sample b and output j. */
static inline uint32_t kernels_delta_index(uint32_t quads, uint32_t b, uint32_t j)
{
    return ((j / 2u) * quads + b / KERNELS_LANES) * 8u + 2u * (b % KERNELS_LANES) + j % 2u;
}

/* Place of the same delta for kernels_update(). */
static inline uint32_t kernels_turned_index(uint32_t quads, uint32_t b, uint32_t j)
{
    if (!KERNELS_TURNED) {
        return kernels_delta_index(quads, b, j);
    }
    return ((j / 2u) * quads + b / KERNELS_LANES) * 8u + 4u * (b / 2u % 2u) + 2u * (j % 2u) +
           b % 2u;
}

typedef struct {
    const void *row[KERNELS_LANES]; /* rows of `inputs`; unused lanes repeat a used one */
    const int32_t *bias;            /* [outputs] */
    uint32_t lanes;                 /* 1 .. KERNELS_LANES; the others may get any value */
    void *work;                     /* for packed rows; must stay from one call to the next */
    uint32_t work_bytes;            /* a multiple of 32, 64 at least */
} kernels_forward_t;

/* acc[lane][j - first] = b_j + sum_i w_ji * x_i (section 3) for outputs first .. first + count - 1;
 * `first` and `stride`, the elements from one lane of acc to the next, are even. The first call
 * has first = 0. */
void kernels_forward(const kernels_layer_t *layer, const kernels_forward_t *forward,
                     uint32_t first, uint32_t count, int32_t *acc, uint32_t stride);

typedef struct {
    const int16_t *delta; /* the first tile of the samples */
    int32_t *low;         /* sums of lanes 0 and 1, in tiles of the layer below */
    int32_t *high;        /* sums of lanes 2 and 3, four words for each pair of inputs */
    uint32_t quads;       /* tiles from one pair to the next in `delta` and `low` */
    uint32_t lanes;       /* 1 .. KERNELS_LANES; the others may get any value */
} kernels_backward_t;

/* e_i = sum_j w_ji * d_j (section 5): four words for inputs i and i + 1 of two lanes. */
void kernels_backward(const kernels_layer_t *layer, const kernels_backward_t *backward);

typedef struct {
    const void *x;          /* rows of the batch, [count][inputs] */
    int16_t *delta;         /* tiles of d', |d'| <= 2^dp - 1; 0 in lanes without a sample;
                               may be rearranged */
    int16_t *velocity;      /* like the weights; NULL without momentum */
    void *work;             /* for packed rows */
    uint32_t work_bytes;    /* 16 bytes a sample, the batch filled up to quads, and 128 */
    uint32_t quads;         /* tiles from one pair of outputs to the next */
    uint32_t gradient_max;  /* bound of |G|, at most 2^30 */
    uint16_t count;         /* samples of the batch */
    uint8_t shift;          /* s, 1 + vf .. 24 */
    uint8_t weight_bits;    /* wb */
    uint8_t momentum;       /* mu in Q8 */
    uint8_t velocity_bits;  /* vf; 0 without momentum */
} kernels_update_t;

/* Applies the gradient with stochastic rounding (section 6, items 3 and 5), one draw a weight in
 * row-major order: *prng advances by exactly inputs * outputs draws. Returns whether a clamp that
 * counts in `wsat` changed a value. */
bool kernels_update(const kernels_layer_t *layer, const kernels_update_t *update, uint32_t *prng);

#endif
