#include "ram_flash.h"

#include <stdlib.h>
#include <string.h>

#include "port_config.h"

static uint8_t *banks[FLASH_BANKS];
static uint8_t samples[SAMPLES_BYTES], seal[SECTOR_BYTES];

void ram_flash_fill(const uint8_t *bytes, size_t count)
{
    memset(samples, FLASH_ERASED, sizeof samples);
    memset(seal, FLASH_ERASED, sizeof seal);
    for (uint32_t bank = 0; bank < FLASH_BANKS; bank++) {
        if (banks[bank] == NULL && (banks[bank] = malloc(BANK_BYTES)) == NULL) {
            abort();
        }
        const size_t here = count < BANK_BYTES ? count : BANK_BYTES;
        memset(banks[bank], FLASH_ERASED, BANK_BYTES);
        if (here > 0) {
            memcpy(banks[bank], bytes, here);
            bytes += here;
            count -= here;
        }
    }
}

uint32_t flash_bank_bytes(void)
{
    return BANK_BYTES;
}

const uint8_t *flash_bank(uint32_t bank)
{
    return banks[bank];
}

uint32_t flash_samples_bytes(void)
{
    return SAMPLES_BYTES;
}

uint32_t flash_sector_bytes(void)
{
    return SECTOR_BYTES;
}

const uint8_t *flash_samples(void)
{
    return samples;
}

const uint8_t *flash_seal(void)
{
    return seal;
}

static uint8_t *cells(uint32_t area, size_t *bytes)
{
    *bytes = area == FLASH_SEAL ? sizeof seal : area == FLASH_SAMPLES ? sizeof samples : BANK_BYTES;
    return area == FLASH_SEAL ? seal : area == FLASH_SAMPLES ? samples : banks[area];
}

bool flash_erase(uint32_t area, uint32_t offset, uint32_t end)
{
    size_t bytes;
    uint8_t *at = cells(area, &bytes);
    if (offset % SECTOR_BYTES != 0 || end > bytes) {
        abort();
    }
    for (; offset < end; offset += SECTOR_BYTES) {
        memset(at + offset, FLASH_ERASED, SECTOR_BYTES);
    }
    return true;
}

bool flash_program(uint32_t area, uint32_t offset, const uint8_t *bytes, size_t count)
{
    size_t most;
    uint8_t *at = cells(area, &most);
    if (offset % FLASH_UNIT_BYTES != 0 || count % FLASH_UNIT_BYTES != 0 || count > most ||
        offset > most - count) {
        abort();
    }
    memcpy(at + offset, bytes, count);
    return true;
}
