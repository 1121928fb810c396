/* libFuzzer: any bytes into the device's receive path, or into its flash before it starts.
 *
 * With FUZZ_FRAMES the input is cut into frames, each with a valid CRC and the session the device
 * has, so that what lies behind the CRC is reached: first byte of a piece its length, then type, pos
 * and payload. With FUZZ_RECORD too, a checkpoint with valid CRCs stands before them, which the
 * device starts with: u16 length, then a byte whose lowest bit says whether the lengths of its
 * regions are left as they are, run id, position and payload. With FUZZ_FLASH the bytes fill the
 * flash as they are. With none of these they are received as they are. At the end the device starts
 * again, with what it kept, and what it kept predicts without it. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "crc32.h"
#include "fixgrad.h"
#include "link.h"
#include "mlp_dataset.h"
#include "mlp_model.h"
#include "port.h"
#include "ram_flash.h"
#include "store.h"

#define WORK_MAX 40u

const char port_board[] = "fuzz";
const char port_core[] = "host";
const uint16_t port_window_bytes = 540;

static size_t answered;

void port_write(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        answered += bytes[i];
    }
}

bool port_has_baud(uint32_t baud)
{
    return baud % 2u == 0;
}

void port_set_baud(uint32_t baud)
{
    answered += baud;
}

static void work(link_t *l)
{
    for (uint32_t i = 0; i < WORK_MAX && link_work(l); i++) {
    }
}

#ifdef FUZZ_FRAMES
static void send_frame(link_t *l, const uint8_t *piece, size_t count)
{
    uint8_t frame[LINK_FRAME_MAX] = {0};
    uint8_t wire[2u * LINK_FRAME_MAX];
    const size_t head = FRAME_HEADER_BYTES;
    frame[0] = count > 0 ? piece[0] % 13u : 0u;
    frame[1] = l->trainer.session == 0 ? 1u : l->trainer.session;
    if (count > 1) {
        frame[2] = piece[1]; /* offsets and positions are small */
    }
    const size_t room = sizeof frame - head - FRAME_TRAILER_BYTES;
    const size_t payload = count > 2 ? (count - 2 < room ? count - 2 : room) : 0;
    memcpy(frame + head, count > 2 ? piece + 2 : piece, payload);
    if (frame[0] == MSG_DATA || frame[0] == MSG_PART || frame[0] == MSG_TRAIN_TO ||
        frame[0] == MSG_SAVE || frame[0] == MSG_SCALE) {
        bytes_put_u32(frame + 2, l->trainer.next + (frame[2] > 200u));
    }
    bytes_put_u32(frame + head + payload, crc32_update(0, frame, head + payload));
    size_t code_at = 0, out = 1;
    for (size_t i = 0; i < head + payload + FRAME_TRAILER_BYTES; i++) {
        if (out - code_at == 255u) {
            wire[code_at] = 255u;
            code_at = out++;
        }
        if (frame[i] == 0) {
            wire[code_at] = (uint8_t)(out - code_at);
            code_at = out++;
        } else {
            wire[out++] = frame[i];
        }
    }
    wire[code_at] = (uint8_t)(out - code_at);
    wire[out++] = 0;
    link_receive(l, wire, out);
    work(l);
}

/* The state that was loaded is what COMMIT is asked to accept. */
static void commit_loaded(link_t *l)
{
    uint8_t payload[COMMIT_BYTES + 2u] = {MSG_COMMIT, 0, 7};
    uint8_t state[ARENA_BYTES], model[LINK_PAYLOAD_MAX];
    mlp_t *m = &l->trainer.mlp;
    uint32_t crc = 0;
    const uint32_t model_bytes = mlp_model_bytes(m), state_bytes = mlp_state_bytes(m);
    if (model_bytes == 0 || model_bytes > sizeof model || state_bytes > sizeof state) {
        return;
    }
    mlp_model_read(m, 0, model, model_bytes);
    if (mlp_state_read(m, 0, state, state_bytes) == STATUS_OK) {
        crc = crc32_update(crc32_update(0, model, model_bytes), state, state_bytes);
        crc = crc32_update(crc, l->trainer.dataset, mlp_dataset_bytes(m, l->trainer.dataset));
    }
    bytes_put_u32(payload + 2 + COMMIT_AT_CRC, crc);
    send_frame(l, payload, sizeof payload);
}
#endif

/* Inference from the flash alone. */
static void predict(void)
{
    static int32_t work[ARENA_BYTES / 4u], answer[LIMIT_OUTPUTS_MAX];
    static int16_t features[UINT16_MAX];
    fixgrad_t net;
    if (fixgrad_open(&net, work, sizeof work) != FIXGRAD_OK) {
        return;
    }
    for (uint32_t i = 0; i < net.inputs; i++) {
        features[i] = net.feature_max;
    }
    if (fixgrad_predict(&net, features, answer) != FIXGRAD_OK) {
        abort();
    }
}

#ifdef FUZZ_RECORD
#define PIECE_HEAD_BYTES 11u
#define RECORD_HEAD_BYTES 12u

static void copy(const void *context, uint32_t offset, uint8_t *bytes, size_t count)
{
    memcpy(bytes, (const uint8_t *)context + offset, count);
}

/* Lets the store write a checkpoint; returns the bytes of input that it took. */
static size_t keep_record(const uint8_t *data, size_t size)
{
    static uint8_t payload[BANK_BYTES];
    store_t store = {0};
    if (size < PIECE_HEAD_BYTES) {
        return size;
    }
    const uint32_t left = (uint32_t)size - PIECE_HEAD_BYTES, wanted = bytes_u16(data);
    uint32_t count = wanted < left ? wanted : left;
    count = count < sizeof payload ? count : (uint32_t)sizeof payload;
    memcpy(payload, data + PIECE_HEAD_BYTES, count);
    if (count >= RECORD_HEAD_BYTES && (data[2] & 1u) == 0) {
        bytes_put_u32(payload + 8,
                      count - RECORD_HEAD_BYTES - bytes_u32(payload) - bytes_u32(payload + 4));
    }
    (void)store_save(&store, bytes_u32(data + 3), bytes_u32(data + 7), count, copy, payload);
    return PIECE_HEAD_BYTES + count;
}
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    link_t *l = malloc(sizeof *l);
    void *arena = malloc(ARENA_BYTES);
    if (l == NULL || arena == NULL) {
        abort();
    }
    memset(arena, 0, ARENA_BYTES);
    ram_flash_fill(NULL, 0);
#ifdef FUZZ_FLASH
    ram_flash_fill(data, size);
#elif defined FUZZ_RECORD
    const size_t taken = keep_record(data, size);
    data += taken;
    size -= taken;
#endif
    link_init(l, 1, arena, ARENA_BYTES);
#ifdef FUZZ_FRAMES
    const uint8_t hello[] = {MSG_HELLO};
    send_frame(l, hello, 1);
    while (size > 0) {
        const size_t count = data[0] < size - 1 ? data[0] : size - 1;
        if (count > 0 && data[1] == 0xFF) {
            commit_loaded(l);
        } else {
            send_frame(l, data + 1, count);
        }
        data += 1 + count;
        size -= 1 + count;
    }
#elif !defined FUZZ_FLASH
    link_receive(l, data, size);
#endif
    work(l);
    link_init(l, 2, arena, ARENA_BYTES);
    predict();
    free(arena);
    free(l);
    return 0;
}
