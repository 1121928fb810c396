/* The channel: its registers can be reached once its clock runs, and are written while it is off.
 * Addresses and bits are those of RM0008 (F1, channels 5 and 6), RM0351 (L4, the same channels, which
 * CSELR gives to one of eight) and RM0090 (F4, DMA2 stream 2 and DMA1 stream 5). */
#include "dma_model.h"
#include "far_end.h"

#include <stddef.h>

#if defined(STM32F103) || defined(STM32L4)
#ifdef STM32L4
#define CLOCK 0x40021048u
#define SELECTION 0x400200A8u
#define SELECTED (BOARD_USART == 1 ? 0x20000u : 0x200000u)
#else
#define CLOCK 0x40021014u
#endif
#define CLOCK_BIT 0x1u
#define CONTROL (BOARD_USART == 1 ? 0x40020058u : 0x4002006Cu)
#define WANTED 0xA0u      /* CIRC, MINC */
#define PRIORITY 0x3000u
#else
#define CLOCK 0x40023830u
#define CLOCK_BIT (BOARD_USART == 1 ? 0x400000u : 0x200000u)
#define CONTROL (BOARD_USART == 1 ? 0x40026440u : 0x40026088u)
#define WANTED 0x08000500u /* channel 4, CIRC, MINC */
#define PRIORITY 0x30000u
#endif
#define COUNT (CONTROL + 4u)
#define SOURCE (CONTROL + 8u)
#define MEMORY (CONTROL + 12u)
#define ENABLE 1u
#ifndef SELECTION
#define SELECTION 0u
#define SELECTED 0u
#endif

bool dma_model_there;

static uint32_t clock, control, count, source, memory, loaded, selection;
static uint32_t zeros; /* read until it is loaded again, which is before the next byte */

bool dma_model_has(uint32_t address)
{
    return address == CLOCK || (SELECTION != 0 && address == SELECTION) ||
           (address >= CONTROL && address <= MEMORY);
}

uint32_t dma_model_read(uint32_t address)
{
    if (!dma_model_there) {
        return 0;
    }
    if (address == CLOCK) {
        return clock;
    }
    if ((clock & CLOCK_BIT) == 0) {
        model_broken("starts the controller's clock first", address, 0);
    }
    if (SELECTION != 0 && address == SELECTION) {
        return selection;
    }
    if (address == COUNT && zeros > 0) {
        zeros--;
        return 0;
    }
    return address == COUNT ? count : address == CONTROL ? control : 0;
}

void dma_model_write(uint32_t address, uint32_t value)
{
    if (!dma_model_there) {
        return;
    }
    if (address == CLOCK) {
        clock = value;
        return;
    }
    const bool stops = address == CONTROL && (value & ENABLE) == 0;
    if ((clock & CLOCK_BIT) == 0 || ((control & ENABLE) != 0 && !stops)) {
        model_broken("sets up a channel that is off and has its clock", address, value);
    }
    if (SELECTION != 0 && address == SELECTION) {
        selection = value;
        return;
    }
    if (address == CONTROL) {
        control = value;
        loaded = count;
    } else if (address == COUNT) {
        count = value;
    } else if (address == SOURCE) {
        source = value;
    } else {
        memory = value;
    }
}

bool dma_model_runs(void)
{
    return (control & ENABLE) != 0;
}

bool dma_model_listens(uint32_t data_register)
{
    if (!dma_model_runs()) {
        return false;
    }
    if ((control & ~PRIORITY) != (WANTED | ENABLE) || selection != SELECTED ||
        source != data_register || loaded == 0) {
        model_broken("takes bytes from the USART, over and over", source, control);
    }
    return true;
}

void dma_model_store(uint8_t byte)
{
    volatile uint8_t *ring = (volatile uint8_t *)(uintptr_t)memory;
    ring[loaded - count] = byte;
    count--;
    zeros = 0;
    if (count == 0) {
        count = loaded;
        zeros = 2;
    }
}
