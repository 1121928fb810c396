/* STM32F1: where a USART lies and what starts its clock. RM0008, RM0041: memory map, RCC. */
#ifndef USART_PLACES_H
#define USART_PLACES_H

#define USART1_BASE 0x40013800u

#define RCC_APB2ENR 0x40021018u
#define RCC_APB1ENR 0x4002101Cu
#if BOARD_USART == 1
#define USART_ENABLE RCC_APB2ENR
#define USART_ENABLE_BIT (1u << 14)
#else
#define USART_ENABLE RCC_APB1ENR
#define USART_ENABLE_BIT (1u << 17)
#endif

#endif
