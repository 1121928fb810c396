/* The run on this device: joins the network to the messages of docs/PROTOCOL.md. */
#ifndef TRAINER_H
#define TRAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache.h"
#include "mlp.h"
#include "port_config.h"
#include "store.h"

typedef struct {
    mlp_t mlp;
    void *arena;
    size_t arena_bytes;
    uint32_t run_id;  /* 0: no run */
    uint32_t next;    /* position of the sample that is wanted next */
    uint32_t end;     /* of the TRAIN_TO that waits; up to `next`: nothing is to be trained */
    const uint8_t *dataset; /* head of the loaded DATASET, or mlp_dataset_none */
    uint16_t missing; /* samples of the announced batch that have not come */
#ifdef PORT_SAMPLES
    cache_t cache;
#endif
#ifdef PORT_STORE
    store_t store;
    uint32_t save_every; /* steps; 0: saved only when asked */
#endif
    uint8_t session;  /* goes into every answer; 0: none since the start */
} trainer_t;

/* `payload_max` of HELLO_ACK is LINK_PAYLOAD_MAX of the port's port_config.h. */
void trainer_init(trainer_t *t, void *arena, size_t arena_bytes);

/* Handles and answers any message of a session but HELLO. `payload` has room for LINK_PAYLOAD_MAX
 * bytes, which an answer may take. Returns false, having done nothing, if the message needs a run
 * and there is none. */
bool trainer_handle(trainer_t *t, uint8_t type, uint32_t pos, uint8_t *payload, size_t count);

/* Trains one sample of those that TRAIN_TO asked for; sends DATA_ACK after the last. Returns false
 * if there is none. */
bool trainer_work(trainer_t *t);

/* Loads bytes of a region. Returns a status and, for NO_MEMORY, the bytes of arena needed. */
int trainer_load(trainer_t *t, uint8_t region, uint32_t offset, const uint8_t *bytes, size_t count,
                 uint32_t *detail);

/* Sends DATA_ACK. */
void trainer_acknowledge(trainer_t *t, uint8_t status);

/* Digest of the trained state; 0 where no model is loaded. */
uint32_t trainer_digest(trainer_t *t);

#endif
