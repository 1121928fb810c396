/* A frame on its way to the host. Its bytes are sent as they are put, so an answer of any length
 * needs no buffer of its own. It holds one COBS run of 254 bytes: it lives on the stack of the
 * function that answers, never while a step runs. */
#ifndef REPLY_H
#define REPLY_H

#include <stddef.h>
#include <stdint.h>

#include "cobs.h"

/* For a function that holds a reply_t: inlined, its run would weigh on the stack of a step. */
#define REPLY_FUNCTION __attribute__((noinline))

typedef struct {
    uint32_t crc;
    cobs_encoder_t encoder;
} reply_t;

/* One whole frame. */
REPLY_FUNCTION void reply_frame(uint8_t session, uint8_t type, uint32_t pos, const uint8_t *payload,
                                size_t count);

/* A frame in parts: begin, put all of its payload in order, end. */
void reply_begin(reply_t *r, uint8_t session, uint8_t type, uint32_t pos);
void reply_bytes(reply_t *r, const uint8_t *bytes, size_t count);
void reply_u32(reply_t *r, uint32_t value);
void reply_text(reply_t *r, const char *text); /* with the zero that ends it */
void reply_end(reply_t *r);

#endif
