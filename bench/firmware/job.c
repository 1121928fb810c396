#include "job.h"

#include "bytes.h"
#include "protocol.h"
#include "runtime.h"

static void check(const char *what, int status)
{
    if (status != STATUS_OK) {
        runtime_text(what);
        runtime_text(" refused\n");
        for (;;) {
            __asm volatile("udf #0");
        }
    }
}

bool job_load(job_t *job, mlp_t *m)
{
    const uint32_t model_bytes = bytes_u32(job->at);
    const uint32_t state_bytes = bytes_u32(job->at + 4);
    if (model_bytes == 0) {
        return false;
    }
    job->steps = bytes_u32(job->at + 8);
    const uint8_t *model = job->at + 12;
    const uint32_t arena_bytes = (uint32_t)((uintptr_t)runtime_arena_end - (uintptr_t)runtime_arena);
    uint32_t detail;
    check("model", mlp_configure(m, model, model_bytes, runtime_arena, arena_bytes, &detail));
    check("state", mlp_state_write(m, 0, model + model_bytes, state_bytes));
    check("start", mlp_start(m));
    job->at = model + model_bytes + state_bytes;
    return true;
}

void job_step(job_t *job, mlp_t *m)
{
    const uint16_t size = bytes_u16(job->at);
    check("batch", mlp_begin_batch(m, size, bytes_u16(job->at + 2), (int8_t)job->at[4]));
    job->at += 5;
    for (uint32_t i = 0; i < size; i++) {
        const uint8_t *target = job->at + mlp_feature_bytes(m);
        check("sample", mlp_put_sample(m, job->at, target));
        job->at = target + mlp_target_bytes(m);
    }
}
