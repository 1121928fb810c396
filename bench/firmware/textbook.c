/* Counts the last step of a yardstick. Line: ticks, bytes of RAM, right in the first batch, right
 * in the last one. */
#include "textbook.h"

#include <string.h>

#include "runtime.h"

int32_t textbook_weight(uint32_t *seed, uint32_t bound)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (int32_t)((*seed >> 8) % (2u * bound + 1u)) - (int32_t)bound;
}

int main(void)
{
    textbook_t t;
    const uint8_t *at = runtime_job;
    memcpy(&t.layers, at, 12);
    at += 12;
    memcpy(t.width, at, 4u * (t.layers + 1u));
    at += 4u * (t.layers + 1u);
    memcpy(t.bound_q12, at, 4u * t.layers);
    at += 4u * t.layers;
    const uint32_t bytes = textbook_start(&t, runtime_arena);
    uint32_t first = 0, last = 0, ticks = 0;
    for (uint32_t i = 0; i < t.steps; i++) {
        const uint32_t start = runtime_ticks();
        last = textbook_step(at);
        ticks = (runtime_ticks() - start) & RUNTIME_TICKS_MASK;
        first = i == 0 ? last : first;
        at += t.batch * (t.width[0] + 1u);
    }
    runtime_number(ticks);
    runtime_number(bytes);
    runtime_number(first);
    runtime_number(last);
    runtime_text("\n");
    return 0;
}
