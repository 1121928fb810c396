/* A port without hardware: links the whole firmware, link and all, to tell its size. */
#include "port.h"

/* What a port does must be unknown to the linker, or it would leave out what depends on it. */
#define OPAQUE __attribute__((noipa))

const char port_board[] = "";
const char port_core[] = "";
const uint16_t port_window_bytes = 270;

void runtime_reset(void);
int main(void);

void runtime_reset(void)
{
    (void)main();
}

OPAQUE void port_init(void)
{
}

OPAQUE uint32_t port_boot_id(void)
{
    return 0;
}

OPAQUE void *port_arena(size_t *bytes)
{
    *bytes = 0;
    return NULL;
}

OPAQUE size_t port_read(uint8_t *bytes, size_t max)
{
    (void)bytes;
    (void)max;
    return 0;
}

OPAQUE void port_write(const uint8_t *bytes, size_t count)
{
    (void)bytes;
    (void)count;
}

OPAQUE void port_idle(void)
{
}
