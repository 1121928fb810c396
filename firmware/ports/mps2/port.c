/* Arm MPS2 with the images AN385, AN386 and AN500: CMSDK UART 0, fixed clock. */
#include "port.h"

#include "cortexm.h"

#define UART_DATA 0x40004000u
#define UART_STATE 0x40004004u
#define UART_CTRL 0x40004008u
#define UART_INTCLEAR 0x4000400Cu
#define UART_BAUDDIV 0x40004010u

#define STATE_TX_FULL (1u << 0)
#define STATE_RX_FULL (1u << 1)
#define CTRL_TX_ENABLE (1u << 0)
#define CTRL_RX_ENABLE (1u << 1)
#define CTRL_RX_INTERRUPT (1u << 3)
#define INT_RX (1u << 1)
#define UART_RX_INTERRUPT 0u

#define CLOCK_HZ 25000000u
#define BAUD 115200u

/* More than 20 bytes take. */
#define TRANSMIT_TRIES 400000u

void port_init(void)
{
    *cortexm_register(UART_BAUDDIV) = (CLOCK_HZ + BAUD / 2u) / BAUD;
    *cortexm_register(UART_CTRL) = CTRL_TX_ENABLE | CTRL_RX_ENABLE | CTRL_RX_INTERRUPT;
    /* Empties the receiver. QEMU looks for input again only after this register was read: bytes
     * that it held back while the receiver was off would wait until something else woke it. */
    (void)*cortexm_register(UART_DATA);
    cortexm_enable_interrupt(UART_RX_INTERRUPT);
}

static void uart_interrupt(void)
{
    *cortexm_register(UART_INTCLEAR) = INT_RX;
    if (*cortexm_register(UART_STATE) & STATE_RX_FULL) {
        cortexm_received((uint8_t)*cortexm_register(UART_DATA));
    }
}

/* No other interrupt is ever enabled. */
CORTEXM_INTERRUPTS static const cortexm_vector_t interrupts[UART_RX_INTERRUPT + 1u] = {
    [UART_RX_INTERRUPT] = uart_interrupt,
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
