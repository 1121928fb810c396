/* STM32L4: clock and pins. RM0351: embedded flash memory, RCC, GPIO.
 *
 * The PLL multiplies the internal 16 MHz oscillator, which is trimmed to 1 %: no board needs a
 * crystal. F_CPU is the full speed of the board. */
#include "port.h"

#include <stdbool.h>

#include "cortexm.h"
#include "usart.h"

#define FLASH_ACR 0x40022000u
#define RCC_CR 0x40021000u
#define RCC_CFGR 0x40021008u
#define RCC_PLLCFGR 0x4002100Cu
#define RCC_AHB2ENR 0x4002104Cu
#define GPIOA_MODER 0x48000000u
#define GPIOA_PUPDR 0x4800000Cu
#define GPIOA_AFR (0x48000020u + 4u * (USART_PIN_TX / 8u)) /* AFRL, AFRH */

#define CR_HSION (1u << 8)
#define CR_HSIRDY (1u << 10)
#define CR_PLLON (1u << 24)
#define CR_PLLRDY (1u << 25)
#define PLLCFGR_SRC_HSI 2u
#define PLLCFGR_M(divider) (((divider)-1u) << 4)
#define PLLCFGR_N(factor) ((factor) << 8)
#define PLLCFGR_REN (1u << 24) /* the system's output, divided by 2 */
#define CFGR_SW_HSI 1u
#define CFGR_SW_PLL 3u
#define CFGR_SW_MASK 3u
#define CFGR_SWS(source) ((source) << 2)
#define ACR_LATENCY_MASK 7u
#define ACR_CACHES (6u << 8) /* as after a reset */
#define AHB2ENR_GPIOAEN (1u << 0)
#define PUPD_UP 1u
/* Of both pins. */
#define MODES_ALTERNATE 0xAu
#define USART_FUNCTIONS 0x77u

#define MEGA 1000000u
#define MSI_HZ (4u * MEGA) /* runs after a reset */
#define HSI_HZ (16u * MEGA)
#define FULL_HZ ((uint32_t)F_CPU)
#define CLOCK_TRIES 20000u

/* 8 MHz enter the PLL, 64 to 344 MHz are made of them, half of it comes out. */
#define PLL_M 2u
#define PLL_N (FULL_HZ / (HSI_HZ / PLL_M / 2u))
/* One for every 16 MHz begun but the first, in the voltage range after a reset. */
#define WAIT_STATES ((FULL_HZ - 1u) / HSI_HZ)

_Static_assert(FULL_HZ % (4u * MEGA) == 0 && PLL_N >= 8u && PLL_N <= 43u, "range of the PLL");

/* Lets a clock reach a peripheral, which answers a little later. */
static void enable(uint32_t address, uint32_t bits)
{
    *cortexm_register(address) |= bits;
    (void)*cortexm_register(address);
}

/* Runs the core from a source that is ready. */
static bool run_from(uint32_t source)
{
    const uint32_t others = *cortexm_register(RCC_CFGR) & ~CFGR_SW_MASK;
    *cortexm_register(RCC_CFGR) = others | source;
    return cortexm_wait(RCC_CFGR, CFGR_SWS(CFGR_SW_MASK), CFGR_SWS(source), CLOCK_TRIES);
}

/* The PLL runs, and the flash is slow enough for it. */
static bool start_pll(void)
{
    *cortexm_register(RCC_PLLCFGR) =
        PLLCFGR_SRC_HSI | PLLCFGR_M(PLL_M) | PLLCFGR_N(PLL_N) | PLLCFGR_REN;
    *cortexm_register(RCC_CR) |= CR_PLLON;
    if (!cortexm_wait(RCC_CR, CR_PLLRDY, CR_PLLRDY, CLOCK_TRIES)) {
        return false;
    }
    *cortexm_register(FLASH_ACR) = ACR_CACHES | WAIT_STATES;
    return cortexm_wait(FLASH_ACR, ACR_LATENCY_MASK, WAIT_STATES, CLOCK_TRIES);
}

/* Full speed, else 16 MHz, else the 4 MHz after a reset. Returns the clock of core and USART. */
static uint32_t start_clock(void)
{
    *cortexm_register(RCC_CR) |= CR_HSION;
    if (!cortexm_wait(RCC_CR, CR_HSIRDY, CR_HSIRDY, CLOCK_TRIES)) {
        return MSI_HZ;
    }
    if (start_pll() && run_from(CFGR_SW_PLL)) {
        return FULL_HZ;
    }
    return run_from(CFGR_SW_HSI) ? HSI_HZ : MSI_HZ;
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
    enable(RCC_AHB2ENR, AHB2ENR_GPIOAEN);
    enable(USART_ENABLE, USART_ENABLE_BIT);
    set_field(GPIOA_PUPDR, 2u * USART_PIN_RX, 2u, PUPD_UP); /* no noise without a cable */
    set_field(GPIOA_AFR, 4u * (USART_PIN_TX % 8u), 8u, USART_FUNCTIONS);
    set_field(GPIOA_MODER, 2u * USART_PIN_TX, 4u, MODES_ALTERNATE);
    usart_start(clock_hz);
}
