/* Checkpoints in the board's flash: the newest complete one survives a power loss at any moment.
 *
 * A record is a header, the payload with its CRC, and a seal; each starts on a unit of the flash
 * and is programmed and read back before the next. Records follow each other in a bank. The seal
 * is begun only when all before it is complete: a record whose seal is not blank is complete
 * even where the seal itself is torn and reads differently from one start to the next.
 * After a start the first record goes into the bank without the newest one, which is erased first:
 * no cell is programmed that an interrupted operation may have left half erased or half
 * programmed. */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t generation; /* the newest has the highest */
    uint32_t run_id;
    uint32_t next;  /* samples applied in the run */
    uint32_t bytes; /* of the payload */
    const uint8_t *payload;
} store_record_t;

typedef struct {
    uint32_t append_at; /* offset behind the newest record where this start wrote it, or 0 */
} store_t;

/* Copies `count` bytes of the payload from `offset`. */
typedef void (*store_source_t)(const void *context, uint32_t offset, uint8_t *bytes, size_t count);

/* Finds the newest complete record; false where there is none. */
bool store_find(store_record_t *record);

/* Largest payload that a record can hold. */
uint32_t store_capacity(void);

/* Writes a record, unless this start wrote one of just that run and position last: the seal of an
 * older one may be torn. Returns the generation, or 0 where it does not fit or the flash does not
 * hold it; the newest record is then as before. `s` is zero at the start. */
uint32_t store_save(store_t *s, uint32_t run_id, uint32_t next, uint32_t bytes,
                    store_source_t source, const void *context);

#endif
