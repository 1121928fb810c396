/* A strict simulated flash whose power fails: what firmware/core/flash.h promises and nothing more.
 *
 * A sector is erased at once and a unit is programmed at once, only where it is blank and safely
 * so. A cut operation leaves any mix of before and after, which may read differently from one start
 * to the next until it is erased. */
#ifndef WEAK_FLASH_H
#define WEAK_FLASH_H

#include "flash.h"

#define WEAK_FLASH_BYTES_MAX (1u << 19)
#define WEAK_FLASH_AREAS 4u

typedef struct {
    uint32_t sector_bytes, sectors, unit; /* of one bank */
    uint32_t samples_sectors;
    uint8_t bytes[WEAK_FLASH_AREAS][WEAK_FLASH_BYTES_MAX];
    uint8_t before[WEAK_FLASH_AREAS][WEAK_FLASH_BYTES_MAX]; /* what a weak unit may read as too */
    bool weak[WEAK_FLASH_AREAS][WEAK_FLASH_BYTES_MAX];      /* per unit: interrupted */
    uint32_t erases[WEAK_FLASH_AREAS][WEAK_FLASH_BYTES_MAX];
    uint32_t wear_out;   /* erases after which a sector keeps nothing; 0: none */
    uint64_t operations; /* sectors erased and units programmed */
    uint64_t cut;        /* the one of them that loses its power; 0: none */
    uint32_t losses;
    uint64_t random;
} weak_flash_t;

extern weak_flash_t weak_flash;

/* Makes all of it blank, new and safe; its shape is set. */
void weak_flash_blank(uint64_t seed);

/* The power is back: weak units read as one or the other from now on. */
void weak_flash_start(void);

/* Whether all of an area's first bytes were programmed or erased to the end. */
bool weak_flash_is_safe(uint32_t area, uint32_t bytes);

/* A random number of 31 bits. */
uint32_t weak_flash_draw(void);

/* The user's: the power is lost; does not return. */
_Noreturn void weak_flash_lose_power(void);

/* The user's: something was programmed that may not be. */
void weak_flash_misused(const char *what, uint32_t a, uint32_t b);

#endif
