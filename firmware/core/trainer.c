#include "trainer.h"

#include "bytes.h"
#include "crc32.h"
#include "mlp_model.h"
#include "port_config.h"
#include "profile.h"
#include "protocol.h"
#include "reply.h"

/* Bytes of a region that its checksum takes at a time: even. */
#define CHUNK_BYTES 32u

/* Inlined, all handlers would weigh on the stack of a step. */
#define HANDLER __attribute__((noinline))

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

static REPLY_FUNCTION void reply_data(const trainer_t *t, uint8_t status, uint32_t digest)
{
    reply_t r;
    const mlp_counters_t *counters = mlp_counters(&t->mlp);
    reply_begin(&r, t->session, MSG_DATA_ACK, t->next);
    reply_u8(&r, status);
    reply_u32(&r, mlp_step_count(&t->mlp));
    reply_u32(&r, digest);
    reply_u32(&r, (uint32_t)counters->loss_sum);
    reply_u32(&r, (uint32_t)(counters->loss_sum >> 32));
    reply_u32(&r, counters->correct);
    reply_u32(&r, counters->wsat);
    reply_u32(&r, counters->asat);
    reply_u32(&r, counters->bsat);
    reply_end(&r);
}

void trainer_acknowledge(trainer_t *t, uint8_t status)
{
    reply_data(t, status, trainer_digest(t));
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

static HANDLER void handle_load(trainer_t *t, uint32_t pos, const uint8_t *payload, size_t count)
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

static HANDLER void handle_commit(trainer_t *t, const uint8_t *payload)
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

static REPLY_FUNCTION void reply_read(const trainer_t *t, uint32_t pos, uint8_t region,
                                      uint8_t status, const uint8_t *bytes, size_t count)
{
    reply_t r;
    reply_begin(&r, t->session, MSG_READ_ACK, pos);
    reply_u8(&r, region);
    reply_u8(&r, status);
    reply_u32(&r, t->next);
    reply_bytes(&r, bytes, count);
    reply_end(&r);
}

#ifdef PROFILE
static HANDLER void handle_profile(const trainer_t *t, uint32_t pos, uint8_t *payload)
{
    if (bytes_u16(payload + READ_AT_COUNT) == PROFILE_BYTES) {
        bytes_put_u32(payload, profile_read(pos));
        reply_read(t, pos, REGION_PROFILE, STATUS_OK, payload, PROFILE_BYTES);
    } else {
        reply_read(t, pos, REGION_PROFILE, STATUS_BAD_OFFSET, payload, 0);
    }
}
#endif

/* The bytes that were read take the place of the request. */
static HANDLER void handle_read(const trainer_t *t, uint32_t pos, uint8_t *payload)
{
    const uint8_t region = payload[READ_AT_REGION];
    uint32_t count = bytes_u16(payload + READ_AT_COUNT);
    const uint8_t status = check_read(t, region, pos, count);
    if (status == STATUS_OK) {
        read_region(t, region, pos, payload, count);
    } else {
        count = 0;
    }
    reply_read(t, pos, region, status, payload, count);
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

static HANDLER void handle_data(trainer_t *t, uint32_t pos, const uint8_t *payload, size_t count)
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

static HANDLER void handle_eval(trainer_t *t, uint32_t pos, const uint8_t *payload, size_t count)
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

/* Infers one sample; its predictions and logits go to `answer`. */
static int infer(trainer_t *t, const uint8_t *features, uint8_t *answer)
{
    mlp_result_t result;
    const int status = mlp_infer(&t->mlp, features, NULL, &result);
    if (status == STATUS_OK) {
        for (uint32_t i = 0; i < mlp_predictions(&t->mlp); i++, answer += 4) {
            bytes_put_u32(answer, (uint32_t)mlp_prediction(&t->mlp, result.logits, i));
        }
        for (uint32_t i = 0; i < mlp_outputs(&t->mlp); i++, answer += 4) {
            bytes_put_u32(answer, (uint32_t)result.logits[i]);
        }
    }
    return status;
}

/* Bytes of the answer for one sample. */
static size_t answer_bytes(const trainer_t *t)
{
    return 4u * (mlp_predictions(&t->mlp) + mlp_outputs(&t->mlp));
}

static REPLY_FUNCTION void reply_inference(const trainer_t *t, uint32_t pos, uint8_t status,
                                           uint32_t good, const uint8_t *answers)
{
    reply_t r;
    reply_begin(&r, t->session, MSG_INFER_ACK, pos);
    reply_u8(&r, status);
    reply_u16(&r, (uint16_t)good);
    reply_bytes(&r, answers, good * answer_bytes(t));
    reply_end(&r);
}

/* Moves the first bytes of a payload to its end. */
static HANDLER uint8_t *to_end(uint8_t *payload, size_t count)
{
    uint8_t *to = payload + LINK_PAYLOAD_MAX - count;
    while (count > 0) {
        count--;
        to[count] = payload[count];
    }
    return to;
}

/* Answers take the place of samples: from the payload's start, behind which the samples end at its
 * end if they are shorter; n answers fit, so i answers and n - i samples do. */
static HANDLER void handle_infer(trainer_t *t, uint32_t pos, uint8_t *payload, size_t count)
{
    const size_t sample = mlp_feature_bytes(&t->mlp), answer = answer_bytes(t);
    const size_t samples = count / sample;
    int status = STATUS_BAD_MESSAGE;
    uint32_t good = 0;
    if (count % sample == 0 && INFER_ACK_BYTES + samples * answer <= LINK_PAYLOAD_MAX) {
        const uint8_t *features = answer > sample ? to_end(payload, count) : payload;
        status = STATUS_OK;
        for (; good < samples; good++) {
            status = infer(t, features + good * sample, payload + good * answer);
            if (status != STATUS_OK) {
                break;
            }
        }
    }
    reply_inference(t, pos, (uint8_t)status, good, payload);
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

bool trainer_handle(trainer_t *t, uint8_t type, uint32_t pos, uint8_t *payload, size_t count)
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
            handle_profile(t, pos, payload);
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
