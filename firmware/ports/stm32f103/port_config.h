/* STM32F103: sizes of the link on a member with 20 KB of RAM. */
#ifndef PORT_CONFIG_H
#define PORT_CONFIG_H

#define LINK_PAYLOAD_MAX 832u
/* Two frames of twelve 65-byte samples, with what DMA must leave free. */
#define PORT_RING_BYTES 1792u
#define PORT_STORE 1
#define PORT_SAMPLES 1
#define PORT_BAUD 1
#define PORT_DMA 1

#define PORT_FLASH_PAGE_BYTES 1024u

#endif
