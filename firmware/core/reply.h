/* A frame on its way to the host. Its bytes are sent as they are put, so an answer of any length
 * needs no buffer of its own. */
#ifndef REPLY_H
#define REPLY_H

#include <stddef.h>
#include <stdint.h>

#include "cobs.h"

typedef struct {
    cobs_encoder_t encoder;
    uint32_t crc;
    uint8_t session; /* goes into every answer; 0: none since the start */
} reply_t;

/* One frame: begin, put all of its payload in order, end. */
void reply_begin(reply_t *r, uint8_t type, uint32_t pos);
void reply_bytes(reply_t *r, const uint8_t *bytes, size_t count);
void reply_u8(reply_t *r, uint8_t value);
void reply_u16(reply_t *r, uint16_t value);
void reply_u32(reply_t *r, uint32_t value);
void reply_end(reply_t *r);

#endif
