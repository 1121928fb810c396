/* STM32F405: clock and pins. USART1 on PA9 (TX) and PA10 (RX), the UEXT connector of olimex_p405.
 *
 * QEMU models neither RCC nor GPIO nor the flash interface: their registers read 0, every wait
 * below runs out, and the image goes on with the internal oscillator's figures, which the
 * emulated USART ignores. */
#include "port.h"

#include "cortexm.h"
#include "port_config.h"
#include "usart.h"

#define FLASH_ACR 0x40023C00u
#define RCC_CR 0x40023800u
#define RCC_PLLCFGR 0x40023804u
#define RCC_CFGR 0x40023808u
#define RCC_AHB1ENR 0x40023830u
#define RCC_APB2ENR 0x40023844u
#define GPIOA_MODER 0x40020000u
#define GPIOA_PUPDR 0x4002000Cu
#define GPIOA_AFRH 0x40020024u

#define CR_HSEON (1u << 16)
#define CR_HSERDY (1u << 17)
#define CR_PLLON (1u << 24)
#define CR_PLLRDY (1u << 25)
#define PLLCFGR_SRC_HSE (1u << 22)
#define CFGR_SW_PLL 2u
#define CFGR_SWS_MASK (3u << 2)
#define CFGR_SWS_PLL (2u << 2)
#define CFGR_PPRE1_DIV4 (5u << 10)
#define CFGR_PPRE2_DIV2 (4u << 13)
#define ACR_LATENCY_5 5u
#define ACR_LATENCY_MASK 7u
#define ACR_PREFETCH_AND_CACHES (7u << 8)
#define AHB1ENR_GPIOAEN (1u << 0)
#define APB2ENR_USART1EN (1u << 4)

#define HSI_HZ 16000000u
#define PLL_APB2_HZ 84000000u
#define CLOCK_TRIES 20000u

/* VCO = input / m * 336, core = VCO / 2, USB = VCO / 7. */
static uint32_t pll_setting(uint32_t m)
{
    return m | (336u << 6) | (7u << 24);
}

/* 168 MHz from the 8 MHz crystal, else from the internal 16 MHz oscillator, else 16 MHz.
 * Returns the clock of APB2. */
static uint32_t start_clock(void)
{
    *cortexm_register(RCC_CR) |= CR_HSEON;
    if (cortexm_wait(RCC_CR, CR_HSERDY, CR_HSERDY, CLOCK_TRIES)) {
        *cortexm_register(RCC_PLLCFGR) = pll_setting(8u) | PLLCFGR_SRC_HSE;
    } else {
        *cortexm_register(RCC_PLLCFGR) = pll_setting(16u);
    }
    *cortexm_register(RCC_CR) |= CR_PLLON;
    *cortexm_register(FLASH_ACR) = ACR_PREFETCH_AND_CACHES | ACR_LATENCY_5;
    if (!cortexm_wait(RCC_CR, CR_PLLRDY, CR_PLLRDY, CLOCK_TRIES) ||
        !cortexm_wait(FLASH_ACR, ACR_LATENCY_MASK, ACR_LATENCY_5, CLOCK_TRIES)) {
        return HSI_HZ;
    }
    *cortexm_register(RCC_CFGR) = CFGR_PPRE2_DIV2 | CFGR_PPRE1_DIV4;
    *cortexm_register(RCC_CFGR) |= CFGR_SW_PLL;
    if (!cortexm_wait(RCC_CFGR, CFGR_SWS_MASK, CFGR_SWS_PLL, CLOCK_TRIES)) {
        return HSI_HZ / 2u;
    }
    return PLL_APB2_HZ;
}

void port_init(void)
{
    const uint32_t clock_hz = start_clock();
    *cortexm_register(RCC_AHB1ENR) |= AHB1ENR_GPIOAEN;
    *cortexm_register(RCC_APB2ENR) |= APB2ENR_USART1EN;
    /* PA9 and PA10: alternate function 7; PA10's pull is up: no noise without a cable. */
    *cortexm_register(GPIOA_PUPDR) = (*cortexm_register(GPIOA_PUPDR) & ~(3u << 20)) | (1u << 20);
    *cortexm_register(GPIOA_AFRH) = (*cortexm_register(GPIOA_AFRH) & ~0xFF0u) | 0x770u;
    *cortexm_register(GPIOA_MODER) =
        (*cortexm_register(GPIOA_MODER) & ~(15u << 18)) | (10u << 18);
    usart_start(clock_hz);
}
