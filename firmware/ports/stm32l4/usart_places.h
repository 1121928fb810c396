/* STM32L4: where a USART lies and what starts its clock. RM0351: memory map, RCC. */
#ifndef USART_PLACES_H
#define USART_PLACES_H

#define USART1_BASE 0x40013800u
#define USART_SECOND_LAYOUT 1

#if BOARD_USART == 1
#define USART_ENABLE 0x40021060u /* APB2ENR */
#define USART_ENABLE_BIT (1u << 14)
#else
#define USART_ENABLE 0x40021058u /* APB1ENR1 */
#define USART_ENABLE_BIT (1u << 17)
#endif

#endif
