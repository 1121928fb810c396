/* A port without hardware: links the whole firmware, link and all, to tell its size. */
#include "port.h"

const char port_board[] = "";
const char port_core[] = "";
const uint16_t port_window_bytes = 270;

void runtime_reset(void);
int main(void);

void runtime_reset(void)
{
    (void)main();
}

void port_init(void)
{
}

uint32_t port_boot_id(void)
{
    return 0;
}

void *port_arena(size_t *bytes)
{
    *bytes = 0;
    return NULL;
}

size_t port_read(uint8_t *bytes, size_t max)
{
    (void)bytes;
    (void)max;
    return 0;
}

void port_write(const uint8_t *bytes, size_t count)
{
    (void)bytes;
    (void)count;
}

void port_idle(void)
{
}
