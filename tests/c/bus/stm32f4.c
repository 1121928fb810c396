/* The STM32F4's flash interface: keys in order, CR only while unlocked and idle, an error on a
 * protected sector or a width beside PSIZE; the data cache shows old cells until it is emptied. */
#include "model.h"

#define CR_PG 0x01u
#define CR_SER 0x02u
#define CR_WORD 0x200u
#define CR_STRT 0x10000u
#define CR_LOCK 0x80000000u
#define SR_EOP 0x01u
#define SR_WRPERR 0x10u
#define SR_PGPERR 0x40u
#define SR_PGSERR 0x80u
#define ACR_DCEN 0x400u
#define ACR_DCRST 0x1000u

const uint32_t model_address = 0x080C0000u, model_bank_bytes = 0x20000u,
               model_sector_bytes = 0x20000u;
const uint32_t model_samples_address = 0x080A0000u, model_samples_bytes = 0x20000u,
               model_seal_address = 0x08010000u, model_seal_bytes = 0x10000u;

static uint32_t control = CR_LOCK, status, access = 0x705u;

bool model_is_closed(void)
{
    return control == CR_LOCK && !model_in_operation() && access == 0x705u;
}

uint32_t model_read(uint32_t address)
{
    switch (address) {
    case 0x40023C00u:
        return access;
    case 0x40023C0Cu:
        return status | (model_busy() ? 0x10000u : 0u);
    case 0x40023C10u:
        return control;
    default:
        model_broken("reads ACR, SR and CR", address, 0);
        return 0;
    }
}

static void write_access(uint32_t value)
{
    if ((value & ACR_DCRST) != 0) {
        if ((access & ACR_DCEN) != 0 || (value & ACR_DCEN) != 0) {
            model_broken("empties the data cache while it is off", 0, value);
        }
        model_see();
    }
    access = value;
}

static void write_control(uint32_t value)
{
    if ((control & CR_LOCK) != 0 && value != CR_LOCK) {
        model_broken("unlocks before it writes CR", 0, value);
    }
    control = value;
    if ((value & CR_STRT) != 0) {
        const uint32_t sector = value >> 3 & 15u;
        if ((value & (CR_SER | CR_PG)) != CR_SER || sector < 4u) {
            model_broken("starts the erase of sector 4 or a large one", 0, value);
        }
        const uint32_t address =
            sector == 4u ? 0x08010000u : 0x08020000u + (sector - 5u) * 0x20000u;
        status |= model_erase(address) ? SR_EOP : SR_WRPERR;
        control &= ~CR_STRT;
        model_start();
    }
}

static void write_cells(uint32_t address, uint32_t value, uint32_t bytes)
{
    if ((control & CR_PG) == 0) {
        status |= SR_PGSERR;
    } else if (bytes != 4u || (control & 0x300u) != CR_WORD || address % 4u != 0) {
        status |= SR_PGPERR;
    } else if (!model_program(address, value, bytes)) {
        model_broken("programs blank words", address, value);
    }
    model_start();
}

void model_write(uint32_t address, uint32_t value, uint32_t bytes)
{
    if (model_in_operation() && address != 0x40023C0Cu && value != CR_LOCK &&
        address != 0x40023C00u) {
        model_broken("waits for BSY before a write", address, value);
    }
    if (address == 0x40023C04u) {
        if (model_unlocks(value, (control & CR_LOCK) != 0)) {
            control &= ~CR_LOCK;
        }
    } else if (address == 0x40023C0Cu) {
        status &= ~value;
    } else if (address == 0x40023C10u) {
        write_control(value);
    } else if (address == 0x40023C00u) {
        write_access(value);
    } else {
        write_cells(address, value, bytes);
    }
}
