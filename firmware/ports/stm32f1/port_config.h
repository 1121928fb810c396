/* STM32F100: sizes of the link on the smallest member. */
#ifndef PORT_CONFIG_H
#define PORT_CONFIG_H

#define LINK_PAYLOAD_MAX 256u
/* Two frames of three 65-byte samples: one can arrive while the other is trained. */
#define PORT_RING_BYTES 432u
#define PORT_BAUD 1

#define PORT_FLASH_PAGE_BYTES 1024u

#endif
