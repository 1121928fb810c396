#include "keep.h"

#include "port_config.h"

#ifdef PORT_STORE

#include "bytes.h"
#include "flash.h"
#include "kept.h"
#include "mlp_dataset.h"
#include "mlp_model.h"
#include "protocol.h"
#include "store.h"

#include <string.h>

typedef struct {
    uint32_t state, model, dataset;
} sizes_t;

static sizes_t sizes(const trainer_t *t)
{
    return (sizes_t){mlp_state_bytes(&t->mlp), mlp_model_bytes(&t->mlp),
                     mlp_dataset_bytes(&t->mlp, t->dataset)};
}

/* One byte of what stands behind the state, in front of which `offset` begins. */
static uint8_t tail_byte(const trainer_t *t, sizes_t size, uint32_t offset)
{
    uint8_t byte;
    if (offset >= size.model) {
        return t->dataset[offset - size.model];
    }
    mlp_model_read(&t->mlp, offset, &byte, 1);
    return byte;
}

/* Range: the state is even and the head and all chunks but the last are, so every piece of the
 * state is. */
static void source(const void *context, uint32_t offset, uint8_t *bytes, size_t count)
{
    const trainer_t *t = context;
    const sizes_t size = sizes(t);
    uint8_t head[KEPT_HEAD_BYTES];
    bytes_put_u32(head + KEPT_AT_STATE, size.state);
    bytes_put_u32(head + KEPT_AT_MODEL, size.model);
    bytes_put_u32(head + KEPT_AT_DATASET, size.dataset);
    for (const uint8_t *end = bytes + count; bytes < end;) {
        uint32_t here = (uint32_t)(end - bytes);
        if (offset < KEPT_HEAD_BYTES) {
            here = here < KEPT_HEAD_BYTES - offset ? here : KEPT_HEAD_BYTES - offset;
            memcpy(bytes, head + offset, here);
        } else if (offset - KEPT_HEAD_BYTES < size.state) {
            const uint32_t at = offset - KEPT_HEAD_BYTES;
            here = here < size.state - at ? here : size.state - at;
            (void)mlp_state_read(&t->mlp, at, bytes, here);
        } else {
            here = 1;
            *bytes = tail_byte(t, size, offset - KEPT_HEAD_BYTES - size.state);
        }
        bytes += here;
        offset += here;
    }
}

uint8_t keep_save(trainer_t *t, uint32_t *generation)
{
    const sizes_t size = sizes(t);
    const uint32_t bytes = KEPT_HEAD_BYTES + size.state + size.model + size.dataset;
#ifdef PORT_SAMPLES
    if (t->dataset == flash_samples()) { /* the next data set there would not be this run's */
        return STATUS_NO_MEMORY;
    }
#endif
    if (bytes > store_capacity()) {
        return STATUS_NO_MEMORY;
    }
    *generation = store_save(&t->store, t->run_id, t->next, bytes, source, t);
    return *generation == 0 ? STATUS_STORE_FAILED : STATUS_OK;
}

void keep_every(trainer_t *t)
{
    uint32_t generation;
    if (t->save_every != 0 && mlp_step_count(&t->mlp) % t->save_every == 0) {
        (void)keep_save(t, &generation);
    }
}

/* True if the regions that a record's head tells of are all of its payload. */
static bool is_whole(const store_record_t *record)
{
    const uint8_t *head = record->payload;
    if (record->bytes < KEPT_HEAD_BYTES) {
        return false;
    }
    const uint32_t rest = record->bytes - KEPT_HEAD_BYTES, state = bytes_u32(head + KEPT_AT_STATE);
    const uint32_t model = bytes_u32(head + KEPT_AT_MODEL);
    return state <= rest && model <= rest - state &&
           bytes_u32(head + KEPT_AT_DATASET) == rest - state - model;
}

/* Loads one region of a record; returns what follows it. */
static const uint8_t *load(trainer_t *t, uint8_t region, const uint8_t *bytes, uint32_t count,
                           bool *good)
{
    uint32_t detail;
    *good = *good && trainer_load(t, region, 0, bytes, count, &detail) == STATUS_OK;
    return bytes + count;
}

void keep_restore(trainer_t *t)
{
    store_record_t newest;
    if (!store_find(&newest) || !is_whole(&newest)) {
        return;
    }
    const uint8_t *head = newest.payload, *state = head + KEPT_HEAD_BYTES;
    const uint32_t state_bytes = bytes_u32(head + KEPT_AT_STATE);
    bool good = true;
    const uint8_t *at = load(t, REGION_MODEL, state + state_bytes,
                             bytes_u32(head + KEPT_AT_MODEL), &good);
    (void)load(t, REGION_DATASET, at, bytes_u32(head + KEPT_AT_DATASET), &good);
    (void)load(t, REGION_STATE, state, state_bytes, &good);
    if (good && mlp_start(&t->mlp) == STATUS_OK) {
        t->run_id = newest.run_id;
        t->next = newest.next;
    }
}

#endif
