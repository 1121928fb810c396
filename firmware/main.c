/* fixgrad: trains a small network with samples from the host. */
#include <stddef.h>
#include <stdint.h>

#include "link.h"
#include "port.h"

static link_t host_link;

/* Inlined, its variables would weigh on the stack of a step. */
static __attribute__((noinline)) void start(void)
{
    port_init();
    size_t arena_bytes;
    void *arena = port_arena(&arena_bytes);
    link_init(&host_link, port_boot_id(), arena, arena_bytes);
}

int main(void)
{
    start();
    for (;;) {
        uint8_t bytes[8];
        const size_t count = port_read(bytes, sizeof bytes);
        link_receive(&host_link, bytes, count);
        if (!link_work(&host_link) && count == 0) {
            port_idle();
        }
    }
}
