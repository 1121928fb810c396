/* BBC micro:bit: sizes of the link, and the pins that lead to its USB interface. */
#ifndef PORT_CONFIG_H
#define PORT_CONFIG_H

#define LINK_PAYLOAD_MAX 728u
/* Two frames of eleven 65-byte samples: one can arrive while the other is trained. */
#define PORT_RING_BYTES 1488u
#define PORT_STORE 1
#define PORT_SAMPLES 1
#define PORT_FLASH_PAGE_BYTES 1024u

#define PORT_PIN_TXD 24u
#define PORT_PIN_RXD 25u

#endif
