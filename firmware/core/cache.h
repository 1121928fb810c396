/* Samples in the board's flash, where the port defines PORT_SAMPLES: the DATASET region of
 * docs/PROTOCOL.md, written once and trained from for any number of epochs.
 *
 * Pieces come one behind the other. What stands is compared and not written again; a sector is
 * erased when the first piece that differs reaches it. A seal, in a sector of its own, says after a
 * start how far the samples are complete: it is erased before any of them is touched, and written
 * only when all of them were read back. So one that reads whole vouches for them, though an
 * operation on itself may have been interrupted. Without it nothing is taken for what it reads: a
 * cell that an interrupted operation left half done may read as it should, and otherwise later. */
#ifndef CACHE_H
#define CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t filled; /* bytes that stand, from the area's start on */
    bool is_open;    /* this start erased the seal, and wrote none since */
} cache_t;

/* Finds what a seal vouches for. */
void cache_init(cache_t *c);

/* Writes bytes at an offset, or finds that they stand there. Returns a status; BAD_OFFSET: the next
 * piece must begin at `filled`, since there is no way to change what lies between without erasing
 * it. Range: offset + count <= flash_samples_bytes(). */
int cache_write(cache_t *c, uint32_t offset, const uint8_t *bytes, size_t count);

/* Seals what stands, if this start wrote any of it. */
void cache_seal(cache_t *c);

#endif
