#include "reply.h"

#include "bytes.h"
#include "crc32.h"

static void encode(reply_t *r, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cobs_encode(&r->encoder, bytes[i]);
    }
}

void reply_begin(reply_t *r, uint8_t session, uint8_t type, uint32_t pos)
{
    cobs_encode_begin(&r->encoder);
    r->crc = 0;
    const uint8_t head[2] = {type, session};
    reply_bytes(r, head, sizeof head);
    reply_u32(r, pos);
}

void reply_bytes(reply_t *r, const uint8_t *bytes, size_t count)
{
    r->crc = crc32_update(r->crc, bytes, count);
    encode(r, bytes, count);
}

void reply_u32(reply_t *r, uint32_t value)
{
    uint8_t bytes[4];
    bytes_put_u32(bytes, value);
    reply_bytes(r, bytes, sizeof bytes);
}

void reply_text(reply_t *r, const char *text)
{
    do {
        reply_bytes(r, (const uint8_t *)text, 1);
    } while (*text++ != 0);
}

void reply_end(reply_t *r)
{
    uint8_t crc[4];
    bytes_put_u32(crc, r->crc);
    encode(r, crc, sizeof crc);
    cobs_encode_end(&r->encoder);
}

REPLY_FUNCTION void reply_frame(uint8_t session, uint8_t type, uint32_t pos, const uint8_t *payload,
                                size_t count)
{
    reply_t r;
    reply_begin(&r, session, type, pos);
    reply_bytes(&r, payload, count);
    reply_end(&r);
}
