/* Consistent Overhead Byte Stuffing, plain variant: a zero byte ends every frame and occurs nowhere
 * else. Both directions work byte by byte, so neither needs a whole encoded frame. */
#ifndef COBS_H
#define COBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most bytes without a zero that one code byte covers. */
#define COBS_RUN_MAX 254u

typedef struct {
    uint8_t *bytes;  /* the frame decoded so far */
    uint16_t capacity; /* a longer frame is damaged */
    uint16_t count;
    uint8_t code;    /* last code byte */
    uint8_t left;    /* bytes that it still covers */
    bool damaged;
} cobs_decoder_t;

typedef enum {
    COBS_MORE,    /* the frame goes on; also after a delimiter with nothing before it */
    COBS_FRAME,   /* a frame of *count bytes is complete */
    COBS_DAMAGED, /* a delimiter came inside a run, or the frame is too long */
} cobs_result_t;

void cobs_decoder_init(cobs_decoder_t *d, uint8_t *bytes, uint16_t capacity);

/* Takes one received byte. A complete frame stays in d->bytes until the next call. */
cobs_result_t cobs_decode(cobs_decoder_t *d, uint8_t byte, size_t *count);

/* Sends what it encodes with port_write(), one run at a time. */
typedef struct {
    uint8_t count;                  /* of the run's bytes */
    uint8_t run[1u + COBS_RUN_MAX]; /* code byte, then bytes without a zero */
} cobs_encoder_t;

void cobs_encode_begin(cobs_encoder_t *e);
void cobs_encode(cobs_encoder_t *e, uint8_t byte);
void cobs_encode_end(cobs_encoder_t *e); /* sends the last run and the delimiter */

#endif
