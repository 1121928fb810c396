/* The network: state, one training step, inference. Implements docs/NUMERICS.md.
 *
 * All memory is one caller-given arena, laid out by mlp_configure() from the MODEL region of
 * docs/PROTOCOL.md. Offsets, not pointers, are stored, so the layout has the same size on every
 * target and the host's planner (host/fixgrad/planner.py) computes the same number of bytes. */
#ifndef MLP_H
#define MLP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"

typedef struct mlp mlp_t;

/* Telemetry of NUMERICS section 10, since the last mlp_start(); modulo 2^32 but loss_sum; in
 * the order of DATA_ACK. */
typedef struct {
    uint64_t loss_sum; /* reported loss (NUMERICS section 4) summed over steps */
    uint32_t correct;  /* training samples whose prediction before the step was right */
    uint32_t wsat, asat, bsat;
} mlp_counters_t;

/* Complete so that it can be allocated statically; its fields belong to the mlp_*.c files. Small
 * fields stand first: a Cortex-M0 reaches bytes up to offset 31 in one instruction. */
struct mlp {
    uint8_t *arena;
    union {
        uint8_t model[MODEL_BYTES]; /* head of the MODEL region, whose fields are: */
        struct {
            uint8_t numerics;
            uint8_t layer_count; /* L; 0: no model */
            uint8_t loss;
            uint8_t flags;
            uint16_t batch;     /* B */
            uint16_t input_max; /* A[0] */
            uint8_t input_format;
            uint8_t update_bits;
            uint8_t momentum;
            uint8_t velocity_bits;
            int8_t clip_exponent;
            uint8_t decay_shift;
            uint16_t decay_every[2]; /* the low half first */
            uint16_t input_width;
        };
    };
    int8_t lr_exponent;
    bool started;      /* every value of the state was checked */
    bool digest_valid; /* `digest` is that of the state */
    bool scaled;       /* the held part of a batch was: mlp_part.h */
    uint16_t size;      /* samples of the announced batch; 0: none is announced */
    uint16_t collected; /* of them, those that wait in the rows */
    uint16_t lr_mantissa;
    uint32_t scales; /* offset of the scales, [layer][batch]; behind them stand the targets of
                        squared error, [batch][outputs] i32 */
    uint32_t work;   /* offset of the workspace: the hidden deltas, which a forward pass may
                        overwrite, then scratch */
    uint32_t work_bytes;
    uint32_t scratch;
    uint32_t digest;
    mlp_counters_t counters;
};

/* Checks a MODEL region and lays the arena (4-aligned at least) out. The state is not cleared:
 * repeating the same MODEL keeps it. mlp_start() must follow. Returns STATUS_OK, STATUS_BAD_MODEL
 * (*detail = offset of the bad field in the blob) or STATUS_NO_MEMORY (*detail = arena bytes
 * needed). Anything but OK leaves no model. */
int mlp_configure(mlp_t *m, const uint8_t *model, size_t model_bytes, void *arena,
                  size_t arena_bytes, uint32_t *detail);

/* STATE region: canonical bytes of docs/PROTOCOL.md, whatever the inner layout.
 * Offsets and counts are even and inside the region; returns STATUS_OK or STATUS_BAD_OFFSET. */
uint32_t mlp_state_bytes(const mlp_t *m);
int mlp_state_write(mlp_t *m, uint32_t offset, const uint8_t *bytes, size_t count);
int mlp_state_read(const mlp_t *m, uint32_t offset, uint8_t *bytes, size_t count);

/* Checks every range of a loaded state (weights inside their bits, biases, exponents, low) and
 * forgets a half-collected batch and the counters. Returns STATUS_OK or STATUS_BAD_STATE. */
int mlp_start(mlp_t *m);

/* Wire bytes of a sample's features and of its target. These and what follows need a model. */
size_t mlp_feature_bytes(const mlp_t *m);
size_t mlp_target_bytes(const mlp_t *m);

/* Training. A batch is announced, then `size` samples are put; the last one runs the step.
 * Return STATUS_OK or STATUS_BAD_SAMPLE: a value is out of its range, no batch (or one already) is
 * announced, or the state was not started. Then nothing changed, but a refused first sample takes
 * the announcement of its batch with it: both are sent again together. */
int mlp_batch_open(const mlp_t *m); /* 1 while samples of an announced batch are missing */
int mlp_begin_batch(mlp_t *m, uint16_t size, uint16_t lr_mantissa, int8_t lr_exponent);
int mlp_put_sample(mlp_t *m, const uint8_t *features, const uint8_t *target);

/* Inference with the state of the last completed step; a half-collected batch is kept and no
 * counter moves. `target` may be NULL. Returns STATUS_OK or STATUS_BAD_SAMPLE. */
typedef struct {
    const int32_t *logits; /* accumulators of the last layer, [outputs]; until the next call */
    uint32_t loss;         /* reported loss; 0 without a target */
    bool correct;          /* whether the prediction equals the target; false without one, and
                              for squared error */
} mlp_result_t;
int mlp_infer(mlp_t *m, const uint8_t *features, const uint8_t *target, mlp_result_t *result);
uint32_t mlp_outputs(const mlp_t *m);
uint32_t mlp_predictions(const mlp_t *m); /* 1 for softmax, else one per output */
/* Prediction i (NUMERICS section 3): class; or 0/1; or Q16. `logits` as from mlp_infer(). */
int32_t mlp_prediction(const mlp_t *m, const int32_t *logits, uint32_t i);

/* Digest of NUMERICS section 9; computed once a step and cached. */
uint32_t mlp_digest(mlp_t *m);
uint32_t mlp_step_count(const mlp_t *m);
const mlp_counters_t *mlp_counters(const mlp_t *m);

#endif
