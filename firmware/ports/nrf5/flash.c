/* nRF51 and nRF52: the non-volatile memory controller. Pages of 1 KB or 4 KB, words programmed one by
 * one; the core stands still while either goes on. nRF51 Series Reference Manual and nRF52832
 * Product Specification, chapter NVMC. */
#include "flash.h"

#include "banks.h"
#include "bus.h"
#include "bytes.h"
#include "port_config.h"

#define NVMC_READY 0x4001E400u
#define NVMC_CONFIG 0x4001E504u
#define NVMC_ERASEPAGE 0x4001E508u
#define CONFIG_READ 0u
#define CONFIG_WRITE 1u
#define CONFIG_ERASE 2u

/* A page takes 90 ms at most, at 64 MHz and four instructions a try. */
#define READY_TRIES 2000000u

static bool is_ready(void)
{
    for (uint32_t i = 0; i < READY_TRIES; i++) {
        if ((bus_read(NVMC_READY) & 1u) != 0) {
            return true;
        }
    }
    return false;
}

bool flash_erase(uint32_t bank)
{
    bool good = is_ready();
    bus_write(NVMC_CONFIG, CONFIG_ERASE);
    for (uint32_t at = 0; good && at < flash_bank_bytes(); at += PORT_FLASH_PAGE_BYTES) {
        bus_write(NVMC_ERASEPAGE, banks_address(bank) + at);
        good = is_ready();
    }
    bus_write(NVMC_CONFIG, CONFIG_READ);
    return good;
}

bool flash_program(uint32_t bank, uint32_t offset, const uint8_t *bytes, size_t count)
{
    bool good = is_ready();
    bus_write(NVMC_CONFIG, CONFIG_WRITE);
    for (size_t i = 0; good && i < count; i += 4u) {
        bus_write(banks_address(bank) + offset + (uint32_t)i, bytes_u32(bytes + i));
        good = is_ready();
    }
    bus_write(NVMC_CONFIG, CONFIG_READ);
    return good;
}
