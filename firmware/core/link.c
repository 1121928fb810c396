#include "link.h"

#include <string.h>

#include "bytes.h"
#include "crc32.h"
#include "port.h"
#include "reply.h"

/* A checksum of the sources, which the build gives. */
#ifndef FIRMWARE_IDENTITY
#define FIRMWARE_IDENTITY 0u
#endif

enum { AT_TYPE = 0, AT_SESSION = 1, AT_POS = 2 };

void link_init(link_t *l, uint32_t boot_id, void *arena, size_t arena_bytes)
{
    memset(l, 0, sizeof *l);
    l->boot_id = boot_id;
    cobs_decoder_init(&l->decoder, l->frame, sizeof l->frame);
    trainer_init(&l->trainer, arena, arena_bytes);
}

static void reply_no_session(const link_t *l, uint8_t reason)
{
    reply_frame(l->trainer.session, MSG_NO_SESSION, l->boot_id, &reason, sizeof reason);
}

static REPLY_FUNCTION void reply_hello(link_t *l, uint32_t nonce)
{
    uint8_t head[HELLO_ACK_BYTES];
    head[HELLO_ACK_AT_PROTOCOL] = PROTOCOL_VERSION;
    head[HELLO_ACK_AT_NUMERICS] = NUMERICS_VERSION;
    bytes_put_u16(head + HELLO_ACK_AT_FIRMWARE, FIRMWARE_IDENTITY);
    bytes_put_u32(head + HELLO_ACK_AT_SCHEMA, PROTOCOL_SCHEMA);
    bytes_put_u32(head + HELLO_ACK_AT_BOOT_ID, l->boot_id);
    bytes_put_u32(head + HELLO_ACK_AT_RUN_ID, l->trainer.run_id);
    bytes_put_u32(head + HELLO_ACK_AT_NEXT, l->trainer.next);
    bytes_put_u32(head + HELLO_ACK_AT_DIGEST, trainer_digest(&l->trainer));
    bytes_put_u32(head + HELLO_ACK_AT_ARENA_BYTES, (uint32_t)l->trainer.arena_bytes);
    bytes_put_u16(head + HELLO_ACK_AT_PAYLOAD_MAX, LINK_PAYLOAD_MAX);
    bytes_put_u16(head + HELLO_ACK_AT_WINDOW_BYTES, port_window_bytes);
    reply_t r;
    reply_begin(&r, l->trainer.session, MSG_HELLO_ACK, nonce);
    reply_bytes(&r, head, sizeof head);
    reply_text(&r, port_board);
    reply_text(&r, port_core);
    reply_end(&r);
}

static void handle_damage(link_t *l)
{
    if (l->mute) {
        return;
    }
    l->mute = true;
    if (l->trainer.session == 0) {
        reply_no_session(l, REASON_SESSION);
    } else {
        trainer_acknowledge(&l->trainer, STATUS_CORRUPT);
    }
}

static bool is_intact(const uint8_t *frame, size_t count)
{
    if (count < FRAME_HEADER_BYTES + FRAME_TRAILER_BYTES) {
        return false;
    }
    const size_t body = count - FRAME_TRAILER_BYTES;
    return crc32_update(0, frame, body) == bytes_u32(frame + body);
}

#ifdef PORT_BAUD
/* The answer leaves at the old speed. */
static void handle_baud(const link_t *l, uint32_t pos, const uint8_t *payload)
{
    const uint32_t baud = bytes_u32(payload + BAUD_AT_BAUD);
    const bool good = port_has_baud(baud);
    uint8_t answer[BAUD_BYTES];
    bytes_put_u32(answer + BAUD_AT_BAUD, good ? baud : 0u);
    reply_frame(l->trainer.session, MSG_BAUD_ACK, pos, answer, sizeof answer);
    if (good) {
        port_set_baud(baud);
    }
}

/* A zero byte sent at the speed at start reads as zero at every higher one: no stop bit comes. */
static void count_zeros(link_t *l, uint8_t byte)
{
    l->zeros = byte == 0 ? (uint8_t)(l->zeros + 1u) : 0u;
    if (l->zeros == LIMIT_WAKING_ZEROS) {
        port_set_baud(LIMIT_BAUD_AT_START);
    }
}
#endif

static void handle_frame(link_t *l, size_t count)
{
    uint8_t *frame = l->frame;
    if (!is_intact(frame, count)) {
        handle_damage(l);
        return;
    }
    l->mute = false;
    const uint8_t session = frame[AT_SESSION];
    const uint32_t pos = bytes_u32(frame + AT_POS);
    const size_t payload_bytes = count - FRAME_HEADER_BYTES - FRAME_TRAILER_BYTES;
    if (frame[AT_TYPE] == MSG_HELLO) {
        if (session != 0 && payload_bytes == 0) {
            l->trainer.session = session;
            l->trainer.end = 0;
            reply_hello(l, pos);
        }
    } else if (session == 0 || session != l->trainer.session) {
        reply_no_session(l, REASON_SESSION);
#ifdef PORT_BAUD
    } else if (frame[AT_TYPE] == MSG_BAUD && payload_bytes == BAUD_BYTES) {
        handle_baud(l, pos, frame + FRAME_HEADER_BYTES);
#endif
    } else if (!trainer_handle(&l->trainer, frame[AT_TYPE], pos, frame + FRAME_HEADER_BYTES,
                               payload_bytes)) {
        reply_no_session(l, REASON_RUN);
    }
}

bool link_work(link_t *l)
{
    return trainer_work(&l->trainer);
}

void link_receive(link_t *l, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
#ifdef PORT_BAUD
        count_zeros(l, bytes[i]);
#endif
        size_t frame_bytes;
        switch (cobs_decode(&l->decoder, bytes[i], &frame_bytes)) {
        case COBS_FRAME:
            handle_frame(l, frame_bytes);
            break;
        case COBS_DAMAGED:
            handle_damage(l);
            break;
        case COBS_MORE:
            break;
        }
    }
}
