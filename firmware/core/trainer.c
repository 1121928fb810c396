#include "trainer.h"

#include "bytes.h"
#include "crc32.h"
#include "mlp_model.h"
#include "port_config.h"
#include "profile.h"
#include "protocol.h"
#include "reply.h"

/* State bytes fetched at a time: even. */
#define CHUNK_BYTES 32u

void trainer_init(trainer_t *t, void *arena, size_t arena_bytes)
{
    *t = (trainer_t){.arena = arena, .arena_bytes = arena_bytes};
}

static bool has_model(const trainer_t *t)
{
    return mlp_model_bytes(&t->mlp) != 0;
}

uint32_t trainer_digest(trainer_t *t)
{
    return has_model(t) ? mlp_digest(&t->mlp) : 0;
}

REPLY_FUNCTION void trainer_acknowledge(trainer_t *t, uint8_t status)
{
    reply_t r;
    const mlp_counters_t *counters = mlp_counters(&t->mlp);
    reply_begin(&r, t->session, MSG_DATA_ACK, t->next);
    reply_u8(&r, status);
    reply_u32(&r, mlp_step_count(&t->mlp));
    reply_u32(&r, trainer_digest(t));
    reply_u32(&r, (uint32_t)counters->loss_sum);
    reply_u32(&r, (uint32_t)(counters->loss_sum >> 32));
    reply_u32(&r, counters->correct);
    reply_u32(&r, counters->wsat);
    reply_u32(&r, counters->asat);
    reply_u32(&r, counters->bsat);
    reply_end(&r);
}

static int load_region(trainer_t *t, uint8_t region, uint32_t offset, const uint8_t *bytes,
                       size_t count, uint32_t *detail)
{
    switch (region) {
    case REGION_MODEL:
        return offset != 0 ? STATUS_BAD_OFFSET
                           : mlp_configure(&t->mlp, bytes, count, t->arena, t->arena_bytes, detail);
    case REGION_STATE:
        return has_model(t) ? mlp_state_write(&t->mlp, offset, bytes, count) : STATUS_BAD_OFFSET;
    default:
        return STATUS_BAD_MESSAGE;
    }
}

static REPLY_FUNCTION void reply_load(const trainer_t *t, uint32_t pos, uint8_t region,
                                      uint8_t status, uint32_t detail)
{
    reply_t r;
    reply_begin(&r, t->session, MSG_LOAD_ACK, pos);
    reply_u8(&r, region);
    reply_u8(&r, status);
    reply_u32(&r, detail);
    reply_end(&r);
}

static void handle_load(trainer_t *t, uint32_t pos, const uint8_t *payload, size_t count)
{
    uint32_t detail = 0;
    t->run_id = 0;
    t->missing = 0;
    const int status = load_region(t, payload[0], pos, payload + 1, count - 1, &detail);
    reply_load(t, pos, payload[0], (uint8_t)status, status == STATUS_OK ? 0 : detail);
}

/* Copies bytes of a region; they lie inside it. */
static void read_region(const trainer_t *t, uint8_t region, uint32_t offset, uint8_t *bytes,
                        size_t count)
{
    if (region == REGION_MODEL) {
        mlp_model_read(&t->mlp, offset, bytes, count);
    } else {
        (void)mlp_state_read(&t->mlp, offset, bytes, count);
    }
}

static uint32_t region_bytes(const trainer_t *t, uint8_t region)
{
    return region == REGION_MODEL ? mlp_model_bytes(&t->mlp) : mlp_state_bytes(&t->mlp);
}

static uint32_t region_crc(const trainer_t *t, uint8_t region, uint32_t crc)
{
    const uint32_t bytes = region_bytes(t, region);
    for (uint32_t offset = 0; offset < bytes; offset += CHUNK_BYTES) {
        uint8_t chunk[CHUNK_BYTES];
        const uint32_t here = bytes - offset < CHUNK_BYTES ? bytes - offset : CHUNK_BYTES;
        read_region(t, region, offset, chunk, here);
        crc = crc32_update(crc, chunk, here);
    }
    return crc;
}

static uint8_t commit(trainer_t *t, const uint8_t *payload)
{
    const uint32_t run_id = bytes_u32(payload + COMMIT_AT_RUN_ID);
    if (run_id == 0) {
        return STATUS_BAD_MESSAGE;
    }
    if (run_id == t->run_id) {
        return STATUS_OK;
    }
    const uint32_t crc = region_crc(t, REGION_STATE, region_crc(t, REGION_MODEL, 0));
    if (!has_model(t) || crc != bytes_u32(payload + COMMIT_AT_CRC) ||
        mlp_start(&t->mlp) != STATUS_OK) {
        return STATUS_BAD_STATE;
    }
    t->run_id = run_id;
    t->next = bytes_u32(payload + COMMIT_AT_NEXT);
    t->missing = 0;
    return STATUS_OK;
}

static REPLY_FUNCTION void reply_commit(const trainer_t *t, uint8_t status)
{
    reply_t r;
    reply_begin(&r, t->session, MSG_COMMIT_ACK, t->next);
    reply_u8(&r, status);
    reply_end(&r);
}

static void handle_commit(trainer_t *t, const uint8_t *payload)
{
    reply_commit(t, commit(t, payload));
}

static uint8_t check_read(const trainer_t *t, uint8_t region, uint32_t offset, uint32_t count)
{
    if (region != REGION_MODEL && region != REGION_STATE) {
        return STATUS_BAD_MESSAGE;
    }
    const uint32_t bytes = region_bytes(t, region);
    const bool odd = region == REGION_STATE && (offset % 2 != 0 || count % 2 != 0);
    const bool inside = offset <= bytes && count <= bytes - offset;
    if (bytes == 0 || odd || !inside || count > LINK_PAYLOAD_MAX - READ_ACK_BYTES) {
        return STATUS_BAD_OFFSET;
    }
    return STATUS_OK;
}

#ifdef PROFILE
static REPLY_FUNCTION void reply_profile(const trainer_t *t, uint32_t pos, uint16_t count)
{
    const uint8_t status = count == PROFILE_BYTES ? STATUS_OK : STATUS_BAD_OFFSET;
    reply_t r;
    reply_begin(&r, t->session, MSG_READ_ACK, pos);
    reply_u8(&r, REGION_PROFILE);
    reply_u8(&r, status);
    reply_u32(&r, t->next);
    if (status == STATUS_OK) {
        reply_u32(&r, profile_read(pos));
    }
    reply_end(&r);
}
#endif

static REPLY_FUNCTION void handle_read(const trainer_t *t, uint32_t pos,
                                       const uint8_t *payload)
{
    const uint8_t region = payload[READ_AT_REGION];
    const uint8_t status = check_read(t, region, pos, bytes_u16(payload + READ_AT_COUNT));
    uint32_t left = status == STATUS_OK ? bytes_u16(payload + READ_AT_COUNT) : 0;
    reply_t r;
    reply_begin(&r, t->session, MSG_READ_ACK, pos);
    reply_u8(&r, region);
    reply_u8(&r, status);
    reply_u32(&r, t->next);
    for (uint32_t offset = pos; left > 0; offset += CHUNK_BYTES) {
        uint8_t chunk[CHUNK_BYTES];
        const uint32_t here = left < CHUNK_BYTES ? left : CHUNK_BYTES;
        read_region(t, region, offset, chunk, here);
        reply_bytes(&r, chunk, here);
        left -= here;
    }
    reply_end(&r);
}

/* Bytes of one sample on the wire. */
static size_t sample_bytes(const trainer_t *t)
{
    return mlp_feature_bytes(&t->mlp) + mlp_target_bytes(&t->mlp);
}

/* True if the payload is a whole number of samples, a header before the first of every batch. A
 * batch of size 0 ends the walk: applying will stop there. */
static bool is_data_whole(const trainer_t *t, const uint8_t *payload, size_t count)
{
    const size_t sample = sample_bytes(t);
    uint16_t missing = t->missing;
    while (count > 0) {
        const size_t header = missing == 0 ? BATCH_BYTES : 0;
        if (count < header + sample) {
            return false;
        }
        if (missing == 0) {
            missing = bytes_u16(payload + BATCH_AT_SIZE);
            if (missing == 0) {
                return true;
            }
        }
        missing--;
        payload += header + sample;
        count -= header + sample;
    }
    return true;
}

static int apply_sample(trainer_t *t, const uint8_t **at)
{
    const uint8_t *p = *at;
    if (t->missing == 0) {
        const uint16_t size = bytes_u16(p + BATCH_AT_SIZE);
        const int status = mlp_begin_batch(&t->mlp, size, bytes_u16(p + BATCH_AT_LR_MANTISSA),
                                           (int8_t)p[BATCH_AT_LR_EXPONENT]);
        if (status != STATUS_OK) {
            return status;
        }
        t->missing = size;
        p += BATCH_BYTES;
    }
    const int status = mlp_put_sample(&t->mlp, p, p + mlp_feature_bytes(&t->mlp));
    if (status == STATUS_OK) {
        t->missing--;
        t->next++;
        *at = p + sample_bytes(t);
    } else if (!mlp_batch_open(&t->mlp)) {
        t->missing = 0; /* a refused first sample takes its announcement with it */
    }
    return status;
}

static void handle_data(trainer_t *t, uint32_t pos, const uint8_t *payload, size_t count)
{
    int status = STATUS_OK;
    if (pos == t->next) {
        const uint8_t *end = payload + count;
        status = is_data_whole(t, payload, count) ? STATUS_OK : STATUS_BAD_MESSAGE;
        while (status == STATUS_OK && payload < end) {
            status = apply_sample(t, &payload);
        }
    }
    trainer_acknowledge(t, (uint8_t)status);
}

static uint32_t add_saturating(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

typedef struct {
    uint8_t status;
    uint16_t count, correct;
    uint32_t loss;
} evaluation_t;

static REPLY_FUNCTION void reply_evaluation(const trainer_t *t, uint32_t pos,
                                            const evaluation_t *result)
{
    reply_t r;
    reply_begin(&r, t->session, MSG_EVAL_ACK, pos);
    reply_u8(&r, result->status);
    reply_u16(&r, result->count);
    reply_u16(&r, result->correct);
    reply_u32(&r, result->loss);
    reply_end(&r);
}

static void handle_eval(trainer_t *t, uint32_t pos, const uint8_t *payload, size_t count)
{
    const size_t sample = sample_bytes(t);
    evaluation_t sum = {.status = count % sample == 0 ? STATUS_OK : STATUS_BAD_MESSAGE};
    while (sum.status == STATUS_OK && sum.count < count / sample) {
        mlp_result_t result;
        const uint8_t *features = payload + sum.count * sample;
        sum.status =
            (uint8_t)mlp_infer(&t->mlp, features, features + mlp_feature_bytes(&t->mlp), &result);
        if (sum.status == STATUS_OK) {
            sum.count++;
            sum.correct = (uint16_t)(sum.correct + result.correct);
            sum.loss = add_saturating(sum.loss, result.loss);
        }
    }
    reply_evaluation(t, pos, &sum);
}

/* Infers one sample and sends its predictions and logits. */
static void reply_inference(trainer_t *t, reply_t *r, const uint8_t *features)
{
    mlp_result_t result;
    if (mlp_infer(&t->mlp, features, NULL, &result) != STATUS_OK) {
        return;
    }
    for (uint32_t i = 0; i < mlp_predictions(&t->mlp); i++) {
        reply_u32(r, (uint32_t)mlp_prediction(&t->mlp, result.logits, i));
    }
    for (uint32_t i = 0; i < mlp_outputs(&t->mlp); i++) {
        reply_u32(r, (uint32_t)result.logits[i]);
    }
}

/* Status and count go ahead of the results, so all samples are checked first. */
static REPLY_FUNCTION void handle_infer(trainer_t *t, uint32_t pos, const uint8_t *payload,
                                        size_t count)
{
    const size_t sample = mlp_feature_bytes(&t->mlp);
    const size_t answer = 4u * (mlp_predictions(&t->mlp) + mlp_outputs(&t->mlp));
    const size_t samples = count / sample;
    uint8_t status = STATUS_OK;
    uint32_t good = 0;
    if (count % sample != 0 || INFER_ACK_BYTES + samples * answer > LINK_PAYLOAD_MAX) {
        status = STATUS_BAD_MESSAGE;
    } else {
        while (good < samples && mlp_features_valid(&t->mlp, payload + good * sample)) {
            good++;
        }
        status = good == samples ? STATUS_OK : STATUS_BAD_SAMPLE;
    }
    reply_t r;
    reply_begin(&r, t->session, MSG_INFER_ACK, pos);
    reply_u8(&r, status);
    reply_u16(&r, (uint16_t)good);
    for (uint32_t i = 0; i < good; i++) {
        reply_inference(t, &r, payload + i * sample);
    }
    reply_end(&r);
}

static bool is_length_valid(uint8_t type, size_t count)
{
    switch (type) {
    case MSG_LOAD:
        return count >= 1;
    case MSG_COMMIT:
        return count == COMMIT_BYTES;
    case MSG_READ:
        return count == READ_BYTES;
    default:
        return true;
    }
}

bool trainer_handle(trainer_t *t, uint8_t type, uint32_t pos, const uint8_t *payload,
                    size_t count)
{
    const bool needs_run = type == MSG_DATA || type == MSG_EVAL || type == MSG_INFER;
    if (needs_run && t->run_id == 0) {
        return false;
    }
    if (!is_length_valid(type, count)) {
        trainer_acknowledge(t, STATUS_BAD_MESSAGE);
        return true;
    }
    switch (type) {
    case MSG_LOAD:
        handle_load(t, pos, payload, count);
        break;
    case MSG_COMMIT:
        handle_commit(t, payload);
        break;
    case MSG_READ:
#ifdef PROFILE
        if (payload[READ_AT_REGION] == REGION_PROFILE) {
            reply_profile(t, pos, bytes_u16(payload + READ_AT_COUNT));
            break;
        }
#endif
        handle_read(t, pos, payload);
        break;
    case MSG_DATA:
        handle_data(t, pos, payload, count);
        break;
    case MSG_EVAL:
        handle_eval(t, pos, payload, count);
        break;
    case MSG_INFER:
        handle_infer(t, pos, payload, count);
        break;
    default:
        trainer_acknowledge(t, STATUS_BAD_MESSAGE);
        break;
    }
    return true;
}
