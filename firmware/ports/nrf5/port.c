/* nRF51 and nRF52: clock and pins; of the nRF51 also its UART, which has no DMA. nRF51 Series
 * Reference Manual and nRF52832 Product Specification, chapters CLOCK, GPIO, UART; nRF52833 and
 * nRF52840 for pins above 31.
 *
 * QEMU models neither the oscillators nor the speed of the line: what it reads for an event of the
 * clock says that it came, and every byte is sent at once. */
#include "port.h"

#include "cortexm.h"
#include "port_config.h"
#ifdef PORT_DMA
#include "uarte.h"
#endif

#define CLOCK_TASKS_HFCLKSTART 0x40000000u
#define CLOCK_EVENTS_HFCLKSTARTED 0x40000100u

/* Pins from 32 on are those of the second port. */
#define GPIO_PORT(pin) (0x50000000u + 0x300u * ((pin) / 32u))
#define GPIO_OUTSET(pin) (GPIO_PORT(pin) + 0x508u)
#define GPIO_PIN_CNF(pin) (GPIO_PORT(pin) + 0x700u + 4u * ((pin) % 32u))
#define PIN_CNF_OUTPUT 3u       /* driven, its input disconnected */
#define PIN_CNF_PULLED_UP 0x0Cu /* input with pull-up: no noise without a cable */

#define UART_TASKS_STARTRX 0x40002000u
#define UART_TASKS_STARTTX 0x40002008u
#define UART_EVENTS_RXDRDY 0x40002108u
#define UART_EVENTS_TXDRDY 0x4000211Cu
#define UART_INTENSET 0x40002304u
#define UART_ENABLE 0x40002500u
#define UART_PSELTXD 0x4000250Cu
#define UART_PSELRXD 0x40002514u
#define UART_RXD 0x40002518u
#define UART_TXD 0x4000251Cu
#define UART_BAUDRATE 0x40002524u
#define UART_CONFIG 0x4000256Cu
#define UART_INTERRUPT 2u

#define NVMC_ICACHECNF 0x4001E540u

#define TIMER_TASKS_START 0x40008000u
#define TIMER_TASKS_STOP 0x40008004u

#define INTEN_RXDRDY (1u << 2)
#define ENABLE_UART 4u
#define CONFIG_NO_PARITY_NO_FLOW_CONTROL 0u
#define BAUDRATE_115200 0x01D7E000u

/* The crystal starts within 1.5 ms, 64 instructions a microsecond. */
#define CLOCK_TRIES 100000u
/* More than 20 bytes take. */
#define TRANSMIT_TRIES 100000u

/* In this order. QEMU holds back bytes while the receiver is off, and looks for input again only
 * when something wakes it: a timer does. */
static const struct {
    uint32_t address;
    uint32_t value;
} settings[] = {
#ifdef PORT_INSTRUCTION_CACHE
    {NVMC_ICACHECNF, 1u},
#endif
    {GPIO_OUTSET(PORT_PIN_TXD), 1u << (PORT_PIN_TXD % 32u)}, /* an idle line is high */
    {GPIO_PIN_CNF(PORT_PIN_TXD), PIN_CNF_OUTPUT},
    {GPIO_PIN_CNF(PORT_PIN_RXD), PIN_CNF_PULLED_UP},
    {UART_PSELTXD, PORT_PIN_TXD},
    {UART_PSELRXD, PORT_PIN_RXD},
#ifndef PORT_DMA
    {UART_BAUDRATE, BAUDRATE_115200},
    {UART_CONFIG, CONFIG_NO_PARITY_NO_FLOW_CONTROL},
    {UART_ENABLE, ENABLE_UART},
    {UART_EVENTS_RXDRDY, 0u},
    {UART_INTENSET, INTEN_RXDRDY},
    {UART_TASKS_STARTTX, 1u},
    {UART_TASKS_STARTRX, 1u},
    {TIMER_TASKS_START, 1u},
    {TIMER_TASKS_STOP, 1u},
#endif
};

void port_init(void)
{
    /* Without its crystal the chip goes on with its RC oscillator, whose error of a few percent
     * may or may not carry 115,200 baud. */
    *cortexm_register(CLOCK_EVENTS_HFCLKSTARTED) = 0u;
    *cortexm_register(CLOCK_TASKS_HFCLKSTART) = 1u;
    (void)cortexm_wait(CLOCK_EVENTS_HFCLKSTARTED, 1u, 1u, CLOCK_TRIES);
    /* Stays a table, which can be read from the image. */
#pragma GCC unroll 1
    for (uint32_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        *cortexm_register(settings[i].address) = settings[i].value;
    }
#ifdef PORT_DMA
    uarte_start();
#else
    cortexm_enable_interrupt(UART_INTERRUPT);
#endif
}

#ifndef PORT_DMA
/* The event is cleared first: it comes again as soon as RXD is read and another byte waits. */
static void uart_interrupt(void)
{
    if (*cortexm_register(UART_EVENTS_RXDRDY)) {
        *cortexm_register(UART_EVENTS_RXDRDY) = 0u;
        cortexm_received((uint8_t)*cortexm_register(UART_RXD));
    }
}

/* No other interrupt is ever enabled. */
CORTEXM_INTERRUPTS static const cortexm_vector_t interrupts[UART_INTERRUPT + 1u] = {
    [UART_INTERRUPT] = uart_interrupt,
};

void port_write(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        *cortexm_register(UART_EVENTS_TXDRDY) = 0u;
        *cortexm_register(UART_TXD) = bytes[i];
        if (!cortexm_wait(UART_EVENTS_TXDRDY, 1u, 1u, TRANSMIT_TRIES)) {
            return;
        }
    }
}
#endif
