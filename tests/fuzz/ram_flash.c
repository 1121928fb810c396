#include "ram_flash.h"

#include <stdlib.h>
#include <string.h>

#include "port_config.h"

static uint8_t *banks[FLASH_BANKS];

void ram_flash_fill(const uint8_t *bytes, size_t count)
{
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

bool flash_erase(uint32_t bank)
{
    memset(banks[bank], FLASH_ERASED, BANK_BYTES);
    return true;
}

bool flash_program(uint32_t bank, uint32_t offset, const uint8_t *bytes, size_t count)
{
    if (offset % FLASH_UNIT_BYTES != 0 || count % FLASH_UNIT_BYTES != 0 || count > BANK_BYTES ||
        offset > BANK_BYTES - count) {
        abort();
    }
    memcpy(banks[bank] + offset, bytes, count);
    return true;
}
