/* A DMA channel that fills the receive ring, in ports that define PORT_DMA. */
#ifndef DMA_H
#define DMA_H

#include <stdbool.h>
#include <stdint.h>

/* Of the ring, behind the window: more than the questions take that a host asks while a long step is
 * computed. The channel would write them over what the ring holds, and all of it had to come again. */
#define DMA_SPARE_BYTES 128u

/* A port whose channel fills the ring by parts defines PORT_DMA_PART_BYTES: the part that it fills and
 * the one behind it hold nothing else, and are taken from the window as well. */

/* Lets every byte that `source`, the UART's data register, offers go to the ring, over and over.
 * False where there is no such controller, as in QEMU. */
bool dma_start(uint32_t source, volatile uint8_t *ring, uint32_t ring_bytes);

/* Bytes that fit until the channel begins the ring again, all of those before stored: 0 means as
 * many as the ring has. */
uint32_t dma_left(void);

/* In ports that define PORT_DMA_STOPS: lets no more bytes go to the ring until dma_start(). */
void dma_stop(void);

#endif
