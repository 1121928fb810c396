/* STM32L4: the DMA channel of the link's USART. RM0351: DMA controller, its request selection.
 *
 * CNDTR counts down once a byte is stored, and is loaded again when it reaches 0. */
#include "dma.h"

#include "bus.h"
#include "usart.h"

#define RCC_AHB1ENR 0x40021048u
#define AHB1ENR_DMA1EN (1u << 0)

#define CHANNEL (BOARD_USART == 1 ? 5u : 6u)
#define DMA_CCR (0x40020008u + 20u * (CHANNEL - 1u))
#define DMA_CNDTR (DMA_CCR + 0x04u)
#define DMA_CPAR (DMA_CCR + 0x08u)
#define DMA_CMAR (DMA_CCR + 0x0Cu)
#define DMA_CSELR 0x400200A8u
#define CSELR_AT (4u * (CHANNEL - 1u))
#define CSELR_MASK 0xFu
#define CSELR_USART 2u

#define CCR_EN (1u << 0)
#define CCR_CIRC (1u << 5)
#define CCR_MINC (1u << 7)
#define CCR_PRIORITY_HIGH (2u << 12)
/* From the register, which stays, to memory; bytes to bytes; no interrupts. */
#define SETTINGS (CCR_CIRC | CCR_MINC | CCR_PRIORITY_HIGH)

bool dma_start(uint32_t source, volatile uint8_t *ring, uint32_t ring_bytes)
{
    bus_write(RCC_AHB1ENR, bus_read(RCC_AHB1ENR) | AHB1ENR_DMA1EN);
    (void)bus_read(RCC_AHB1ENR); /* the clock is there a little later */
    const uint32_t others = bus_read(DMA_CSELR) & ~(CSELR_MASK << CSELR_AT);
    bus_write(DMA_CSELR, others | (CSELR_USART << CSELR_AT));
    bus_write(DMA_CPAR, source);
    bus_write(DMA_CMAR, (uint32_t)(uintptr_t)ring);
    bus_write(DMA_CNDTR, ring_bytes);
    bus_write(DMA_CCR, SETTINGS);
    bus_write(DMA_CCR, SETTINGS | CCR_EN);
    return (bus_read(DMA_CCR) & CCR_EN) != 0;
}

void dma_stop(void)
{
    bus_write(DMA_CCR, SETTINGS);
}

uint32_t dma_left(void)
{
    return bus_read(DMA_CNDTR);
}
