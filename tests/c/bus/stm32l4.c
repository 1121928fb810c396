/* The flash controller of the STM32L476: keys in order, CR only while unlocked and idle, double
 * words as two words in order, an error on cells that are not blank and on protected pages; the data
 * cache is off while something is written, and shows old cells until it is emptied. */
#include "model.h"

#define CR_PG 0x01u
#define CR_PER 0x02u
#define CR_STRT 0x10000u
#define CR_LOCK 0x80000000u
#define SR_EOP 0x01u
#define SR_PROGERR 0x08u
#define SR_WRPERR 0x10u
#define SR_SIZERR 0x40u
#define SR_PGSERR 0x80u
#define SR_OPTVERR 0x8000u
#define ACR_DCEN 0x400u
#define ACR_DCRST 0x1000u
#define ACR_AT_FULL_SPEED 0x604u
#define SECOND_BANK 0x08080000u

const uint32_t model_address = 0x080E0000u, model_bank_bytes = 0x10000u, model_sector_bytes = 2048u;
const uint32_t model_samples_address = 0x080DC000u, model_samples_bytes = 0x3800u,
               model_seal_address = 0x080DF800u, model_seal_bytes = 2048u;

static uint32_t control = CR_LOCK, status = SR_OPTVERR, access = ACR_AT_FULL_SPEED;
static uint32_t first_address, first_word; /* of a double word; 0: none waits */

bool model_is_closed(void)
{
    return control == CR_LOCK && !model_in_operation() && access == ACR_AT_FULL_SPEED &&
           first_address == 0;
}

uint32_t model_read(uint32_t address)
{
    switch (address) {
    case 0x40022000u:
        return access;
    case 0x40022010u:
        return status | (model_busy() ? 0x10000u : 0u);
    case 0x40022014u:
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
        const uint32_t bank = (value >> 11 & 1u) * (SECOND_BANK - 0x08000000u);
        if ((value & (CR_PER | CR_PG)) != CR_PER || (access & ACR_DCEN) != 0) {
            model_broken("starts the erase of a page, the cache off", access, value);
        }
        status |= model_erase(0x08000000u + bank + (value >> 3 & 255u) * 2048u) ? SR_EOP : SR_WRPERR;
        control &= ~CR_STRT;
        model_start();
    }
}

static void write_cells(uint32_t address, uint32_t value, uint32_t bytes)
{
    if ((access & ACR_DCEN) != 0) {
        model_broken("programs with the cache off", address, value);
    }
    if (control != CR_PG) {
        status |= SR_PGSERR;
    } else if (bytes != 4u) {
        status |= SR_SIZERR;
    } else if (first_address == 0) {
        if (address % 8u != 0) {
            model_broken("begins with the lower word", address, value);
        }
        first_address = address;
        first_word = value;
    } else {
        if (address != first_address + 4u) {
            model_broken("ends with the upper word", address, value);
        }
        const bool blank = model_program(first_address, first_word, 4u) &&
                           model_program(address, value, 4u);
        status |= blank ? SR_EOP : SR_PROGERR;
        first_address = 0;
        model_start();
    }
}

void model_write(uint32_t address, uint32_t value, uint32_t bytes)
{
    if (model_in_operation() && address != 0x40022010u && value != CR_LOCK &&
        address != 0x40022000u) {
        model_broken("waits for BSY before a write", address, value);
    }
    if (address == 0x40022008u) {
        if (model_unlocks(value, (control & CR_LOCK) != 0)) {
            control &= ~CR_LOCK;
        }
    } else if (address == 0x40022010u) {
        status &= ~value;
    } else if (address == 0x40022014u) {
        write_control(value);
    } else if (address == 0x40022000u) {
        write_access(value);
    } else {
        write_cells(address, value, bytes);
    }
}
