/* STM32F1: the flash program and erase controller. Pages of 1 KB on low and medium density parts,
 * 2 KB on others; half-words programmed one by one. PM0075 (value line: PM0063). */
#include "flash.h"

#include "banks.h"
#include "bus.h"
#include "bytes.h"
#include "port_config.h"

#define FLASH_KEYR 0x40022004u
#define FLASH_SR 0x4002200Cu
#define FLASH_CR 0x40022010u
#define FLASH_AR 0x40022014u
#define KEY_1 0x45670123u
#define KEY_2 0xCDEF89ABu
#define SR_BSY (1u << 0)
#define SR_PGERR (1u << 2)
#define SR_WRPRTERR (1u << 4)
#define SR_EOP (1u << 5)
#define CR_PG (1u << 0)
#define CR_PER (1u << 1)
#define CR_STRT (1u << 6)
#define CR_LOCK (1u << 7)

/* A page takes 40 ms at most, at 72 MHz and five instructions a try. */
#define BUSY_TRIES 1000000u

/* True when the controller is idle and no operation failed. */
static bool is_done(void)
{
    for (uint32_t i = 0; i < BUSY_TRIES; i++) {
        const uint32_t status = bus_read(FLASH_SR);
        if ((status & SR_BSY) == 0) {
            return (status & (SR_PGERR | SR_WRPRTERR)) == 0;
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
    bus_write(FLASH_SR, SR_EOP | SR_PGERR | SR_WRPRTERR);
    return is_done();
}

uint32_t flash_sector_bytes(void)
{
    return PORT_FLASH_PAGE_BYTES;
}

bool flash_erase(uint32_t area, uint32_t offset, uint32_t end)
{
    bool good = open_controller();
    for (; good && offset < end; offset += PORT_FLASH_PAGE_BYTES) {
        bus_write(FLASH_CR, CR_PER);
        bus_write(FLASH_AR, banks_address(area) + offset);
        bus_write(FLASH_CR, CR_PER | CR_STRT);
        good = is_done();
    }
    bus_write(FLASH_CR, CR_LOCK);
    return good;
}

bool flash_program(uint32_t area, uint32_t offset, const uint8_t *bytes, size_t count)
{
    bool good = open_controller();
    bus_write(FLASH_CR, CR_PG);
    for (size_t i = 0; good && i < count; i += 2u) {
        bus_write_half(banks_address(area) + offset + (uint32_t)i, bytes_u16(bytes + i));
        good = is_done();
    }
    bus_write(FLASH_CR, CR_LOCK);
    return good;
}
