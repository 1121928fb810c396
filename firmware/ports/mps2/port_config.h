/* MPS2 with the images AN385, AN386 and AN500: sizes of the link, and the UART that carries it. */
#ifndef PORT_CONFIG_H
#define PORT_CONFIG_H

#define LINK_PAYLOAD_MAX 1024u
#define PORT_RING_BYTES 4096u

#define PORT_UART 0x40004000u
#define PORT_UART_HZ 25000000u
#define PORT_UART_INTERRUPT 0u

#endif
