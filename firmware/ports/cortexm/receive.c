/* Received bytes: filled by the port's interrupt, emptied by the main loop. */
#include "cortexm.h"

#include <stddef.h>

#include "port.h"
#include "port_config.h"

/* Where the next byte goes, and where the next one is taken; equal when the ring is empty. One slot
 * stays free, so that a full ring looks different. Each index has one writer. */
static volatile uint16_t put, take;
static volatile uint8_t ring[PORT_RING_BYTES];

const uint16_t port_window_bytes = PORT_RING_BYTES - 1u;

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

size_t port_read(uint8_t *bytes, size_t max)
{
    size_t count = 0;
    while (count < max && put != take) {
        bytes[count++] = ring[take];
        take = following(take);
    }
    return count;
}

/* With interrupts masked, a byte that arrives after the test still ends WFI. */
void port_idle(void)
{
    __asm volatile("cpsid i" ::: "memory");
    if (put == take) {
        __asm volatile("wfi");
    }
    __asm volatile("cpsie i\n\tisb" ::: "memory");
}
