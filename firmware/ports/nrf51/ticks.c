/* Timer 0 as a counter of the core's clock, in images that profile: the chip has no SysTick. */
#include "port.h"

#ifdef PROFILE

#include "cortexm.h"

#define TIMER_TASKS_START 0x40008000u
#define TIMER_TASKS_CAPTURE0 0x40008040u
#define TIMER_BITMODE 0x40008508u
#define TIMER_PRESCALER 0x40008510u
#define TIMER_CC0 0x40008540u
#define BITMODE_32 3u

uint32_t port_ticks(void)
{
    if (*cortexm_register(TIMER_BITMODE) != BITMODE_32) {
        *cortexm_register(TIMER_BITMODE) = BITMODE_32;
        *cortexm_register(TIMER_PRESCALER) = 0u;
        *cortexm_register(TIMER_TASKS_START) = 1u;
    }
    *cortexm_register(TIMER_TASKS_CAPTURE0) = 1u;
    return *cortexm_register(TIMER_CC0);
}

#endif
