/* Trains every job and prints per step: digest, loss, asat, bsat, wsat. Each sample is also
 * inferred, with the logits folded into the last number. */
#include "bytes.h"
#include "job.h"
#include "protocol.h"
#include "runtime.h"

static mlp_t mlp;

static uint32_t infer(const job_t *job, uint32_t fold)
{
    mlp_result_t result;
    if (mlp_infer(&mlp, job->at + 5, job->at + 5 + mlp_feature_bytes(&mlp), &result) != STATUS_OK) {
        runtime_text("inference refused\n");
    }
    for (uint32_t k = 0; k < mlp_outputs(&mlp); k++) {
        fold = fold * 31u + (uint32_t)result.logits[k];
    }
    return fold * 31u + result.loss;
}

int main(void)
{
    job_t job = {.at = runtime_job};
    while (job_load(&job, &mlp)) {
        for (uint32_t i = 0; i < job.steps; i++) {
            const uint32_t fold = infer(&job, 0);
            job_step(&job, &mlp);
            const mlp_counters_t *counters = mlp_counters(&mlp);
            runtime_number(mlp_digest(&mlp));
            runtime_number((uint32_t)counters->loss_sum);
            runtime_number(counters->correct);
            runtime_number(counters->wsat);
            runtime_number(counters->asat);
            runtime_number(counters->bsat);
            runtime_number(fold);
            runtime_text("\n");
        }
    }
    return 0;
}
