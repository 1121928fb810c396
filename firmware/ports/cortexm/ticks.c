/* The core's clock, counted in images that profile: by the DWT's cycle counter where the core has
 * one, else by SysTick. A chip without either replaces the function. Armv7-M and Armv8-M reference
 * manuals: DWT_CTRL, DWT_CYCCNT, DEMCR, SYST_CSR. */
#include "port.h"

#ifdef PROFILE

#include "cortexm.h"

#define DEMCR 0xE000EDFCu
#define DEMCR_TRCENA (1u << 24)
#define DWT_CTRL 0xE0001000u
#define DWT_CYCCNT 0xE0001004u
#define DWT_LAR 0xE0001FB0u
#define CTRL_CYCCNTENA 1u
#define LAR_KEY 0xC5ACCE55u /* a Cortex-M7 ignores writes before it */

#define SYST_CSR 0xE000E010u
#define SYST_RVR 0xE000E014u
#define SYST_CVR 0xE000E018u
#define CSR_ENABLE 1u
#define CSR_CLKSOURCE 4u

/* Starts the cycle counter; false where it does not count, as in QEMU. */
static bool start_cycle_counter(void)
{
    *cortexm_register(DEMCR) |= DEMCR_TRCENA;
    *cortexm_register(DWT_LAR) = LAR_KEY;
    *cortexm_register(DWT_CTRL) |= CTRL_CYCCNTENA;
    const uint32_t before = *cortexm_register(DWT_CYCCNT);
    return *cortexm_register(DWT_CYCCNT) != before;
}

static void start_systick(void)
{
    *cortexm_register(SYST_RVR) = PORT_TICKS_MASK;
    *cortexm_register(SYST_CVR) = 0;
    *cortexm_register(SYST_CSR) = CSR_ENABLE | CSR_CLKSOURCE;
}

__attribute__((weak)) uint32_t port_ticks(void)
{
    static bool by_systick, started;
    if (!started) {
        started = true;
        by_systick = !start_cycle_counter();
        if (by_systick) {
            start_systick();
        }
    }
    return by_systick ? 0u - *cortexm_register(SYST_CVR) : *cortexm_register(DWT_CYCCNT);
}

#endif
