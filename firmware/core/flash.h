/* What a port gives of its flash: two banks for the store and, where it defines PORT_SAMPLES, an
 * area for samples with a sector for its seal. Each begins a sector and ends one. */
#ifndef FLASH_H
#define FLASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLASH_BANKS 2u

/* Areas: the banks from 0 on, then these. */
#define FLASH_SAMPLES 2u
#define FLASH_SEAL 3u

/* Bytes that are programmed at once at least: a multiple of every flash's own unit. */
#define FLASH_UNIT_BYTES 32u

#define FLASH_ERASED 0xFFu

/* Bytes of one bank: whole sectors. */
uint32_t flash_bank_bytes(void);

/* The bank's bytes as they read now. */
const uint8_t *flash_bank(uint32_t bank);

/* Bytes of the area for samples, which may be none, and of one of its sectors. */
uint32_t flash_samples_bytes(void);
uint32_t flash_sector_bytes(void);

/* The samples' and the seal's bytes as they read now. */
const uint8_t *flash_samples(void);
const uint8_t *flash_seal(void);

/* Erases the sectors of an area that begin from `offset` up to `end` to FLASH_ERASED; `offset` is
 * such a beginning. Every wait inside is bounded; false where it ran out. */
bool flash_erase(uint32_t area, uint32_t offset, uint32_t end);

/* Programs whole units that were not programmed since their last erase; false as above. */
bool flash_program(uint32_t area, uint32_t offset, const uint8_t *bytes, size_t count);

#endif
