/* The two halves of the store that the board reserves. */
#include "banks.h"

#include "bus.h"

uint32_t flash_bank_bytes(void)
{
    return bus_store_bytes() / FLASH_BANKS;
}

uint32_t banks_address(uint32_t bank)
{
    return bus_store_address() + bank * flash_bank_bytes();
}

const uint8_t *flash_bank(uint32_t bank)
{
    return bus_cells(banks_address(bank));
}
