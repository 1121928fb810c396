/* STM32L4: sizes of the link. */
#ifndef PORT_CONFIG_H
#define PORT_CONFIG_H

#define LINK_PAYLOAD_MAX 1024u
#define PORT_RING_BYTES 4096u
#define PORT_STORE 1
#define PORT_SAMPLES 1
#define PORT_BAUD 1
#define PORT_PARTS 1
#define PORT_DMA 1
#define PORT_DMA_STOPS 1
#define PORT_DMA_LEAVES_OUT_DAMAGE 1

#define PORT_FLASH_PAGE_BYTES 2048u

#endif
