/* STM32F4: clock and pins. RM0090 (F405, F407), RM0368 (F401), RM0383 (F411), RM0390 (F446):
 * embedded flash memory interface, PWR, RCC, GPIO.
 *
 * The board's environment names its oscillator: BOARD_HSE_HZ, and BOARD_HSE_BYPASS where it is not
 * a crystal but another chip's output. F_CPU is the full speed of the board.
 *
 * QEMU models neither RCC nor GPIO nor the flash interface: their registers read 0, every wait
 * below runs out, and the image goes on with the internal oscillator's figures, which the
 * emulated USART ignores. */
#include "port.h"

#include <stdbool.h>

#include "cortexm.h"
#include "usart.h"

#define FLASH_ACR 0x40023C00u
#define PWR_CR 0x40007000u
#define PWR_CSR 0x40007004u
#define RCC_CR 0x40023800u
#define RCC_PLLCFGR 0x40023804u
#define RCC_CFGR 0x40023808u
#define RCC_AHB1ENR 0x40023830u
#define GPIOA_MODER 0x40020000u
#define GPIOA_PUPDR 0x4002000Cu
#define GPIOA_AFR (0x40020020u + 4u * (USART_PIN_TX / 8u)) /* AFRL, AFRH */

#define CR_HSEON (1u << 16)
#define CR_HSERDY (1u << 17)
#define CR_HSEBYP (1u << 18)
#define CR_PLLON (1u << 24)
#define CR_PLLRDY (1u << 25)
#define PLLCFGR_SRC_HSE (1u << 22)
#define PLLCFGR_R (2u << 28) /* of the F446, unused; the others want it kept */
#define CFGR_SW_PLL 2u
#define CFGR_SWS_MASK (3u << 2)
#define CFGR_SWS_PLL (2u << 2)
#define CFGR_PPRE1(divider) ((divider) == 4u ? 5u << 10 : 4u << 10)
#define CFGR_PPRE2(divider) ((divider) == 2u ? 4u << 13 : 0u)
#define ACR_LATENCY_MASK 7u
#define ACR_PREFETCH_AND_CACHES (7u << 8)
#define AHB1ENR_GPIOAEN (1u << 0)
#define APB1ENR_PWREN (1u << 28)
#define PWR_CR_VOS_SCALE_1 (3u << 14)
#define PWR_CSR_VOSRDY (1u << 14)
#define PWR_OVER_DRIVE (1u << 16)  /* ODEN in CR, ODRDY in CSR */
#define PWR_OVER_DRIVEN (1u << 17) /* ODSWEN in CR, ODSWRDY in CSR */
#define PUPD_UP 1u
/* Of both pins. */
#define MODES_ALTERNATE 0xAu
#define USART_FUNCTIONS 0x77u

#define MEGA 1000000u
#define HSI_HZ (16u * MEGA)
#define FULL_HZ ((uint32_t)F_CPU)
#define CLOCK_TRIES 20000u

/* The input is divided to 1 MHz, multiplied to 192 to 432 MHz, divided to the core's clock. */
#define PLL_P (FULL_HZ > 108u * MEGA ? 2u : 4u)
#define PLL_N (FULL_HZ / MEGA * PLL_P)
#define PLL_Q ((PLL_N + 47u) / 48u) /* for USB, unused: 48 MHz at most */
/* One for every 30 MHz begun but the first, at 2.7 V or more. */
#define WAIT_STATES ((FULL_HZ - 1u) / (30u * MEGA))
/* APB1 takes 42 to 50 MHz, APB2 twice as much. */
#define APB1_DIVIDER (FULL_HZ > 100u * MEGA ? 4u : 2u)
#define APB2_DIVIDER (APB1_DIVIDER / 2u)
#define USART_DIVIDER (BOARD_USART == 1 ? APB2_DIVIDER : APB1_DIVIDER)
/* Only the F411 starts below the voltage that its full speed wants, only the F446 has a higher. */
#ifdef STM32F411xE
#define RAISES_VOLTAGE true
#else
#define RAISES_VOLTAGE false
#endif
#define OVER_DRIVES (FULL_HZ > 168u * MEGA)

_Static_assert(PLL_N >= 192u && PLL_N <= 432u && FULL_HZ % MEGA == 0, "range of the PLL");
_Static_assert(BOARD_HSE_HZ % MEGA == 0 && BOARD_HSE_HZ <= 63u * MEGA, "range of its divider");

/* Lets a clock reach a peripheral, which answers a little later: the errata advise a read. */
static void enable(uint32_t address, uint32_t bits)
{
    *cortexm_register(address) |= bits;
    (void)*cortexm_register(address);
}

/* Starts the PLL from the board's oscillator, else from the internal one. */
static bool start_pll(void)
{
    const uint32_t factors =
        (PLL_N << 6) | ((PLL_P / 2u - 1u) << 16) | (PLL_Q << 24) | PLLCFGR_R;
#ifdef BOARD_HSE_BYPASS
    *cortexm_register(RCC_CR) |= CR_HSEBYP; /* writable while the oscillator is off */
#endif
    *cortexm_register(RCC_CR) |= CR_HSEON;
    if (cortexm_wait(RCC_CR, CR_HSERDY, CR_HSERDY, CLOCK_TRIES)) {
        *cortexm_register(RCC_PLLCFGR) = factors | BOARD_HSE_HZ / MEGA | PLLCFGR_SRC_HSE;
    } else {
        *cortexm_register(RCC_PLLCFGR) = factors | HSI_HZ / MEGA;
    }
    *cortexm_register(RCC_CR) |= CR_PLLON;
    return cortexm_wait(RCC_CR, CR_PLLRDY, CR_PLLRDY, CLOCK_TRIES);
}

/* The scale is chosen while the PLL is off and takes effect once it is on. */
static void choose_voltage(void)
{
    if (RAISES_VOLTAGE || OVER_DRIVES) {
        enable(RCC_APB1ENR, APB1ENR_PWREN);
        *cortexm_register(PWR_CR) |= PWR_CR_VOS_SCALE_1;
    }
}

/* True when the voltage is there that full speed wants. */
static bool raise_voltage(void)
{
    bool good = true;
    if (RAISES_VOLTAGE) {
        good = cortexm_wait(PWR_CSR, PWR_CSR_VOSRDY, PWR_CSR_VOSRDY, CLOCK_TRIES);
    }
    if (OVER_DRIVES) {
        *cortexm_register(PWR_CR) |= PWR_OVER_DRIVE;
        good = cortexm_wait(PWR_CSR, PWR_OVER_DRIVE, PWR_OVER_DRIVE, CLOCK_TRIES);
        *cortexm_register(PWR_CR) |= PWR_OVER_DRIVEN;
        good = good && cortexm_wait(PWR_CSR, PWR_OVER_DRIVEN, PWR_OVER_DRIVEN, CLOCK_TRIES);
    }
    return good;
}

/* Full speed, or 16 MHz where a wait runs out. Returns the clock of the USART. */
static uint32_t start_clock(void)
{
    choose_voltage();
    if (!start_pll() || !raise_voltage()) {
        return HSI_HZ;
    }
    *cortexm_register(FLASH_ACR) = ACR_PREFETCH_AND_CACHES | WAIT_STATES;
    if (!cortexm_wait(FLASH_ACR, ACR_LATENCY_MASK, WAIT_STATES, CLOCK_TRIES)) {
        return HSI_HZ;
    }
    const uint32_t dividers = CFGR_PPRE1(APB1_DIVIDER) | CFGR_PPRE2(APB2_DIVIDER);
    *cortexm_register(RCC_CFGR) = dividers;
    *cortexm_register(RCC_CFGR) = dividers | CFGR_SW_PLL;
    const bool full = cortexm_wait(RCC_CFGR, CFGR_SWS_MASK, CFGR_SWS_PLL, CLOCK_TRIES);
    return (full ? FULL_HZ : HSI_HZ) / USART_DIVIDER;
}

/* Changes the `bits` bits that begin at `at`. */
static void set_field(uint32_t address, uint32_t at, uint32_t bits, uint32_t value)
{
    const uint32_t others = *cortexm_register(address) & ~(((1u << bits) - 1u) << at);
    *cortexm_register(address) = others | (value << at);
}

void port_init(void)
{
    const uint32_t clock_hz = start_clock();
    enable(RCC_AHB1ENR, AHB1ENR_GPIOAEN);
    enable(USART_ENABLE, USART_ENABLE_BIT);
    set_field(GPIOA_PUPDR, 2u * USART_PIN_RX, 2u, PUPD_UP); /* no noise without a cable */
    set_field(GPIOA_AFR, 4u * (USART_PIN_TX % 8u), 8u, USART_FUNCTIONS);
    set_field(GPIOA_MODER, 2u * USART_PIN_TX, 4u, MODES_ALTERNATE);
    usart_start(clock_hz);
}
