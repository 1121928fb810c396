/* The link's codec as a library: what was decoded and what would be sent goes into buffers. */
#include <stdint.h>
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
size_t harness_decode(const uint8_t *stream, size_t count, uint16_t capacity, uint8_t *out);
size_t harness_decode(const uint8_t *stream, size_t count, uint16_t capacity, uint8_t *out)
{
    uint8_t frame[4096];
    cobs_decoder_t decoder;
    size_t written = 0;
    cobs_decoder_init(&decoder, frame, (uint16_t)capacity);
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

/* Frames in a stream that are valid but not `frame`: damage that would be accepted. */
static uint64_t count_accepted(const uint8_t *stream, size_t count, const uint8_t *frame,
                               size_t frame_bytes)
{
    static uint8_t decoded[4096];
    cobs_decoder_t decoder;
    uint64_t accepted = 0;
    cobs_decoder_init(&decoder, decoded, sizeof decoded);
    for (size_t i = 0; i < count; i++) {
        size_t length = 0;
        if (cobs_decode(&decoder, stream[i], &length) != COBS_FRAME || length < 10) {
            continue;
        }
        uint32_t crc;
        memcpy(&crc, decoded + length - 4, sizeof crc);
        if (crc32_update(0, decoded, length - 4) == crc &&
            (length != frame_bytes || memcmp(decoded, frame, length) != 0)) {
            accepted++;
        }
    }
    return accepted;
}

static void flip(uint8_t *stream, size_t bit)
{
    stream[bit / 8] = (uint8_t)(stream[bit / 8] ^ 1u << bit % 8);
}

/* Flips two bits of an encoded frame: every pair that begins at one of the bits first .. last - 1,
 * or, where `random` is not 0, so many pairs drawn with `seed`. Returns how many were accepted. */
uint64_t harness_flip_pairs(uint8_t *stream, size_t count, const uint8_t *frame,
                            size_t frame_bytes, size_t first, size_t last, uint64_t random,
                            uint64_t seed);
uint64_t harness_flip_pairs(uint8_t *stream, size_t count, const uint8_t *frame,
                            size_t frame_bytes, size_t first, size_t last, uint64_t random,
                            uint64_t seed)
{
    const size_t bits = 8 * count;
    uint64_t accepted = 0;
    for (uint64_t i = 0; i < random; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const size_t a = (size_t)(seed >> 33) % bits;
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const size_t b = (size_t)(seed >> 33) % bits;
        flip(stream, a);
        flip(stream, b);
        accepted += count_accepted(stream, count, frame, frame_bytes);
        flip(stream, b);
        flip(stream, a);
    }
    for (size_t a = first; random == 0 && a < last; a++) {
        flip(stream, a);
        accepted += count_accepted(stream, count, frame, frame_bytes);
        for (size_t b = a + 1; b < bits; b++) {
            flip(stream, b);
            accepted += count_accepted(stream, count, frame, frame_bytes);
            flip(stream, b);
        }
        flip(stream, a);
    }
    return accepted;
}
