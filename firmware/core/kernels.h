/* The three inner loops of training. kernels_plain.c is the definition; a file for an instruction
 * set gives the same bits behind the same prototypes.
 *
 * Every sum is exact in int32 whatever its order: NUMERICS section 2 bounds the sum of the
 * magnitudes, so no partial sum overflows either. */
#ifndef KERNELS_H
#define KERNELS_H

#include <stdbool.h>
#include <stdint.h>

/* A layer's weights and the rows it reads. The inner layout of weights and velocities belongs to
 * the kernels: everybody else goes through kernels_index(). */
typedef struct {
    int16_t *weights;
    uint16_t inputs;
    uint16_t outputs;
    uint8_t format; /* storage of a row it reads: INPUT_U8, INPUT_I8 or INPUT_I16 */
} kernels_layer_t;

/* Place of weight (row = output, column = input) in the weights and in the velocities. */
static inline uint32_t kernels_index(const kernels_layer_t *layer, uint32_t row, uint32_t column)
{
    return row * layer->inputs + column;
}

/* acc_j = b_j + sum_i w_ji * x_i (section 3); x: one row of `inputs`, acc: [outputs]. */
void kernels_forward(const kernels_layer_t *layer, const int32_t *bias, const void *x,
                     int32_t *acc);

/* e_i = sum_j w_ji * d_j (section 5); delta: one row of `outputs`, error: [inputs]. */
void kernels_backward(const kernels_layer_t *layer, const int16_t *delta, int32_t *error);

typedef struct {
    const void *x;         /* rows of the batch, [count][inputs] */
    const int16_t *delta;  /* update mantissas d', [count][outputs], |d'| <= 2^dp - 1 */
    int16_t *velocity;     /* like the weights; NULL without momentum */
    uint16_t count;        /* samples of the batch */
    uint8_t shift;         /* s, 1 + vf .. 24 */
    uint8_t weight_bits;   /* wb */
    uint8_t momentum;      /* mu in Q8 */
    uint8_t velocity_bits; /* vf; 0 without momentum */
} kernels_update_t;

/* Applies the gradient with stochastic rounding (section 6, items 3 and 5), one draw a weight in
 * row-major order: *prng advances by exactly inputs * outputs draws. Returns whether a clamp that
 * counts in `wsat` changed a value. */
bool kernels_update(const kernels_layer_t *layer, const kernels_update_t *update, uint32_t *prng);

#endif
