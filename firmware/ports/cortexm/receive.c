/* Received bytes: filled by the port's interrupt, emptied by the main loop. */
#include "cortexm.h"

#include <stddef.h>

#include "port.h"
#include "port_config.h"

_Static_assert((PORT_RING_BYTES & (PORT_RING_BYTES - 1u)) == 0, "the ring's size is a power of two");

/* Both counters only grow, modulo 2^32; each has one writer. */
static volatile uint32_t written, taken;
static volatile uint8_t ring[PORT_RING_BYTES];

const uint16_t port_window_bytes = PORT_RING_BYTES;

void cortexm_received(uint8_t byte)
{
    if (written - taken < PORT_RING_BYTES) {
        ring[written % PORT_RING_BYTES] = byte;
        written = written + 1u;
    }
}

size_t port_read(uint8_t *bytes, size_t max)
{
    size_t count = 0;
    while (count < max && written != taken) {
        bytes[count++] = ring[taken % PORT_RING_BYTES];
        taken = taken + 1u;
    }
    return count;
}

/* With interrupts masked, a byte that arrives after the test still ends WFI. */
void port_idle(void)
{
    __asm volatile("cpsid i" ::: "memory");
    if (written == taken) {
        __asm volatile("wfi");
    }
    __asm volatile("cpsie i\n\tisb" ::: "memory");
}
