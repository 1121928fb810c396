#include "cobs.h"

#include "port.h"

#define CODE_FULL (COBS_RUN_MAX + 1u) /* a full run: no zero follows it */

static void restart(cobs_decoder_t *d)
{
    d->count = 0;
    d->code = CODE_FULL;
    d->left = 0;
    d->damaged = false;
}

void cobs_decoder_init(cobs_decoder_t *d, uint8_t *bytes, uint16_t capacity)
{
    d->bytes = bytes;
    d->capacity = capacity;
    restart(d);
}

static void push(cobs_decoder_t *d, uint8_t byte)
{
    if (d->count < d->capacity) {
        d->bytes[d->count++] = byte;
    } else {
        d->damaged = true;
    }
}

cobs_result_t cobs_decode(cobs_decoder_t *d, uint8_t byte, size_t *count)
{
    if (byte == 0) {
        const bool whole = !d->damaged && d->left == 0;
        const bool empty = whole && d->count == 0 && d->code == CODE_FULL;
        *count = d->count;
        restart(d);
        return empty ? COBS_MORE : whole ? COBS_FRAME : COBS_DAMAGED;
    }
    if (d->left > 0) {
        push(d, byte);
        d->left--;
    } else {
        if (d->code != CODE_FULL) {
            push(d, 0);
        }
        d->code = byte;
        d->left = (uint8_t)(byte - 1u);
    }
    return COBS_MORE;
}

void cobs_encode_begin(cobs_encoder_t *e)
{
    e->count = 0;
}

static void send_run(cobs_encoder_t *e)
{
    e->run[0] = (uint8_t)(e->count + 1u);
    port_write(e->run, e->count + 1u);
    e->count = 0;
}

/* A full run is sent only when another byte follows: at a frame's end it has no successor. */
void cobs_encode(cobs_encoder_t *e, uint8_t byte)
{
    if (e->count == COBS_RUN_MAX) {
        send_run(e);
    }
    if (byte == 0) {
        send_run(e);
    } else {
        e->run[++e->count] = byte;
    }
}

void cobs_encode_end(cobs_encoder_t *e)
{
    static const uint8_t delimiter = 0;
    send_run(e);
    port_write(&delimiter, 1);
}
