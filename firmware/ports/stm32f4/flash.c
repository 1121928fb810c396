/* STM32F4: the flash controller. Sectors of 128 KB, but that of the seal, which is the one of 64 KB
 * before them; words programmed one by one, which wants a supply of 2.7 V or more. RM0090, RM0368,
 * RM0383, RM0390: embedded flash memory interface. */
#include "flash.h"

#include "banks.h"
#include "bus.h"
#include "bytes.h"

#define FLASH_ACR 0x40023C00u
#define FLASH_KEYR 0x40023C04u
#define FLASH_SR 0x40023C0Cu
#define FLASH_CR 0x40023C10u
#define KEY_1 0x45670123u
#define KEY_2 0xCDEF89ABu
#define ACR_DCEN (1u << 10)
#define ACR_DCRST (1u << 12)
#define SR_EOP (1u << 0)
#define SR_ERRORS 0x1F2u /* OPERR, WRPERR, PGAERR, PGPERR, PGSERR, RDERR */
#define SR_BSY (1u << 16)
#define CR_PG (1u << 0)
#define CR_SER (1u << 1)
#define CR_SNB(sector) ((sector) << 3)
#define CR_PSIZE_WORD (2u << 8)
#define CR_STRT (1u << 16)
#define CR_LOCK (1u << 31)

#define MAIN_MEMORY 0x08000000u
#define LARGE_SECTOR_BYTES 0x20000u
#define SECTORS_BEFORE_LARGE 4u /* sector 5 is the first large one, 128 KB behind the start;
                                  * 4 fills the second half of what lies before it */

/* A sector takes 2 s at most, at 180 MHz and six instructions a try. */
#define BUSY_TRIES 60000000u

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

/* Unlocks the controller and forgets what failed before. */
static bool open_controller(void)
{
    if ((bus_read(FLASH_CR) & CR_LOCK) != 0) {
        bus_write(FLASH_KEYR, KEY_1);
        bus_write(FLASH_KEYR, KEY_2);
    }
    bus_write(FLASH_SR, SR_EOP | SR_ERRORS);
    return is_done();
}

/* Locks the controller. The data cache may hold cells as they were: it is emptied, which it allows
 * only while it is off. */
static void close_controller(void)
{
    const uint32_t access = bus_read(FLASH_ACR);
    bus_write(FLASH_CR, CR_LOCK);
    bus_write(FLASH_ACR, access & ~ACR_DCEN);
    bus_write(FLASH_ACR, (access & ~ACR_DCEN) | ACR_DCRST);
    bus_write(FLASH_ACR, access & ~ACR_DCEN);
    bus_write(FLASH_ACR, access);
}

uint32_t flash_sector_bytes(void)
{
    return LARGE_SECTOR_BYTES;
}

bool flash_erase(uint32_t area, uint32_t offset, uint32_t end)
{
    bool good = open_controller();
    for (; good && offset < end; offset += LARGE_SECTOR_BYTES) {
        const uint32_t address = banks_address(area) + offset;
        const uint32_t sector =
            SECTORS_BEFORE_LARGE + (address - MAIN_MEMORY) / LARGE_SECTOR_BYTES;
        bus_write(FLASH_CR, CR_SER | CR_PSIZE_WORD | CR_SNB(sector));
        bus_write(FLASH_CR, CR_SER | CR_PSIZE_WORD | CR_SNB(sector) | CR_STRT);
        good = is_done();
    }
    close_controller();
    return good;
}

bool flash_program(uint32_t area, uint32_t offset, const uint8_t *bytes, size_t count)
{
    bool good = open_controller();
    bus_write(FLASH_CR, CR_PG | CR_PSIZE_WORD);
    for (size_t i = 0; good && i < count; i += 4u) {
        bus_write(banks_address(area) + offset + (uint32_t)i, bytes_u32(bytes + i));
        good = is_done();
    }
    close_controller();
    return good;
}
