/* What the Cortex-M ports share: registers, bounded waits, interrupts, received bytes. */
#ifndef CORTEXM_H
#define CORTEXM_H

#include <stdbool.h>
#include <stdint.h>

typedef void (*cortexm_vector_t)(void);

/* Goes behind the core's own vectors; every image defines one such table. */
#define CORTEXM_INTERRUPTS __attribute__((section(".vectors.interrupts"), used))

static inline volatile uint32_t *cortexm_register(uint32_t address)
{
    return (volatile uint32_t *)(uintptr_t)address;
}

/* Reads `address` until the bits of `mask` equal `value`, at most `tries` times. */
static inline bool cortexm_wait(uint32_t address, uint32_t mask, uint32_t value, uint32_t tries)
{
    for (uint32_t i = 0; i < tries; i++) {
        if ((*cortexm_register(address) & mask) == value) {
            return true;
        }
    }
    return false;
}

/* Lets the external interrupt `number` reach its vector. */
static inline void cortexm_enable_interrupt(uint32_t number)
{
    *cortexm_register(0xE000E100u + 4u * (number / 32u)) = 1u << (number % 32u); /* NVIC_ISER */
}

static inline void cortexm_mask_interrupts(void)
{
    __asm volatile("cpsid i" ::: "memory");
}

/* Also ends when a masked one comes. */
static inline void cortexm_wait_for_interrupt(void)
{
    __asm volatile("wfi");
}

static inline void cortexm_unmask_interrupts(void)
{
    __asm volatile("cpsie i\n\tisb" ::: "memory");
}

/* Where the core starts. */
void cortexm_reset(void);

/* Stores a received byte for port_read(); called by the port's interrupt only. A byte that finds
 * the buffer full is dropped: its frame's CRC then fails and the host repeats it. */
void cortexm_received(uint8_t byte);

/* In ports that define PORT_DMA: lets DMA take bytes from the UART's data register `source`. False
 * where it cannot: the interrupt does it then. */
bool cortexm_receive_by_dma(uint32_t source);

/* Of those ports: makes the UART forget that a byte was lost. Called while nothing arrives by DMA. */
void cortexm_clear_overrun(void);

/* In ports that define PORT_DMA_LEAVES_OUT_DAMAGE instead: a byte came whose stop bit did not, so that
 * DMA leaves it out; called by the port's interrupt only. A row of them, as a host's zeros make that
 * are slower than the line, brings it back to the speed at start. */
void cortexm_framing_error(void);

#endif
