/* MPS2 with image AN505: sizes of the link, and the UART that carries it. */
#ifndef PORT_CONFIG_H
#define PORT_CONFIG_H

#define LINK_PAYLOAD_MAX 1024u
#define PORT_RING_BYTES 4096u
#define PORT_PARTS 1

#define PORT_UART 0x50200000u /* the secure alias */
#define PORT_UART_HZ 20000000u
#define PORT_UART_INTERRUPT 32u

#endif
