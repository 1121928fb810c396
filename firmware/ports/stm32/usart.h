/* The USART of the STM32 families F1, F2 and F4, as the link's byte port.
 *
 * port_config.h names the one that is used: PORT_USART (address), PORT_USART_INTERRUPT (number). */
#ifndef USART_H
#define USART_H

#include <stdint.h>

#define USART_BAUD 115200u

/* Starts the USART, whose clock runs at `clock_hz`, with 8 data bits, no parity, one stop bit. */
void usart_start(uint32_t clock_hz);

#endif
