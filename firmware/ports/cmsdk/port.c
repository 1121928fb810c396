/* Arm's MPS2 and MPS3 boards: CMSDK UART 0 behind a fixed clock.
 *
 * port_config.h tells PORT_UART (address), PORT_UART_HZ (its clock) and PORT_UART_INTERRUPT (the
 * number of its receive interrupt). */
#include "port.h"

#include "cortexm.h"
#include "port_config.h"

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

/* More than 20 bytes take. */
#define TRANSMIT_TRIES 400000u

void port_init(void)
{
    *cortexm_register(UART_BAUDDIV) = (PORT_UART_HZ + BAUD / 2u) / BAUD;
    *cortexm_register(UART_CTRL) = CTRL_TX_ENABLE | CTRL_RX_ENABLE | CTRL_RX_INTERRUPT;
    /* Empties the receiver. QEMU looks for input again only after this register was read: bytes
     * that it held back while the receiver was off would wait until something else woke it. */
    (void)*cortexm_register(UART_DATA);
    cortexm_enable_interrupt(PORT_UART_INTERRUPT);
}

static void uart_interrupt(void)
{
    *cortexm_register(UART_INTCLEAR) = INT_RX;
    if (*cortexm_register(UART_STATE) & STATE_RX_FULL) {
        cortexm_received((uint8_t)*cortexm_register(UART_DATA));
    }
}

/* No other interrupt is ever enabled. */
CORTEXM_INTERRUPTS static const cortexm_vector_t interrupts[PORT_UART_INTERRUPT + 1u] = {
    [PORT_UART_INTERRUPT] = uart_interrupt,
};

void port_write(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!cortexm_wait(UART_STATE, STATE_TX_FULL, 0u, TRANSMIT_TRIES)) {
            return;
        }
        *cortexm_register(UART_DATA) = bytes[i];
    }
}
