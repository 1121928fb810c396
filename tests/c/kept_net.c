/* fixgrad.h over a flash in memory that a test fills. */
#include "fixgrad.h"
#include "flash.h"

#define BANK_BYTES (1u << 18)

static uint8_t banks[FLASH_BANKS][BANK_BYTES];

uint8_t *kept_net_bank(uint32_t bank);
uint32_t kept_net_bytes(void);

uint8_t *kept_net_bank(uint32_t bank)
{
    return banks[bank];
}

uint32_t kept_net_bytes(void)
{
    return sizeof(fixgrad_t);
}

uint32_t flash_bank_bytes(void)
{
    return BANK_BYTES;
}

const uint8_t *flash_bank(uint32_t bank)
{
    return banks[bank];
}

bool flash_erase(uint32_t area, uint32_t offset, uint32_t end)
{
    (void)area;
    (void)offset;
    (void)end;
    return false;
}

bool flash_program(uint32_t area, uint32_t offset, const uint8_t *bytes, size_t count)
{
    (void)area;
    (void)offset;
    (void)bytes;
    (void)count;
    return false;
}
