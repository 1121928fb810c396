/* Counts one training step, the last one of the job, from the first byte of its first sample; then
 * the digest. Built with -DPROFILE it counts the parts of that step instead. Lines: phase, layer,
 * ticks; without PROFILE also the deepest stack in bytes. */
#include "job.h"
#include "profile.h"
#include "runtime.h"

static mlp_t mlp;

static void report(uint32_t phase, uint32_t layer, uint32_t number)
{
    runtime_number(phase);
    runtime_number(layer);
    runtime_number(number);
    runtime_text("\n");
}

#ifdef PROFILE

#define PARTS_MAX 64u

static struct {
    uint32_t phase, layer, ticks;
} parts[PARTS_MAX];
static uint32_t count, running = PARTS_MAX;

void profile_enter(uint32_t phase, uint32_t layer)
{
    profile_leave();
    for (running = 0; running < count; running++) {
        if (parts[running].phase == phase && parts[running].layer == layer) {
            break;
        }
    }
    if (running == count) {
        count++;
        parts[running].phase = phase;
        parts[running].layer = layer;
        parts[running].ticks = 0;
    }
    parts[running].ticks -= runtime_ticks();
}

void profile_leave(void)
{
    const uint32_t now = runtime_ticks();
    if (running < PARTS_MAX) {
        parts[running].ticks += now;
        running = PARTS_MAX;
    }
}

static void count_step(job_t *job)
{
    (void)mlp_digest(&mlp);
    count = 0;
    job_step(job, &mlp);
    (void)mlp_digest(&mlp);
    for (uint32_t i = 0; i < count; i++) {
        report(parts[i].phase, parts[i].layer, parts[i].ticks & RUNTIME_TICKS_MASK);
    }
}

#else

static void count_step(job_t *job)
{
    const uint32_t start = runtime_ticks();
    job_step(job, &mlp);
    const uint32_t ticks = runtime_ticks() - start;
    report(PHASE_NONE, 0, ticks & RUNTIME_TICKS_MASK);
    report(PHASE_NONE, 1, runtime_stack_used());
}

#endif

int main(void)
{
    job_t job = {.at = runtime_job};
    if (!job_load(&job, &mlp)) {
        return 1;
    }
    runtime_paint_stack();
    for (uint32_t i = 0; i + 1u < job.steps; i++) {
        job_step(&job, &mlp);
    }
    count_step(&job);
    return 0;
}
