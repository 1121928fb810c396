/* SysTick as a counter of the core's clock, in images that profile; a chip without one replaces
 * the function. */
#include "port.h"

#ifdef PROFILE

#include "cortexm.h"

#define SYST_CSR 0xE000E010u
#define SYST_RVR 0xE000E014u
#define SYST_CVR 0xE000E018u
#define CSR_ENABLE 1u
#define CSR_CLKSOURCE 4u

__attribute__((weak)) uint32_t port_ticks(void)
{
    if ((*cortexm_register(SYST_CSR) & CSR_ENABLE) == 0) {
        *cortexm_register(SYST_RVR) = PORT_TICKS_MASK;
        *cortexm_register(SYST_CVR) = 0;
        *cortexm_register(SYST_CSR) = CSR_ENABLE | CSR_CLKSOURCE;
    }
    return 0u - *cortexm_register(SYST_CVR);
}

#endif
