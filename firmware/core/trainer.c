#include "trainer.h"

#include "bytes.h"
#include "crc32.h"
#include "flash.h"
#include "keep.h"
#include "mlp_dataset.h"
#include "mlp_model.h"
#include "mlp_part.h"
#include "port_config.h"
#include "profile.h"
#include "protocol.h"
#include "reply.h"

#include <stddef.h>
#include <string.h>

/* Bytes of a region that its checksum takes at a time: even. */
#define CHUNK_BYTES 32u

#define POSITION_BYTES 4u

_Static_assert(DATA_ACK_AT_LOSS_SUM + sizeof(mlp_counters_t) == DATA_ACK_BYTES &&
                   DATA_ACK_AT_BSAT - DATA_ACK_AT_LOSS_SUM == offsetof(mlp_counters_t, bsat),
               "the counters are sent as they stand");

/* Inlined, all handlers would weigh on the stack of a step. */
#define HANDLER __attribute__((noinline))

void trainer_init(trainer_t *t, void *arena, size_t arena_bytes)
{
    *t = (trainer_t){.arena = arena, .arena_bytes = arena_bytes, .dataset = mlp_dataset_none};
#ifdef PORT_SAMPLES
    cache_init(&t->cache);
#endif
#ifdef PORT_STORE
    keep_restore(t);
#endif
}

static bool has_model(const trainer_t *t)
{
    return mlp_model_bytes(&t->mlp) != 0;
}

HANDLER uint32_t trainer_digest(trainer_t *t)
{
    return has_model(t) ? mlp_digest(&t->mlp) : 0;
}

void trainer_acknowledge(trainer_t *t, uint8_t status)
{
    uint8_t answer[DATA_ACK_BYTES];
    answer[DATA_ACK_AT_STATUS] = status;
    bytes_put_u32(answer + DATA_ACK_AT_STEP, mlp_step_count(&t->mlp));
    bytes_put_u32(answer + DATA_ACK_AT_DIGEST, trainer_digest(t));
    memcpy(answer + DATA_ACK_AT_LOSS_SUM, mlp_counters(&t->mlp), sizeof(mlp_counters_t));
    reply_frame(t->session, MSG_DATA_ACK, t->next, answer, sizeof answer);
}

/* Forgets a data set that would lie elsewhere, or end beyond the arena. */
static int load_model(trainer_t *t, const uint8_t *bytes, size_t count, uint32_t *detail)
{
    const int status = mlp_configure(&t->mlp, bytes, count, t->arena, t->arena_bytes, detail);
    if (status != STATUS_OK || t->dataset != mlp_dataset_place(&t->mlp) ||
        *detail + mlp_dataset_bytes(&t->mlp, t->dataset) > t->arena_bytes) {
        t->dataset = mlp_dataset_none;
    }
    return status;
}

/* Samples for which there is no room behind the model go to the flash if there is room. */
#ifdef PORT_SAMPLES
static bool goes_to_flash(const trainer_t *t, const uint8_t *head, uint32_t size, uint32_t end)
{
    return bytes_u32(head + DATASET_AT_SAMPLES) != 0 && size <= flash_samples_bytes() &&
           end + POSITION_BYTES + BATCH_BYTES > t->arena_bytes;
}

static bool is_in_flash(const trainer_t *t)
{
    return t->dataset == flash_samples();
}

static int load_cache(trainer_t *t, uint32_t offset, const uint8_t *bytes, size_t count,
                      uint32_t *detail)
{
    if (offset == 0) {
        t->dataset = mlp_dataset_none;
    }
    const int status = cache_write(&t->cache, offset, bytes, count);
    if (offset == 0 && status == STATUS_OK) {
        t->dataset = flash_samples();
    }
    *detail = t->cache.filled;
    return status;
}

/* What was not written by this start, nor sealed, is not taken for what it reads. */
static bool is_cache_whole(const trainer_t *t)
{
    return !is_in_flash(t) || mlp_dataset_bytes(&t->mlp, t->dataset) <= t->cache.filled;
}

/* Seals what is as the host has it; else it must come anew. */
static void judge_cache(trainer_t *t, bool good)
{
    if (is_in_flash(t) && good) {
        cache_seal(&t->cache);
    } else if (is_in_flash(t)) {
        t->cache.filled = 0;
    }
}
#endif

/* The head comes whole: it says how long the region is. */
static int load_dataset(trainer_t *t, uint32_t offset, const uint8_t *bytes, size_t count,
                        uint32_t *detail)
{
    uint8_t *region = mlp_dataset_place(&t->mlp);
    const uint8_t *head = t->dataset;
    if (offset == 0) {
        if (count < DATASET_BYTES || bytes[DATASET_AT_BITS] > 8) {
            return STATUS_BAD_MESSAGE;
        }
        head = bytes;
    } else if (offset < DATASET_BYTES) {
        return STATUS_BAD_OFFSET;
    }
    const uint32_t size = mlp_dataset_bytes(&t->mlp, head);
    if (head == bytes && size == DATASET_BYTES) { /* it says nothing, and needs no memory */
        t->dataset = mlp_dataset_none;
        return STATUS_OK;
    }
    *detail = (uint32_t)(region - (uint8_t *)t->arena) + size;
    const bool is_inside = offset <= size && count <= size - offset;
#ifdef PORT_SAMPLES
    if (offset == 0 ? goes_to_flash(t, head, size, *detail) : is_in_flash(t)) {
        return is_inside ? load_cache(t, offset, bytes, count, detail) : STATUS_BAD_OFFSET;
    }
#endif
    if (*detail > t->arena_bytes) {
        return STATUS_NO_MEMORY;
    }
    if (!is_inside) {
        return STATUS_BAD_OFFSET;
    }
    if (offset == 0) {
        t->dataset = region;
    }
    memcpy(region + offset, bytes, count);
    return STATUS_OK;
}

int trainer_load(trainer_t *t, uint8_t region, uint32_t offset, const uint8_t *bytes, size_t count,
                 uint32_t *detail)
{
    if (region > REGION_DATASET) {
        return STATUS_BAD_MESSAGE;
    }
    if (region == REGION_MODEL && offset == 0) {
        return load_model(t, bytes, count, detail);
    }
    if (region == REGION_MODEL || !has_model(t)) {
        return STATUS_BAD_OFFSET;
    }
    return region == REGION_STATE ? mlp_state_write(&t->mlp, offset, bytes, count)
                                  : load_dataset(t, offset, bytes, count, detail);
}

static HANDLER void handle_load(trainer_t *t, uint32_t pos, const uint8_t *payload, size_t count)
{
    uint8_t answer[LOAD_ACK_BYTES] = {payload[0]};
    uint32_t detail = 0;
    t->run_id = 0;
    t->missing = 0;
    t->end = 0;
    const int status = trainer_load(t, payload[0], pos, payload + 1, count - 1, &detail);
    answer[LOAD_ACK_AT_STATUS] = (uint8_t)status;
    bytes_put_u32(answer + LOAD_ACK_AT_DETAIL, status == STATUS_OK ? 0 : detail);
    reply_frame(t->session, MSG_LOAD_ACK, pos, answer, sizeof answer);
}

#ifdef PORT_PARTS
static bool is_readable(uint8_t region)
{
    return region == REGION_MODEL || region == REGION_STATE || region == REGION_REACH ||
           region == REGION_GRADIENT;
}

static void read_words(const mlp_t *m, uint8_t region, uint32_t index, uint8_t *bytes, size_t count)
{
    for (const uint8_t *end = bytes + count; bytes < end; bytes += 4, index++) {
        bytes_put_u32(bytes, region == REGION_REACH ? mlp_reach_word(m, index)
                                                    : mlp_gradient_word(m, index));
    }
}

/* None where no part is held. */
static uint32_t word_count(const trainer_t *t, uint8_t region)
{
    if (t->run_id == 0 || !mlp_part_held(&t->mlp)) {
        return 0;
    }
    return region == REGION_REACH ? mlp_reach_words(&t->mlp) : mlp_gradient_words(&t->mlp);
}
#else
static bool is_readable(uint8_t region)
{
    return region == REGION_MODEL || region == REGION_STATE;
}
#endif

/* Copies bytes of a region; they lie inside it. */
static void read_region(const trainer_t *t, uint8_t region, uint32_t offset, uint8_t *bytes,
                        size_t count)
{
    if (region == REGION_MODEL) {
        mlp_model_read(&t->mlp, offset, bytes, count);
#ifdef PORT_PARTS
    } else if (region != REGION_STATE) {
        read_words(&t->mlp, region, offset / 4u, bytes, count);
#endif
    } else {
        (void)mlp_state_read(&t->mlp, offset, bytes, count);
    }
}

static uint32_t region_bytes(const trainer_t *t, uint8_t region)
{
#ifdef PORT_PARTS
    if (region > REGION_STATE) {
        return 4u * word_count(t, region);
    }
#endif
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
    if (!has_model(t)) {
        return STATUS_BAD_STATE;
    }
#ifdef PORT_SAMPLES
    if (!is_cache_whole(t)) {
        return STATUS_BAD_STATE;
    }
#endif
    const uint32_t loaded = region_crc(t, REGION_STATE, region_crc(t, REGION_MODEL, 0));
    const uint32_t crc =
        crc32_update(loaded, t->dataset, mlp_dataset_bytes(&t->mlp, t->dataset));
    const bool is_loaded = crc == bytes_u32(payload + COMMIT_AT_CRC);
#ifdef PORT_SAMPLES
    judge_cache(t, is_loaded);
#endif
    if (!is_loaded || mlp_start(&t->mlp) != STATUS_OK) {
        return STATUS_BAD_STATE;
    }
#ifdef PORT_STORE
    t->save_every = 0;
#endif
    t->run_id = run_id;
    t->next = bytes_u32(payload + COMMIT_AT_NEXT);
    t->missing = 0;
    t->end = 0;
    return STATUS_OK;
}

static HANDLER void handle_commit(trainer_t *t, const uint8_t *payload)
{
    const uint8_t status = commit(t, payload);
    reply_frame(t->session, MSG_COMMIT_ACK, t->next, &status, sizeof status);
}

static uint8_t check_read(const trainer_t *t, uint8_t region, uint32_t offset, uint32_t count)
{
    if (!is_readable(region)) {
        return STATUS_BAD_MESSAGE;
    }
    const uint32_t bytes = region_bytes(t, region);
    const uint32_t unit = region == REGION_MODEL ? 1u : region == REGION_STATE ? 2u : 4u;
    const bool odd = ((offset | count) & (unit - 1u)) != 0;
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
    const uint8_t head[2] = {region, status};
    reply_bytes(&r, head, sizeof head);
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

/* True if the payload is a whole number of samples, a header before the first of every batch. A
 * batch of size 0 ends the walk: applying will stop there. */
static bool is_data_whole(const trainer_t *t, size_t sample, const uint8_t *payload,
                          size_t count)
{
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

static int begin_batch(trainer_t *t, const uint8_t *header, uint16_t size)
{
    const int status = mlp_begin_batch(&t->mlp, size, bytes_u16(header + BATCH_AT_LR_MANTISSA),
                                       (int8_t)header[BATCH_AT_LR_EXPONENT]);
    if (status == STATUS_OK) {
        t->missing = size;
    }
    return status;
}

/* Whether the last sample of a batch that a message brings leaves it held. */
static inline bool is_part(uint8_t type)
{
#ifdef PORT_PARTS
    return type == MSG_PART;
#else
    (void)type;
    return false;
#endif
}

/* Inlined: its frame would weigh on the stack of a step. */
static inline __attribute__((always_inline)) int apply_sample(trainer_t *t, uint8_t type,
                                                              const uint8_t *sample)
{
    const int status = is_part(type) ? mlp_dataset_put_part(&t->mlp, t->dataset, sample)
                                     : mlp_dataset_put(&t->mlp, t->dataset, sample);
    if (status == STATUS_OK) {
        t->missing--;
        t->next++;
#ifdef PORT_STORE
        if (t->missing == 0 && !is_part(type)) {
            keep_every(t);
        }
#endif
    } else if (!mlp_batch_open(&t->mlp)) {
        t->missing = 0; /* a refused first sample takes its announcement with it */
    }
    return status;
}

static HANDLER void handle_data(trainer_t *t, uint8_t type, uint32_t pos, const uint8_t *payload,
                                size_t count)
{
    const size_t sample = mlp_dataset_sample_bytes(&t->mlp, t->dataset);
    const uint8_t *end = payload + count;
    int status = STATUS_OK;
    if (pos != t->next) {
        end = payload;
    } else if (!is_data_whole(t, sample, payload, count)) {
        status = STATUS_BAD_MESSAGE;
    }
    while (status == STATUS_OK && payload < end) {
        if (t->missing == 0) {
            status = begin_batch(t, payload, bytes_u16(payload + BATCH_AT_SIZE));
            payload += BATCH_BYTES;
        } else {
            status = apply_sample(t, type, payload);
            payload += sample;
        }
    }
    trainer_acknowledge(t, (uint8_t)status);
}

/* Samples that the device holds. */
static uint32_t sample_count(const trainer_t *t)
{
    return bytes_u32(t->dataset + DATASET_AT_SAMPLES);
}

/* Where TRAIN_TO waits, behind the data set or, where that is in the flash, behind the model: its
 * position u32, then its stretches. */
static uint8_t *waiting(const trainer_t *t)
{
#ifdef PORT_SAMPLES
    if (is_in_flash(t)) {
        return mlp_dataset_place(&t->mlp);
    }
#endif
    return (uint8_t *)(uintptr_t)t->dataset + mlp_dataset_bytes(&t->mlp, t->dataset);
}

/* Begins the batch at `next` with the learning rate of its stretch. */
static int begin_cached(trainer_t *t)
{
    const uint8_t *stretch = waiting(t);
    uint32_t at = bytes_u32(stretch);
    stretch += POSITION_BYTES;
    while ((at += bytes_u16(stretch + BATCH_AT_SIZE)) <= t->next) {
        stretch += BATCH_BYTES;
    }
    return begin_batch(t, stretch, mlp_dataset_batch(&t->mlp, t->dataset, t->next));
}

HANDLER bool trainer_work(trainer_t *t)
{
    if (t->next >= t->end) {
        return false;
    }
    int status = t->missing == 0 ? begin_cached(t) : STATUS_OK;
    if (status == STATUS_OK) {
        status = apply_sample(t, MSG_TRAIN_TO, mlp_dataset_at(&t->mlp, t->dataset, t->next));
    }
    if (status != STATUS_OK) {
        t->end = 0;
    }
    if (t->next >= t->end) {
        trainer_acknowledge(t, (uint8_t)status);
    }
    return true;
}

/* Notes the stretches, unless they begin beyond `next`. They are answered when the last of them is
 * trained; a TRAIN_TO that finds the device training, or that leaves it nothing to do, at once. */
static HANDLER void handle_train_to(trainer_t *t, uint32_t pos, const uint8_t *payload,
                                    size_t count)
{
    const bool busy = t->next < t->end;
    uint8_t *to = waiting(t);
    uint8_t status = STATUS_OK;
    if (sample_count(t) == 0 || count % BATCH_BYTES != 0 ||
        count + POSITION_BYTES > (size_t)((uint8_t *)t->arena + t->arena_bytes - to)) {
        status = STATUS_BAD_MESSAGE;
    } else if (pos <= t->next && !busy) {
        bytes_put_u32(to, pos);
        memcpy(to + POSITION_BYTES, payload, count);
        t->end = pos;
        for (; count > 0; count -= BATCH_BYTES, payload += BATCH_BYTES) {
            t->end += bytes_u16(payload + BATCH_AT_SIZE);
        }
    }
    if (busy || t->next >= t->end) {
        trainer_acknowledge(t, status);
    }
}

static uint32_t add_saturating(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

static HANDLER void handle_eval(trainer_t *t, uint32_t pos, const uint8_t *payload, size_t count)
{
    const size_t sample = mlp_feature_bytes(&t->mlp) + mlp_target_bytes(&t->mlp);
    const uint8_t *end = payload + count;
    int status = count % sample == 0 ? STATUS_OK : STATUS_BAD_MESSAGE;
    uint32_t done = 0, correct = 0, loss = 0;
    while (status == STATUS_OK && payload < end) {
        mlp_result_t result;
        status = mlp_infer(&t->mlp, payload, payload + mlp_feature_bytes(&t->mlp), &result);
        if (status == STATUS_OK) {
            done++;
            correct += result.correct;
            loss = add_saturating(loss, result.loss);
            payload += sample;
        }
    }
    uint8_t answer[EVAL_ACK_BYTES];
    answer[EVAL_ACK_AT_STATUS] = (uint8_t)status;
    bytes_put_u16(answer + EVAL_ACK_AT_COUNT, (uint16_t)done);
    bytes_put_u16(answer + EVAL_ACK_AT_CORRECT, (uint16_t)correct);
    bytes_put_u32(answer + EVAL_ACK_AT_LOSS, loss);
    reply_frame(t->session, MSG_EVAL_ACK, pos, answer, sizeof answer);
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
    const uint8_t head[INFER_ACK_BYTES] = {status, (uint8_t)good, (uint8_t)(good >> 8)};
    reply_bytes(&r, head, sizeof head);
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

#ifdef PORT_STORE
static HANDLER void handle_save(trainer_t *t, uint32_t pos, const uint8_t *payload)
{
    uint32_t generation = 0;
    uint8_t status = STATUS_BAD_OFFSET;
    if (pos == t->next && t->missing == 0) {
        t->save_every = bytes_u32(payload + SAVE_AT_EVERY);
        status = keep_save(t, &generation);
    }
    uint8_t answer[SAVE_ACK_BYTES] = {status};
    bytes_put_u32(answer + SAVE_ACK_AT_GENERATION, generation);
    reply_frame(t->session, MSG_SAVE_ACK, t->next, answer, sizeof answer);
}
#endif

#ifdef PORT_PARTS
static HANDLER void handle_scale(trainer_t *t, uint32_t pos, const uint8_t *payload)
{
    uint8_t status = STATUS_BAD_STATE;
    if (pos == t->next && mlp_part_held(&t->mlp)) {
        status = (uint8_t)mlp_part_scale(&t->mlp, payload);
    }
    reply_frame(t->session, MSG_SCALE_ACK, pos, &status, sizeof status);
}

/* Messages that would work in the rows of a held part, or keep its position without its step. */
static bool is_withheld(const trainer_t *t, uint8_t type)
{
    return (type == MSG_EVAL || type == MSG_INFER || type == MSG_SAVE) && mlp_part_held(&t->mlp);
}
#endif

static bool needs_run(uint8_t type)
{
#ifdef PORT_PARTS
    if (type == MSG_SCALE) {
        return true;
    }
#endif
    return type >= MSG_DATA && type <= MSG_SAVE;
}

bool trainer_handle(trainer_t *t, uint8_t type, uint32_t pos, uint8_t *payload, size_t count)
{
    if (needs_run(type) && t->run_id == 0) {
        return false;
    }
#ifdef PORT_PARTS
    if (is_withheld(t, type)) {
        trainer_acknowledge(t, STATUS_BAD_STATE);
        return true;
    }
#endif
    switch (type) {
    case MSG_LOAD:
        if (count == 0) {
            break;
        }
        handle_load(t, pos, payload, count);
        return true;
    case MSG_COMMIT:
        if (count != COMMIT_BYTES) {
            break;
        }
        handle_commit(t, payload);
        return true;
    case MSG_READ:
        if (count != READ_BYTES) {
            break;
        }
#ifdef PROFILE
        if (payload[READ_AT_REGION] == REGION_PROFILE) {
            handle_profile(t, pos, payload);
            return true;
        }
#endif
        handle_read(t, pos, payload);
        return true;
    case MSG_EVAL:
        handle_eval(t, pos, payload, count);
        return true;
    case MSG_INFER:
        handle_infer(t, pos, payload, count);
        return true;
#ifdef PORT_PARTS
    case MSG_SCALE:
        if (count != SCALE_BYTES * t->mlp.layer_count) {
            break;
        }
        handle_scale(t, pos, payload);
        return true;
    case MSG_PART:
#endif
    case MSG_DATA:
        handle_data(t, type, pos, payload, count);
        return true;
    case MSG_TRAIN_TO:
        handle_train_to(t, pos, payload, count);
        return true;
#ifdef PORT_STORE
    case MSG_SAVE:
        if (count != SAVE_BYTES) {
            break;
        }
        handle_save(t, pos, payload);
        return true;
#endif
    default:
        break;
    }
    trainer_acknowledge(t, STATUS_BAD_MESSAGE);
    return true;
}
