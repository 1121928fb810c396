/* STM32F1: sizes of the link on the smallest member, and the USART that carries it. */
#ifndef PORT_CONFIG_H
#define PORT_CONFIG_H

#define LINK_PAYLOAD_MAX 256u
/* Two frames of three 65-byte samples: one can arrive while the other is trained. */
#define PORT_RING_BYTES 432u

#define PORT_FLASH_PAGE_BYTES 1024u

#define PORT_USART 0x40013800u /* USART1 */
#define PORT_USART_INTERRUPT 37u

#endif
