/* The parts of a training step, timed in images built with -DPROFILE; nothing in all others.
 * docs/PROTOCOL.md tells how the host reads region PROFILE. */
#ifndef PROFILE_H
#define PROFILE_H

#include <stdint.h>

#include "protocol.h"

#ifdef PROFILE

/* Begins a part (PHASE_*, layer), ending the one before. */
void profile_enter(uint32_t phase, uint32_t layer);

/* Ends the part that runs. */
void profile_leave(void);

/* Ticks of port_ticks() modulo 2^32 that the selected part took since it was selected. A part that
 * is not yet selected, (phase << 8) | layer, becomes so: 0 ticks. */
uint32_t profile_read(uint32_t part);

#else

static inline void profile_enter(uint32_t phase, uint32_t layer)
{
    (void)phase;
    (void)layer;
}

static inline void profile_leave(void)
{
}

#endif

#endif
