/* Jobs in memory. Little-endian: model bytes u32, state bytes u32, steps u32, MODEL, STATE; then
 * per step size u16, lr_mantissa u16, lr_exponent i8, samples as in DATA. A job of 0 model bytes
 * ends them. */
#ifndef JOB_H
#define JOB_H

#include "mlp.h"

typedef struct {
    const uint8_t *at;
    uint32_t steps;
} job_t;

/* Configures and loads the next job's model; false behind the last job. A refusal ends main(). */
bool job_load(job_t *job, mlp_t *m);

/* Trains one step. */
void job_step(job_t *job, mlp_t *m);

#endif
