/* Counts one training step: the last one of the job whole, from the first byte of its first
 * sample; then a copy of it phase by phase. Lines: name, layer, ticks; at last the stack. */
#include "bytes.h"
#include "job.h"
#include "mlp_internal.h"
#include "runtime.h"

static mlp_t mlp;
static uint32_t started;

static void begin(void)
{
    started = runtime_ticks();
}

static void report(const char *name, uint32_t layer)
{
    const uint32_t ticks = (runtime_ticks() - started) & 0xFFFFFFu;
    runtime_text(name);
    runtime_text(" ");
    runtime_number(layer);
    runtime_number(ticks);
    runtime_text("\n");
}

int main(void)
{
    job_t job = {.at = runtime_job};
    if (!job_load(&job, &mlp)) {
        return 1;
    }
    runtime_paint_stack();
    for (uint32_t i = 0; i + 1u < job.steps; i++) {
        if (i + 2u == job.steps) {
            begin();
        }
        job_step(&job, &mlp);
    }
    report("step", 0);
    const uint32_t stack = runtime_stack_used();
    begin();
    (void)mlp_digest(&mlp);
    report("digest", 0);

    const uint16_t size = bytes_u16(job.at);
    mlp_begin_batch(&mlp, size, bytes_u16(job.at + 2), (int8_t)job.at[4]);
    job.at += 5;
    begin();
    for (uint32_t i = 0; i + 1u < size; i++) {
        const uint8_t *target = job.at + mlp_feature_bytes(&mlp);
        mlp_put_sample(&mlp, job.at, target);
        job.at = target + mlp_target_bytes(&mlp);
    }
    report("pack", 0);
    const uint32_t last = mlp.layer_count - 1u;
    for (uint32_t l = 0; l < last; l++) {
        begin();
        mlp_forward_layer(&mlp, l);
        report("forward", l);
    }
    begin();
    mlp_lose_batch(&mlp);
    report("loss", last);
    for (uint32_t l = last; l > 0; l--) {
        begin();
        mlp_backward_layer(&mlp, l);
        report("backward", l);
    }
    for (uint32_t l = 0; l <= last; l++) {
        begin();
        mlp_update_layer(&mlp, l, size);
        report("update", l);
    }
    begin();
    mlp_end_batch(&mlp);
    report("end", 0);
    runtime_text("stack 0 ");
    runtime_number(stack);
    runtime_text("\n");
    return 0;
}
