/* Samples of raw doubles from stdin; to stdout the logits, and the class or the values. */
#include "fixgrad_net.h"

#include <stdio.h>

int main(void)
{
    double raw[FIXGRAD_INPUTS];
    while (fread(raw, sizeof raw, 1, stdin) == 1) {
        fixgrad_input_t x[FIXGRAD_INPUTS];
        int32_t logits[FIXGRAD_OUTPUTS];
        fixgrad_scale(raw, x);
        fixgrad_infer(x, logits);
        for (uint32_t k = 0; k < FIXGRAD_OUTPUTS; k++) {
            printf("%ld ", (long)logits[k]);
        }
#if FIXGRAD_CLASSES
        printf("%lu", (unsigned long)fixgrad_class(logits));
#elif FIXGRAD_VALUES
        for (uint32_t k = 0; k < FIXGRAD_OUTPUTS; k++) {
            printf("%a ", fixgrad_value(logits, k));
        }
#endif
        printf("\n");
    }
    return 0;
}
