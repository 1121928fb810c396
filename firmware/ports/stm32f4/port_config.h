/* STM32F4: sizes of the link, and the USART that carries it. */
#ifndef PORT_CONFIG_H
#define PORT_CONFIG_H

#define LINK_PAYLOAD_MAX 1024u
#define PORT_RING_BYTES 4096u
#define PORT_STORE 1

#define PORT_USART 0x40011000u /* USART1 */
#define PORT_USART_INTERRUPT 37u

#endif
