/* nRF52: sizes of the link. The build names PORT_PIN_RXD, the pin on which the board's debugger sends;
 * its receiving end is the same pin on all boards. */
#ifndef PORT_CONFIG_H
#define PORT_CONFIG_H

#define LINK_PAYLOAD_MAX 1024u
#define PORT_RING_BYTES 4096u
#define PORT_STORE 1
#define PORT_SAMPLES 1
#define PORT_PARTS 1
#define PORT_BAUD 1
#define PORT_DMA 1
#define PORT_DMA_PART_BYTES 64u
#define PORT_DMA_LEAVES_OUT_DAMAGE 1
#define PORT_FLASH_PAGE_BYTES 4096u

#define PORT_INSTRUCTION_CACHE 1

#define PORT_PIN_TXD 6u

#endif
