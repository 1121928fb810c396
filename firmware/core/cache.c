#include "cache.h"

#include "port_config.h"

#ifdef PORT_SAMPLES

#include "bytes.h"
#include "crc32.h"
#include "flash.h"
#include "protocol.h"

#include <string.h>

/* The seal. */
#define AT_FILLED 0u
#define AT_CRC 4u
#define SEAL_BYTES 8u

void cache_init(cache_t *c)
{
    *c = (cache_t){0};
    if (flash_samples_bytes() == 0) {
        return;
    }
    const uint8_t *seal = flash_seal();
    const uint32_t filled = bytes_u32(seal + AT_FILLED);
    if (crc32_update(0, seal, AT_CRC) == bytes_u32(seal + AT_CRC) &&
        filled <= flash_samples_bytes()) {
        c->filled = filled;
    }
}

/* Programs one unit, its rest left as erased, and reads it back. */
static bool write_unit(uint32_t area, const uint8_t *cells, uint32_t at, const uint8_t *bytes,
                       uint32_t count)
{
    uint8_t unit[FLASH_UNIT_BYTES];
    memset(unit, FLASH_ERASED, sizeof unit);
    memcpy(unit, bytes, count);
    return flash_program(area, at, unit, sizeof unit) &&
           memcmp(cells + at, unit, sizeof unit) == 0;
}

/* Erases the seal, then each sector where its first byte is reached. What does not keep a unit
 * begins anew with its sector. */
static bool append(cache_t *c, const uint8_t *bytes, uint32_t end)
{
    const uint32_t sector = flash_sector_bytes();
    if (!c->is_open) {
        c->is_open = flash_erase(FLASH_SEAL, 0, SEAL_BYTES);
    }
    bool good = c->is_open;
    while (good && c->filled < end) {
        const uint32_t at = c->filled, left = end - at;
        const uint32_t here = left < FLASH_UNIT_BYTES ? left : FLASH_UNIT_BYTES;
        good = (at % sector != 0 || flash_erase(FLASH_SAMPLES, at, at + 1u)) &&
               write_unit(FLASH_SAMPLES, flash_samples(), at, bytes, here);
        c->filled = good ? at + here : at - at % sector;
        bytes += here;
    }
    return good;
}

int cache_write(cache_t *c, uint32_t offset, const uint8_t *bytes, size_t count)
{
    if (offset > c->filled) {
        return STATUS_BAD_OFFSET;
    }
    size_t standing = c->filled - offset < count ? c->filled - offset : count;
    const bool ends_in_unit = standing < count && c->filled % FLASH_UNIT_BYTES != 0;
    if (ends_in_unit || memcmp(flash_samples() + offset, bytes, standing) != 0) {
        c->filled = offset - offset % flash_sector_bytes();
        standing = 0;
        if (c->filled < offset) {
            return STATUS_BAD_OFFSET;
        }
    }
    if (standing < count && !append(c, bytes + standing, offset + (uint32_t)count)) {
        return STATUS_STORE_FAILED;
    }
    return STATUS_OK;
}

void cache_seal(cache_t *c)
{
    uint8_t seal[SEAL_BYTES];
    if (!c->is_open) {
        return;
    }
    c->is_open = false;
    bytes_put_u32(seal + AT_FILLED, c->filled);
    bytes_put_u32(seal + AT_CRC, crc32_update(0, seal, AT_CRC));
    (void)write_unit(FLASH_SEAL, flash_seal(), 0, seal, sizeof seal);
}

#endif
