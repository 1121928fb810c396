#include "profile.h"

#ifdef PROFILE

#include "port.h"

static uint32_t ticks;
static uint16_t selected, running;

/* Only the difference of two readings counts, so the first is subtracted and the second added. */
static void add_if_selected(uint32_t ticks_now)
{
    if (running == selected) {
        ticks += ticks_now;
    }
}

void profile_enter(uint32_t phase, uint32_t layer)
{
    profile_leave();
    running = (uint16_t)(phase << 8 | layer);
    add_if_selected(0u - port_ticks());
}

void profile_leave(void)
{
    add_if_selected(port_ticks());
    running = PHASE_NONE << 8;
}

uint32_t profile_read(uint32_t part)
{
    if (part != selected) {
        selected = (uint16_t)part;
        ticks = 0;
    }
    return ticks;
}

#endif
