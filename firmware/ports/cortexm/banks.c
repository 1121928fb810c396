/* The parts of the flash that the board's linker script reserves: two halves of the store and, where
 * the port has them, the samples' area and the sector of its seal. */
#include "banks.h"

#include "bus.h"
#include "port_config.h"

uint32_t flash_bank_bytes(void)
{
    return bus_store_bytes() / FLASH_BANKS;
}

uint32_t banks_address(uint32_t area)
{
#ifdef PORT_SAMPLES
    if (area >= FLASH_BANKS) {
        return area == FLASH_SAMPLES ? bus_samples_address() : bus_seal_address();
    }
#endif
    return bus_store_address() + area * flash_bank_bytes();
}

const uint8_t *flash_bank(uint32_t bank)
{
    return bus_cells(banks_address(bank));
}

#ifdef PORT_SAMPLES
uint32_t flash_samples_bytes(void)
{
    return bus_samples_bytes();
}

const uint8_t *flash_samples(void)
{
    return bus_cells(bus_samples_address());
}

const uint8_t *flash_seal(void)
{
    return bus_cells(bus_seal_address());
}
#endif
