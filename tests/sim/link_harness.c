/* The link's codec as a library: what was decoded and what would be sent goes into buffers. */
#include <string.h>

#include "cobs.h"
#include "crc32.h"
#include "port.h"
#include "reply.h"

enum { DAMAGED = 0xFFFFFFFFu };

static uint8_t *sent;
static size_t sent_count;

void port_write(const uint8_t *bytes, size_t count)
{
    memcpy(sent + sent_count, bytes, count);
    sent_count += count;
}

/* Decodes a stream. For every frame writes its length (or DAMAGED) as a native u32, then its bytes.
 * Returns the bytes written. */
size_t harness_decode(const uint8_t *stream, size_t count, size_t capacity, uint8_t *out);
size_t harness_decode(const uint8_t *stream, size_t count, size_t capacity, uint8_t *out)
{
    uint8_t frame[4096];
    cobs_decoder_t decoder;
    size_t written = 0;
    cobs_decoder_init(&decoder, frame, capacity);
    for (size_t i = 0; i < count; i++) {
        size_t length = 0;
        const cobs_result_t result = cobs_decode(&decoder, stream[i], &length);
        if (result == COBS_MORE) {
            continue;
        }
        const uint32_t word = result == COBS_FRAME ? (uint32_t)length : DAMAGED;
        memcpy(out + written, &word, sizeof word);
        written += sizeof word;
        if (result == COBS_FRAME) {
            memcpy(out + written, frame, length);
            written += length;
        }
    }
    return written;
}

/* Sends one frame; returns its wire bytes. */
size_t harness_encode(uint8_t type, uint8_t session, uint32_t pos, const uint8_t *payload,
                      size_t count, uint8_t *out);
size_t harness_encode(uint8_t type, uint8_t session, uint32_t pos, const uint8_t *payload,
                      size_t count, uint8_t *out)
{
    reply_t reply;
    sent = out;
    sent_count = 0;
    reply_begin(&reply, session, type, pos);
    reply_bytes(&reply, payload, count);
    reply_end(&reply);
    return sent_count;
}
