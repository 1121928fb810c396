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
    reply_u8(r, type);
    reply_u8(r, session);
    reply_u32(r, pos);
}

void reply_bytes(reply_t *r, const uint8_t *bytes, size_t count)
{
    r->crc = crc32_update(r->crc, bytes, count);
    encode(r, bytes, count);
}

void reply_u8(reply_t *r, uint8_t value)
{
    reply_bytes(r, &value, 1);
}

void reply_u16(reply_t *r, uint16_t value)
{
    uint8_t bytes[2];
    bytes_put_u16(bytes, value);
    reply_bytes(r, bytes, sizeof bytes);
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
        reply_u8(r, (uint8_t)*text);
    } while (*text++ != 0);
}

void reply_end(reply_t *r)
{
    uint8_t crc[4];
    bytes_put_u32(crc, r->crc);
    encode(r, crc, sizeof crc);
    cobs_encode_end(&r->encoder);
}
