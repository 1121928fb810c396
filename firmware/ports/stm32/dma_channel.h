/* STM32F1 and L4: the channel of DMA1 that receives for the link's USART. RM0008, RM0041, RM0351: DMA
 * controller, its request map or selection.
 *
 * CNDTR counts down once a byte is stored, and is loaded again when it reaches 0. */
#ifndef DMA_CHANNEL_H
#define DMA_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "bus.h"
#include "usart.h"

#define DMA_CHANNEL (BOARD_USART == 1 ? 5u : 6u)
#define DMA_CCR (0x40020008u + 20u * (DMA_CHANNEL - 1u))
#define DMA_CNDTR (DMA_CCR + 0x04u)
#define DMA_CPAR (DMA_CCR + 0x08u)
#define DMA_CMAR (DMA_CCR + 0x0Cu)

#define CCR_EN (1u << 0)
#define CCR_CIRC (1u << 5)
#define CCR_MINC (1u << 7)
#define CCR_PRIORITY_HIGH (2u << 12)
/* From the register, which stays, to memory; bytes to bytes; no interrupts. */
#define DMA_SETTINGS (CCR_CIRC | CCR_MINC | CCR_PRIORITY_HIGH)

/* dma_start() of dma.h, once the controller has its clock. */
static inline bool dma_channel_start(uint32_t source, volatile uint8_t *ring, uint32_t ring_bytes)
{
    bus_write(DMA_CPAR, source);
    bus_write(DMA_CMAR, (uint32_t)(uintptr_t)ring);
    bus_write(DMA_CNDTR, ring_bytes);
    bus_write(DMA_CCR, DMA_SETTINGS);
    bus_write(DMA_CCR, DMA_SETTINGS | CCR_EN);
    return (bus_read(DMA_CCR) & CCR_EN) != 0;
}

#endif
