/* STM32F1: clock and pins. USART1 on PA9 (TX) and PA10 (RX).
 *
 * QEMU models neither RCC nor GPIO: their registers read 0, every wait below runs out, and the
 * image goes on with the internal oscillator's figures, which the emulated USART ignores. */
#include "port.h"

#include "cortexm.h"
#include "port_config.h"
#include "usart.h"

#define RCC_CR 0x40021000u
#define RCC_CFGR 0x40021004u
#define RCC_APB2ENR 0x40021018u
#define GPIOA_CRH 0x40010804u
#define GPIOA_BSRR 0x40010810u

#define CR_HSEON (1u << 16)
#define CR_HSERDY (1u << 17)
#define CR_PLLON (1u << 24)
#define CR_PLLRDY (1u << 25)
#define CFGR_SW_PLL 2u
#define CFGR_SWS_MASK (3u << 2)
#define CFGR_SWS_PLL (2u << 2)
#define CFGR_PLLSRC_HSE (1u << 16)
#define CFGR_PLLMUL(factor) (((factor)-2u) << 18)
#define APB2ENR_IOPAEN (1u << 2)
#define APB2ENR_USART1EN (1u << 14)

#define HSI_HZ 8000000u
#define PLL_HZ 24000000u
#define CLOCK_TRIES 20000u

/* 24 MHz from the 8 MHz crystal, else from the internal 8 MHz oscillator's half, else 8 MHz.
 * The value line's flash needs no wait states at 24 MHz. Returns the clock of core and buses. */
static uint32_t start_clock(void)
{
    *cortexm_register(RCC_CR) |= CR_HSEON;
    if (cortexm_wait(RCC_CR, CR_HSERDY, CR_HSERDY, CLOCK_TRIES)) {
        *cortexm_register(RCC_CFGR) = CFGR_PLLSRC_HSE | CFGR_PLLMUL(3u);
    } else {
        *cortexm_register(RCC_CFGR) = CFGR_PLLMUL(6u);
    }
    *cortexm_register(RCC_CR) |= CR_PLLON;
    if (!cortexm_wait(RCC_CR, CR_PLLRDY, CR_PLLRDY, CLOCK_TRIES)) {
        return HSI_HZ;
    }
    *cortexm_register(RCC_CFGR) |= CFGR_SW_PLL;
    if (!cortexm_wait(RCC_CFGR, CFGR_SWS_MASK, CFGR_SWS_PLL, CLOCK_TRIES)) {
        return HSI_HZ;
    }
    return PLL_HZ;
}

void port_init(void)
{
    const uint32_t clock_hz = start_clock();
    *cortexm_register(RCC_APB2ENR) |= APB2ENR_IOPAEN | APB2ENR_USART1EN;
    *cortexm_register(GPIOA_BSRR) = 1u << 10; /* PA10's pull is up: no noise without a cable */
    /* PA9: alternate function, push-pull, 50 MHz; PA10: input with pull. */
    *cortexm_register(GPIOA_CRH) = (*cortexm_register(GPIOA_CRH) & ~0xFF0u) | 0x8B0u;
    usart_start(clock_hz);
}
