/* STM32F4: where a USART lies and what starts its clock. RM0090, RM0368, RM0383, RM0390: memory
 * map, RCC. */
#ifndef USART_PLACES_H
#define USART_PLACES_H

#define USART1_BASE 0x40011000u

#define RCC_APB1ENR 0x40023840u
#define RCC_APB2ENR 0x40023844u
#if BOARD_USART == 1
#define USART_ENABLE RCC_APB2ENR
#define USART_ENABLE_BIT (1u << 4)
#else
#define USART_ENABLE RCC_APB1ENR
#define USART_ENABLE_BIT (1u << 17)
#endif

#endif
