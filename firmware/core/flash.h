/* What a port gives the store: two banks of its flash. */
#ifndef FLASH_H
#define FLASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLASH_BANKS 2u

/* Bytes that the store programs at once at least: a multiple of every flash's own unit. */
#define FLASH_UNIT_BYTES 32u

#define FLASH_ERASED 0xFFu

/* Bytes of one bank: whole sectors. */
uint32_t flash_bank_bytes(void);

/* The bank's bytes as they read now. */
const uint8_t *flash_bank(uint32_t bank);

/* Erases the bank to FLASH_ERASED. Every wait inside is bounded; false where it ran out. */
bool flash_erase(uint32_t bank);

/* Programs whole units that were not programmed since the bank's last erase; false as above. */
bool flash_program(uint32_t bank, uint32_t offset, const uint8_t *bytes, size_t count);

#endif
