/* STM32L4 with 1 MB: the flash controller. Pages of 2 KB in two banks, double words programmed one
 * by one, as two words. RM0351: embedded flash memory. */
#include "flash.h"

#include "banks.h"
#include "bus.h"
#include "bytes.h"
#include "port_config.h"

#define FLASH_ACR 0x40022000u
#define FLASH_KEYR 0x40022008u
#define FLASH_SR 0x40022010u
#define FLASH_CR 0x40022014u
#define KEY_1 0x45670123u
#define KEY_2 0xCDEF89ABu
#define ACR_DCEN (1u << 10)
#define ACR_DCRST (1u << 12)
#define SR_EOP (1u << 0)
/* OPERR, PROGERR, WRPERR, PGAERR, SIZERR, PGSERR, MISERR, FASTERR, RDERR */
#define SR_ERRORS 0x43FAu
#define SR_OPTVERR (1u << 15) /* of the start: says nothing about an operation */
#define SR_BSY (1u << 16)
#define CR_PG (1u << 0)
#define CR_PER (1u << 1)
#define CR_PAGE(page) (((page) % PAGES_OF_BANK) << 3 | ((page) / PAGES_OF_BANK) << 11) /* PNB, BKER */
#define CR_STRT (1u << 16)
#define CR_LOCK (1u << 31)

#define MAIN_MEMORY 0x08000000u
#define PAGES_OF_BANK 256u

/* A page takes 25 ms at most, at 80 MHz and six instructions a try. */
#define BUSY_TRIES 1000000u

/* True when the controller is idle and no operation failed. */
static bool is_done(void)
{
    for (uint32_t i = 0; i < BUSY_TRIES; i++) {
        const uint32_t status = bus_read(FLASH_SR);
        if ((status & SR_BSY) == 0) {
            return (status & SR_ERRORS) == 0;
        }
    }
    return false;
}

/* Unlocks the controller and forgets what failed before. The data cache is off meanwhile: the chip
 * may damage it when one bank is read while the other is written (errata). */
static bool open_controller(void)
{
    bus_write(FLASH_ACR, bus_read(FLASH_ACR) & ~ACR_DCEN);
    if ((bus_read(FLASH_CR) & CR_LOCK) != 0) {
        bus_write(FLASH_KEYR, KEY_1);
        bus_write(FLASH_KEYR, KEY_2);
    }
    bus_write(FLASH_SR, SR_EOP | SR_ERRORS | SR_OPTVERR);
    return is_done();
}

/* Locks the controller. The data cache may hold cells as they were: it is emptied. */
static void close_controller(void)
{
    const uint32_t access = bus_read(FLASH_ACR);
    bus_write(FLASH_CR, CR_LOCK);
    bus_write(FLASH_ACR, access | ACR_DCRST);
    bus_write(FLASH_ACR, access);
    bus_write(FLASH_ACR, access | ACR_DCEN);
}

uint32_t flash_sector_bytes(void)
{
    return PORT_FLASH_PAGE_BYTES;
}

bool flash_erase(uint32_t area, uint32_t offset, uint32_t end)
{
    bool good = open_controller();
    for (; good && offset < end; offset += PORT_FLASH_PAGE_BYTES) {
        const uint32_t page = (banks_address(area) + offset - MAIN_MEMORY) / PORT_FLASH_PAGE_BYTES;
        bus_write(FLASH_CR, CR_PER | CR_PAGE(page));
        bus_write(FLASH_CR, CR_PER | CR_PAGE(page) | CR_STRT);
        good = is_done();
    }
    close_controller();
    return good;
}

bool flash_program(uint32_t area, uint32_t offset, const uint8_t *bytes, size_t count)
{
    bool good = open_controller();
    bus_write(FLASH_CR, CR_PG);
    for (size_t i = 0; good && i < count; i += 8u) {
        const uint32_t address = banks_address(area) + offset + (uint32_t)i;
        bus_write(address, bytes_u32(bytes + i));
        bus_write(address + 4u, bytes_u32(bytes + i + 4u));
        good = is_done();
    }
    close_controller();
    return good;
}
