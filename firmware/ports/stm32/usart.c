#include "usart.h"

#include <stddef.h>

#include "cortexm.h"
#include "port.h"

#define USART_SR (USART_BASE + 0x00u)
#define USART_DR (USART_BASE + 0x04u)
#define USART_BRR (USART_BASE + 0x08u)
#define USART_CR1 (USART_BASE + 0x0Cu)

#define SR_RXNE (1u << 5)
#define SR_TXE (1u << 7)
#define CR1_RE (1u << 2)
#define CR1_TE (1u << 3)
#define CR1_RXNEIE (1u << 5)
#define CR1_UE (1u << 13)

/* More than 20 bytes take at the slowest speed on the fastest core. */
#define TRANSMIT_TRIES 400000u

void usart_start(uint32_t clock_hz)
{
    *cortexm_register(USART_BRR) = (clock_hz + USART_BAUD / 2u) / USART_BAUD;
    *cortexm_register(USART_CR1) = CR1_UE | CR1_TE | CR1_RE | CR1_RXNEIE;
    cortexm_enable_interrupt(USART_INTERRUPT);
}

/* Reading SR, then DR, also clears an overrun, which raises the same interrupt. */
static void usart_interrupt(void)
{
    const uint32_t status = *cortexm_register(USART_SR);
    const uint8_t byte = (uint8_t)*cortexm_register(USART_DR);
    if (status & SR_RXNE) {
        cortexm_received(byte);
    }
}

/* No other interrupt is ever enabled. */
CORTEXM_INTERRUPTS static const cortexm_vector_t interrupts[USART_INTERRUPT + 1u] = {
    [USART_INTERRUPT] = usart_interrupt,
};

void port_write(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!cortexm_wait(USART_SR, SR_TXE, SR_TXE, TRANSMIT_TRIES)) {
            return;
        }
        *cortexm_register(USART_DR) = bytes[i];
    }
}
