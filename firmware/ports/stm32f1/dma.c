/* STM32F1: the DMA channel of the link's USART. */
#include "dma.h"

#include "dma_channel.h"

#define RCC_AHBENR 0x40021014u
#define AHBENR_DMA1EN (1u << 0)

bool dma_start(uint32_t source, volatile uint8_t *ring, uint32_t ring_bytes)
{
    bus_write(RCC_AHBENR, bus_read(RCC_AHBENR) | AHBENR_DMA1EN);
    (void)bus_read(RCC_AHBENR); /* the clock is there a little later */
    return dma_channel_start(source, ring, ring_bytes);
}

uint32_t dma_left(void)
{
    return bus_read(DMA_CNDTR);
}
