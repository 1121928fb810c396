/* Inference with the net that the board keeps in its own flash: what `fixgrad deploy` wrote, or a
 * checkpoint of a run. docs/DEPLOY.md says how it comes there and how a project uses this.
 *
 *     static int32_t work[64];
 *     static int16_t features[64];
 *     fixgrad_t net;
 *     int32_t answer[1];
 *     if (fixgrad_open(&net, work, sizeof work) == FIXGRAD_OK) {
 *         ... fill features[0 .. net.inputs - 1] ...
 *         if (fixgrad_predict(&net, features, answer) == FIXGRAD_OK) { ... answer[0] ... }
 *     }
 *
 * The weights are read where they stand, in the flash; nothing is allocated, no trainer is linked.
 * The bits are those of NUMERICS section 3, the same as on the board that trained. */
#ifndef FIXGRAD_H
#define FIXGRAD_H

#include <stddef.h>
#include <stdint.h>

enum {
    FIXGRAD_OK = 0,
    FIXGRAD_NO_NET = -1,     /* the flash holds no complete net */
    FIXGRAD_BAD_NET = -2,    /* what it holds is no valid net of this version of NUMERICS */
    FIXGRAD_NO_MEMORY = -3,  /* the net needs net->work_bytes of work */
    FIXGRAD_BAD_FEATURE = -4 /* a feature is below net->feature_min or above net->feature_max */
};

/* An open net; filled by fixgrad_open(). */
typedef struct {
    uint16_t inputs;      /* features of a sample */
    uint16_t outputs;     /* sums of the last layer, 64 at most */
    uint16_t predictions; /* values of an answer: 1 for classes, else `outputs` */
    int16_t feature_min, feature_max;
    uint32_t work_bytes; /* memory that it needs */
    /* Sums of the last layer after fixgrad_predict(), [outputs], in units of 2^logit_exponent. */
    const int32_t *logits;
    int8_t logit_exponent;
    /* The rest belongs to fixgrad.c. */
    uint8_t layer_count, loss;
    uint32_t row[2]; /* offsets in `work` of the activations of odd and of even layers */
    void *work;
    const uint8_t *layers; /* their records in the MODEL region */
    const uint8_t *state;
    const uint8_t *words;
    uint32_t copies; /* of the parameters: 2 with momentum */
} fixgrad_t;

/* Finds the newest complete net in the flash and checks all of it. `work`: 4-aligned, kept until
 * the net is no longer used. To be opened again after the board stored another one.
 * Returns FIXGRAD_OK, FIXGRAD_NO_NET, FIXGRAD_BAD_NET or FIXGRAD_NO_MEMORY. */
int fixgrad_open(fixgrad_t *net, void *work, size_t work_bytes);

/* Predicts one sample. `features`: net->inputs of them, as the run's scaling makes them.
 * `prediction`: net->predictions values: the class; or 0 or 1 a label; or, for numbers, Q16.
 * Returns FIXGRAD_OK or FIXGRAD_BAD_FEATURE. */
int fixgrad_predict(const fixgrad_t *net, const int16_t *features, int32_t *prediction);

#endif
