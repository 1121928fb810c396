/* Template of a port, filled in for the CMSDK UART of Arm's MPS2 board: clock, pins and UART.
 * docs/PORTING.md tells what each function must do. */
#include "port.h"

#include "cortexm.h"
#include "port_config.h"

/* Registers and bits, named as in the chip's reference manual. */
#define UART_DATA (PORT_UART + 0x00u)
#define UART_STATE (PORT_UART + 0x04u)
#define UART_CTRL (PORT_UART + 0x08u)
#define UART_INTCLEAR (PORT_UART + 0x0Cu)
#define UART_BAUDDIV (PORT_UART + 0x10u)

#define STATE_TX_FULL (1u << 0)
#define STATE_RX_FULL (1u << 1)
#define CTRL_TX_ENABLE (1u << 0)
#define CTRL_RX_ENABLE (1u << 1)
#define CTRL_RX_INTERRUPT (1u << 3)
#define INT_RX (1u << 1)

#define BAUD 115200u

/* Reads of a register within more than the time of 20 bytes, on the fastest core. */
#define TRANSMIT_TRIES 400000u

/* The chip's full speed. Where an oscillator or a PLL is waited for, cortexm_wait() bounds it, and
 * without them the chip goes on as it woke up. Returns the clock of the UART. */
static uint32_t start_clock(void)
{
    return 25000000u; /* this board starts at full speed */
}

/* TX driven, and high before it is: an idle line. RX pulled up: no noise without a cable. */
static void start_pins(void)
{
    /* nothing to do on this board: its UART has pins of its own */
}

static void start_uart(uint32_t clock_hz)
{
    *cortexm_register(UART_BAUDDIV) = (clock_hz + BAUD / 2u) / BAUD;
    *cortexm_register(UART_CTRL) = CTRL_TX_ENABLE | CTRL_RX_ENABLE | CTRL_RX_INTERRUPT;
    (void)*cortexm_register(UART_DATA); /* what came before the receiver was ready */
    cortexm_enable_interrupt(PORT_UART_INTERRUPT);
}

void port_init(void)
{
    const uint32_t clock_hz = start_clock();
    start_pins();
    start_uart(clock_hz);
}

/* Clears whatever raised it, errors included, or it is called for ever. */
static void uart_interrupt(void)
{
    *cortexm_register(UART_INTCLEAR) = INT_RX;
    if (*cortexm_register(UART_STATE) & STATE_RX_FULL) {
        cortexm_received((uint8_t)*cortexm_register(UART_DATA));
    }
}

/* Up to the last interrupt that is enabled. */
CORTEXM_INTERRUPTS static const cortexm_vector_t interrupts[PORT_UART_INTERRUPT + 1u] = {
    [PORT_UART_INTERRUPT] = uart_interrupt,
};

void port_write(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!cortexm_wait(UART_STATE, STATE_TX_FULL, 0u, TRANSMIT_TRIES)) {
            return; /* the host misses the answer and asks again */
        }
        *cortexm_register(UART_DATA) = bytes[i];
    }
}
