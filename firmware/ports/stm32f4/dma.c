/* STM32F4: the DMA stream of the link's USART. RM0090, RM0368, RM0383, RM0390: DMA controller, its
 * request maps.
 *
 * NDTR counts down once a byte is stored, and is loaded again when it reaches 0. The stream's FIFO
 * is off, as after a reset: a byte that waited there would be counted and not seen. */
#include "dma.h"

#include "bus.h"
#include "usart.h"

#define RCC_AHB1ENR 0x40023830u

#if BOARD_USART == 1 /* DMA2, stream 2, channel 4 */
#define AHB1ENR_DMAEN (1u << 22)
#define DMA_STREAM (0x40026410u + 0x18u * 2u)
#else /* DMA1, stream 5, channel 4 */
#define AHB1ENR_DMAEN (1u << 21)
#define DMA_STREAM (0x40026010u + 0x18u * 5u)
#endif
#define DMA_CR DMA_STREAM
#define DMA_NDTR (DMA_STREAM + 0x04u)
#define DMA_PAR (DMA_STREAM + 0x08u)
#define DMA_M0AR (DMA_STREAM + 0x0Cu)

#define CR_EN (1u << 0)
#define CR_CIRC (1u << 8)
#define CR_MINC (1u << 10)
#define CR_PRIORITY_HIGH (2u << 16)
#define CR_CHANNEL_4 (4u << 25)
/* From the register, which stays, to memory; bytes to bytes; no interrupts. */
#define SETTINGS (CR_CIRC | CR_MINC | CR_PRIORITY_HIGH | CR_CHANNEL_4)

bool dma_start(uint32_t source, volatile uint8_t *ring, uint32_t ring_bytes)
{
    bus_write(RCC_AHB1ENR, bus_read(RCC_AHB1ENR) | AHB1ENR_DMAEN);
    (void)bus_read(RCC_AHB1ENR); /* the clock is there a little later */
    bus_write(DMA_PAR, source);
    bus_write(DMA_M0AR, (uint32_t)(uintptr_t)ring);
    bus_write(DMA_NDTR, ring_bytes);
    bus_write(DMA_CR, SETTINGS);
    bus_write(DMA_CR, SETTINGS | CR_EN);
    return (bus_read(DMA_CR) & CR_EN) != 0;
}

uint32_t dma_left(void)
{
    return bus_read(DMA_NDTR);
}
