/* MPS3 with image AN547: sizes of the link, and the UART that carries it. */
#ifndef PORT_CONFIG_H
#define PORT_CONFIG_H

#define LINK_PAYLOAD_MAX 1024u
#define PORT_RING_BYTES 4096u
#define PORT_PARTS 1

#define PORT_UART 0x59303000u /* the secure alias */
#define PORT_UART_HZ 25000000u
#define PORT_UART_INTERRUPT 33u

#endif
