/* The USART of the STM32 families F1, F2, F4 and L4, as the link's byte port.
 *
 * The board's environment says which one leads to the computer, by -DBOARD_USART. The family's
 * usart_places.h says where USART1 lies, and whether its registers lie as in the L4. */
#ifndef USART_H
#define USART_H

#include <stdint.h>

#include "usart_places.h"

#if BOARD_USART == 1 /* on APB2 */
#define USART_BASE USART1_BASE
#define USART_INTERRUPT 37u
#define USART_PIN_TX 9u /* of port A; reception is on the pin behind it */
#elif BOARD_USART == 2 /* on APB1 */
#define USART_BASE 0x40004400u
#define USART_INTERRUPT 38u
#define USART_PIN_TX 2u
#else
#error "platformio.ini does not say which USART leads to the computer"
#endif
#define USART_PIN_RX (USART_PIN_TX + 1u)

/* Starts the USART, whose clock runs at `clock_hz`, at the speed at start with 8 data bits, no parity, one stop bit. */
void usart_start(uint32_t clock_hz);

#endif
