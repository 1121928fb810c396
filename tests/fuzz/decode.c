/* libFuzzer: the device's decoder on any bytes and capacity never writes beyond its capacity, finds
 * the same frames whatever the portions, and decodes what the encoder makes of any frame. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cobs.h"
#include "port.h"

static uint8_t wire[1u << 16];
static size_t wire_count;

void port_write(const uint8_t *bytes, size_t count)
{
    if (count > sizeof wire - wire_count) {
        abort();
    }
    memcpy(wire + wire_count, bytes, count);
    wire_count += count;
}

static void check_round_trip(const uint8_t *data, size_t size)
{
    uint8_t *frame = malloc(size + 1u);
    cobs_encoder_t encoder;
    cobs_decoder_t decoder;
    size_t count = 0;
    wire_count = 0;
    cobs_encode_begin(&encoder);
    for (size_t i = 0; i < size; i++) {
        cobs_encode(&encoder, data[i]);
    }
    cobs_encode_end(&encoder);
    cobs_decoder_init(&decoder, frame, size);
    for (size_t i = 0; i + 1 < wire_count; i++) {
        if (wire[i] == 0 || cobs_decode(&decoder, wire[i], &count) != COBS_MORE) {
            abort();
        }
    }
    const cobs_result_t result = cobs_decode(&decoder, 0, &count);
    if (result != COBS_FRAME || count != size || memcmp(frame, data, size) != 0) {
        abort();
    }
    free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 4096) {
        return 0;
    }
    const size_t capacity = data[0];
    uint8_t *frame = malloc(capacity + 1u);
    cobs_decoder_t decoder;
    cobs_decoder_init(&decoder, frame, capacity);
    for (size_t i = 1; i < size; i++) {
        size_t count = 0;
        if (cobs_decode(&decoder, data[i], &count) == COBS_FRAME && count > capacity) {
            abort();
        }
    }
    free(frame);
    check_round_trip(data, size);
    return 0;
}
