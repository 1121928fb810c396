/* Received bytes: filled by the port's interrupt or by DMA, emptied by the main loop. */
#include "cortexm.h"

#include <stddef.h>

#include "dma.h"
#include "port.h"
#include "port_config.h"
#include "protocol.h"

/* Where the next byte goes, and where the next one is taken; equal when the ring is empty. One slot
 * stays free, so that a full ring looks different. Each index has one writer. */
static volatile uint16_t put, take;
static volatile uint8_t ring[PORT_RING_BYTES];

#ifdef PORT_DMA_PART_BYTES
const uint16_t port_window_bytes =
    PORT_RING_BYTES - 1u - DMA_SPARE_BYTES - 2u * PORT_DMA_PART_BYTES;
#elif defined(PORT_DMA)
const uint16_t port_window_bytes = PORT_RING_BYTES - 1u - DMA_SPARE_BYTES;
#else
const uint16_t port_window_bytes = PORT_RING_BYTES - 1u;
#endif

static uint16_t following(uint16_t index)
{
    return index + 1u < PORT_RING_BYTES ? (uint16_t)(index + 1u) : 0u;
}

void cortexm_received(uint8_t byte)
{
    const uint16_t at = put;
    const uint16_t next = following(at);
    if (next != take) {
        ring[at] = byte;
        put = next;
    }
}

#ifdef PORT_DMA
#define PUT_BY_DMA 0xFFFFu /* `put` where the channel alone knows */

bool cortexm_receive_by_dma(uint32_t source)
{
    const bool works = dma_start(source, ring, PORT_RING_BYTES);
    put = works ? PUT_BY_DMA : 0u;
#ifdef PORT_DMA_STOPS
    take = 0;
#endif
    return works;
}

#ifdef PORT_DMA_PART_BYTES
/* A search: asked only when all is taken that was found before. */
static uint16_t place_of_next(void)
{
    static uint16_t found;
    if (found == take) {
        found = (uint16_t)((PORT_RING_BYTES - dma_left()) % PORT_RING_BYTES);
    }
    return found;
}
#else
/* Where the next byte goes. The channel overwrites what was not taken in time, where the interrupt
 * drops what comes too late: frames are damaged that the window does not allow. */
static uint16_t place_of_next(void)
{
    if (put != PUT_BY_DMA) {
        return put;
    }
    const uint32_t left = dma_left();
    return left == 0 ? 0u : (uint16_t)(PORT_RING_BYTES - left);
}
#endif

#ifdef PORT_DMA_LEAVES_OUT_DAMAGE
/* Framing errors in a row, and how much room there was at the last one. */
static volatile uint8_t damaged;
static uint16_t left_at_damage;

/* A receiver that looks for a start bit in the middle of a slow zero may find one whole byte there. */
void cortexm_framing_error(void)
{
    const uint32_t left = dma_left();
    const uint32_t stored = (left_at_damage + PORT_RING_BYTES - left) % PORT_RING_BYTES;
    if (stored > 1u) {
        damaged = 0;
    }
    if (damaged < LIMIT_WAKING_ZEROS) {
        damaged = (uint8_t)(damaged + 1u);
    }
    left_at_damage = (uint16_t)left;
}

static void look_after_line(void)
{
    if (damaged == LIMIT_WAKING_ZEROS) {
        damaged = 0;
        port_set_baud(LIMIT_BAUD_AT_START);
    }
}
#else
static void look_after_line(void)
{
    cortexm_clear_overrun();
}
#endif
#else
static uint16_t place_of_next(void)
{
    return put;
}
#endif

size_t port_read(uint8_t *bytes, size_t max)
{
    size_t count = 0;
    while (count < max && place_of_next() != take) {
        bytes[count++] = ring[take];
        take = following(take);
    }
    return count;
}

/* With interrupts masked, a byte that arrives after the test still ends WFI. Nothing would end it
 * where DMA receives: there the main loop looks again at once. */
void port_idle(void)
{
#ifdef PORT_DMA
    if (put == PUT_BY_DMA) {
        look_after_line();
        return;
    }
#endif
    cortexm_mask_interrupts();
    if (put == take) {
        cortexm_wait_for_interrupt();
    }
    cortexm_unmask_interrupts();
}
