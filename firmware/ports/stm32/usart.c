#include "usart.h"

#include <stddef.h>

#include "bus.h"
#include "cortexm.h"
#include "dma.h"
#include "port.h"
#include "port_config.h"
#include "protocol.h"

#ifdef USART_SECOND_LAYOUT
#define USART_CR1 (USART_BASE + 0x00u)
#define USART_CR3 (USART_BASE + 0x08u)
#define USART_BRR (USART_BASE + 0x0Cu)
#define USART_SR (USART_BASE + 0x1Cu) /* there named ISR */
#define USART_ICR (USART_BASE + 0x20u)
#define USART_RDR (USART_BASE + 0x24u)
#define USART_TDR (USART_BASE + 0x28u)
#define CR1_UE (1u << 0)
#define ICR_ERRORS 0xFu
#else
#define USART_SR (USART_BASE + 0x00u)
#define USART_RDR (USART_BASE + 0x04u) /* one register, DR */
#define USART_TDR USART_RDR
#define USART_BRR (USART_BASE + 0x08u)
#define USART_CR1 (USART_BASE + 0x0Cu)
#define USART_CR3 (USART_BASE + 0x14u)
#define CR1_UE (1u << 13)
#endif

#define SR_FE (1u << 1)
#define SR_ORE (1u << 3)
#define SR_RXNE (1u << 5)
#define SR_TC (1u << 6)
#define SR_TXE (1u << 7)
#define CR1_RE (1u << 2)
#define CR1_TE (1u << 3)
#define CR1_RXNEIE (1u << 5)
#define CR3_EIE (1u << 0)
#define CR3_DMAR (1u << 6)
#ifdef PORT_DMA_LEAVES_OUT_DAMAGE
#define CR3_BY_DMA (CR3_DMAR | CR3_EIE) /* errors interrupt: the channel does not tell them */
#else
#define CR3_BY_DMA CR3_DMAR
#endif

/* More than 20 bytes take at the slowest speed on the fastest core. */
#define TRANSMIT_TRIES 400000u

#ifdef PORT_BAUD
#define CYCLES_OF_BIT_MIN 16u
static uint32_t usart_hz;
#endif

/* True when all bits of `flags` were seen in SR. */
static bool await_status(uint32_t flags)
{
    for (uint32_t i = 0; i < TRANSMIT_TRIES; i++) {
        if ((bus_read(USART_SR) & flags) == flags) {
            return true;
        }
    }
    return false;
}

/* Clock cycles of a bit, rounded; the register's lowest 4 bits are sixteenths. */
static uint32_t divider(uint32_t clock_hz, uint32_t baud)
{
    return (clock_hz + baud / 2u) / baud;
}

void usart_start(uint32_t clock_hz)
{
    bus_write(USART_BRR, divider(clock_hz, LIMIT_BAUD_AT_START));
#ifdef PORT_BAUD
    usart_hz = clock_hz;
#endif
#ifdef PORT_DMA
    if (cortexm_receive_by_dma(USART_RDR)) {
        bus_write(USART_CR3, CR3_BY_DMA);
        bus_write(USART_CR1, CR1_UE | CR1_TE | CR1_RE);
#ifdef PORT_DMA_LEAVES_OUT_DAMAGE
        cortexm_enable_interrupt(USART_INTERRUPT);
#endif
        return;
    }
#endif
    bus_write(USART_CR1, CR1_UE | CR1_TE | CR1_RE | CR1_RXNEIE);
    cortexm_enable_interrupt(USART_INTERRUPT);
}

#ifdef PORT_BAUD
/* A bit takes 16 cycles at least. The rounded divider misses the speed by at most half a cycle a
 * bit, which is 3 %, and by 2.5 % where it is allowed, as for 2 Mbaud of 45 MHz: a receiver forgives
 * 3.3 % (RM0008, RM0090, RM0351: USART, tolerance to clock deviation). */
bool port_has_baud(uint32_t baud)
{
    if (baud < LIMIT_BAUD_AT_START || baud > usart_hz / CYCLES_OF_BIT_MIN) {
        return false;
    }
    const uint32_t real_cycles = divider(usart_hz, baud) * baud;
    const uint32_t error = real_cycles > usart_hz ? real_cycles - usart_hz : usart_hz - real_cycles;
    return error <= usart_hz / 40u;
}

#ifdef USART_SECOND_LAYOUT
/* BRR can only be written while the USART is off, and that only while its channel is: the ring begins
 * anew. A host that is told the new speed waits for it; one that sends zeros at that of the line,
 * which changes nothing, may have sent more behind them. */
void port_set_baud(uint32_t baud)
{
    if (bus_read(USART_BRR) == divider(usart_hz, baud)) {
        return;
    }
    (void)await_status(SR_TC);
    const uint32_t settings = bus_read(USART_CR1);
    const bool by_dma = (bus_read(USART_CR3) & CR3_DMAR) != 0;
    if (by_dma) {
        dma_stop();
    }
    bus_write(USART_CR1, 0);
    bus_write(USART_BRR, divider(usart_hz, baud));
    if (by_dma) {
        (void)cortexm_receive_by_dma(USART_RDR);
    }
    bus_write(USART_CR1, settings);
}
#else
void port_set_baud(uint32_t baud)
{
    (void)await_status(SR_TC);
    bus_write(USART_BRR, divider(usart_hz, baud));
}
#endif
#endif

#if defined(PORT_DMA) && !defined(PORT_DMA_LEAVES_OUT_DAMAGE)
/* Reading SR, then DR, clears it. A byte that comes just then is lost, too: its frame is repeated. */
void cortexm_clear_overrun(void)
{
    if ((bus_read(USART_SR) & SR_ORE) != 0) {
        (void)bus_read(USART_RDR);
    }
}
#endif

/* An overrun raises the same interrupt: reading SR, then DR, clears it, or writing ICR. */
static void usart_interrupt(void)
{
    const uint32_t status = bus_read(USART_SR);
#ifdef PORT_DMA_LEAVES_OUT_DAMAGE
    if ((bus_read(USART_CR3) & CR3_DMAR) != 0) { /* RDR is the channel's to read */
        bus_write(USART_ICR, status & ICR_ERRORS);
        if ((status & SR_FE) != 0) {
            cortexm_framing_error();
        }
        return;
    }
#endif
    const uint8_t byte = (uint8_t)bus_read(USART_RDR);
#ifdef USART_SECOND_LAYOUT
    bus_write(USART_ICR, ICR_ERRORS);
#endif
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
        if (!await_status(SR_TXE)) {
            return;
        }
        bus_write(USART_TDR, bytes[i]);
    }
}
