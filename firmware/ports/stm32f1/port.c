/* STM32F1: clock and pins. RM0008 (value line: RM0041): RCC, GPIO; PM0075: latency.
 *
 * The board's environment names its oscillator: BOARD_HSE_HZ, and BOARD_HSE_BYPASS where it is not
 * a crystal but another chip's output. F_CPU is the full speed of the board.
 *
 * QEMU models neither RCC nor GPIO: their registers read 0, every wait below runs out, and the
 * image goes on with the internal oscillator's figures, which the emulated USART ignores. */
#include "port.h"

#include "cortexm.h"
#include "usart.h"

#define FLASH_ACR 0x40022000u
#define RCC_CR 0x40021000u
#define RCC_CFGR 0x40021004u
#define GPIOA_CR (0x40010800u + 4u * (USART_PIN_TX / 8u)) /* CRL, CRH */
#define GPIOA_BSRR 0x40010810u

#define CR_HSEON (1u << 16)
#define CR_HSERDY (1u << 17)
#define CR_HSEBYP (1u << 18)
#define CR_PLLON (1u << 24)
#define CR_PLLRDY (1u << 25)
#define CFGR_SW_PLL 2u
#define CFGR_SWS_MASK (3u << 2)
#define CFGR_SWS_PLL (2u << 2)
#define CFGR_PPRE1_DIV2 (4u << 8)
#define CFGR_PLLSRC_HSE (1u << 16)
#define CFGR_PLLMUL(factor) (((factor)-2u) << 18)
#define ACR_PREFETCH (1u << 4)
#define APB2ENR_IOPAEN (1u << 2)
/* The fields of both pins: alternate function, push-pull, up to 50 MHz; input with pull. */
#define PIN_FIELDS (4u * (USART_PIN_TX % 8u))
#define PINS_OF_USART 0x8Bu

#define HSI_HZ 8000000u
#define FULL_HZ ((uint32_t)F_CPU)
/* The internal oscillator enters the PLL by half: at most 64 MHz come out. */
#define HSI_FACTOR (FULL_HZ / (HSI_HZ / 2u) < 16u ? FULL_HZ / (HSI_HZ / 2u) : 16u)
#define CLOCK_TRIES 20000u

/* APB1 takes 36 MHz at most, APB2 as much as the core. */
#define APB1_DIVIDER (FULL_HZ > 36000000u ? 2u : 1u)
#define PPRE1 (APB1_DIVIDER == 2u ? CFGR_PPRE1_DIV2 : 0u)
#define USART_DIVIDER (BOARD_USART == 1 ? 1u : APB1_DIVIDER)
/* One for every 24 MHz begun but the first; the value line has 24 MHz and no such field. */
#define WAIT_STATES ((FULL_HZ - 1u) / 24000000u)

_Static_assert(FULL_HZ % BOARD_HSE_HZ == 0 && FULL_HZ / BOARD_HSE_HZ <= 16u,
               "the PLL multiplies by 2 to 16");

/* Full speed from the board's oscillator, else what the internal one gives, else 8 MHz. Returns the
 * clock of the core. */
static uint32_t start_clock(void)
{
    uint32_t setting = CFGR_PLLMUL(HSI_FACTOR) | PPRE1;
    uint32_t hz = HSI_FACTOR * (HSI_HZ / 2u);
#ifdef BOARD_HSE_BYPASS
    *cortexm_register(RCC_CR) |= CR_HSEBYP; /* writable while the oscillator is off */
#endif
    *cortexm_register(RCC_CR) |= CR_HSEON;
    if (cortexm_wait(RCC_CR, CR_HSERDY, CR_HSERDY, CLOCK_TRIES)) {
        setting = CFGR_PLLSRC_HSE | CFGR_PLLMUL(FULL_HZ / BOARD_HSE_HZ) | PPRE1;
        hz = FULL_HZ;
    }
    *cortexm_register(RCC_CFGR) = setting;
    *cortexm_register(RCC_CR) |= CR_PLLON;
    if (!cortexm_wait(RCC_CR, CR_PLLRDY, CR_PLLRDY, CLOCK_TRIES)) {
        return HSI_HZ;
    }
    if (WAIT_STATES != 0) {
        *cortexm_register(FLASH_ACR) = ACR_PREFETCH | WAIT_STATES;
    }
    *cortexm_register(RCC_CFGR) = setting | CFGR_SW_PLL;
    return cortexm_wait(RCC_CFGR, CFGR_SWS_MASK, CFGR_SWS_PLL, CLOCK_TRIES) ? hz : HSI_HZ;
}

void port_init(void)
{
    const uint32_t clock_hz = start_clock();
    *cortexm_register(RCC_APB2ENR) |= APB2ENR_IOPAEN;
    *cortexm_register(USART_ENABLE) |= USART_ENABLE_BIT;
    /* The pull is up: no noise without a cable. */
    *cortexm_register(GPIOA_BSRR) = 1u << USART_PIN_RX;
    *cortexm_register(GPIOA_CR) = (*cortexm_register(GPIOA_CR) & ~(0xFFu << PIN_FIELDS)) |
                                  (PINS_OF_USART << PIN_FIELDS);
    usart_start(clock_hz / USART_DIVIDER);
}
