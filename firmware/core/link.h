/* Device side of docs/PROTOCOL.md: received bytes in, answers out through port_write(). */
#ifndef LINK_H
#define LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cobs.h"
#include "port_config.h"
#include "protocol.h"
#include "trainer.h"

#define LINK_FRAME_MAX (FRAME_HEADER_BYTES + LINK_PAYLOAD_MAX + FRAME_TRAILER_BYTES)

_Static_assert(LINK_PAYLOAD_MAX >= 256u && LINK_FRAME_MAX <= UINT16_MAX,
               "docs/PROTOCOL.md promises payloads of 256 bytes; HELLO_ACK tells 16 bits");

typedef struct {
    cobs_decoder_t decoder;
    uint32_t boot_id;
    trainer_t trainer;
    uint8_t frame[LINK_FRAME_MAX]; /* behind what would else be out of an instruction's reach */
    bool mute; /* damage was reported; nothing more about it until a good frame */
#ifdef PORT_BAUD
    uint8_t zeros; /* received one after the other */
#endif
} link_t;

void link_init(link_t *l, uint32_t boot_id, void *arena, size_t arena_bytes);

/* Takes received bytes in any portions. Every frame is applied and answered before the next. */
void link_receive(link_t *l, const uint8_t *bytes, size_t count);

/* Does a bounded part of what was asked for; false if nothing is left to do. To be called between
 * receptions. */
bool link_work(link_t *l);

#endif
