/* Included first, in the place of the ports' cortexm.h: a core whose sleep the model sees. */
#ifndef CORTEXM_H
#define CORTEXM_H

#include <stdbool.h>
#include <stdint.h>

typedef void (*cortexm_vector_t)(void);
#define CORTEXM_INTERRUPTS __attribute__((section("vectors"), used))

void cortexm_mask_interrupts(void);
void cortexm_wait_for_interrupt(void);
void cortexm_unmask_interrupts(void);
void cortexm_enable_interrupt(uint32_t number);

void cortexm_received(uint8_t byte);
bool cortexm_receive_by_dma(uint32_t source);
void cortexm_clear_overrun(void);
void cortexm_framing_error(void);

#endif
