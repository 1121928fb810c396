/* In the place of the ports' cortexm.h: registers of the model in ticks.c. */
#ifndef CORTEXM_H
#define CORTEXM_H

#include <stdbool.h>
#include <stdint.h>

/* The register at an address. Every call lets 3 cycles pass. */
volatile uint32_t *cortexm_register(uint32_t address);

#endif
