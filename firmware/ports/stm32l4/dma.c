/* STM32L4: the DMA channel of the link's USART, which chooses among requests. */
#include "dma.h"

#include "dma_channel.h"

#define RCC_AHB1ENR 0x40021048u
#define AHB1ENR_DMA1EN (1u << 0)

#define DMA_CSELR 0x400200A8u
#define CSELR_AT (4u * (DMA_CHANNEL - 1u))
#define CSELR_MASK 0xFu
#define CSELR_USART 2u

bool dma_start(uint32_t source, volatile uint8_t *ring, uint32_t ring_bytes)
{
    bus_write(RCC_AHB1ENR, bus_read(RCC_AHB1ENR) | AHB1ENR_DMA1EN);
    (void)bus_read(RCC_AHB1ENR); /* the clock is there a little later */
    const uint32_t others = bus_read(DMA_CSELR) & ~(CSELR_MASK << CSELR_AT);
    bus_write(DMA_CSELR, others | (CSELR_USART << CSELR_AT));
    return dma_channel_start(source, ring, ring_bytes);
}

void dma_stop(void)
{
    bus_write(DMA_CCR, DMA_SETTINGS);
}

uint32_t dma_left(void)
{
    return bus_read(DMA_CNDTR);
}
