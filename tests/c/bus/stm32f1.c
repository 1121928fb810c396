/* The STM32F1's FPEC: keys in order, CR only while unlocked and idle, PGERR on a half-word that is
 * not blank, WRPRTERR on a protected page. */
#include "model.h"

#define CR_PG 0x01u
#define CR_PER 0x02u
#define CR_STRT 0x40u
#define CR_LOCK 0x80u
#define SR_PGERR 0x04u
#define SR_WRPRTERR 0x10u
#define SR_EOP 0x20u

const uint32_t model_address = 0x0801C000u, model_bank_bytes = 0x2000u, model_sector_bytes = 1024u;
const uint32_t model_samples_address = 0x08018000u, model_samples_bytes = 0x3C00u,
               model_seal_address = 0x0801BC00u, model_seal_bytes = 1024u;

static uint32_t control = CR_LOCK, status, page;

bool model_is_closed(void)
{
    return control == CR_LOCK && !model_in_operation();
}

uint32_t model_read(uint32_t address)
{
    if (address == 0x4002200Cu) {
        return status | (model_busy() ? 1u : 0u);
    }
    if (address != 0x40022010u) {
        model_broken("reads SR and CR", address, 0);
    }
    return control;
}

static void write_control(uint32_t value)
{
    if ((control & CR_LOCK) != 0 && value != CR_LOCK) {
        model_broken("unlocks before it writes CR", 0, value);
    }
    control = value;
    if ((value & CR_STRT) != 0) {
        if (value != (CR_PER | CR_STRT)) {
            model_broken("starts the erase of a page", 0, value);
        }
        status |= model_erase(page) ? SR_EOP : SR_WRPRTERR;
        control = CR_PER;
        model_start();
    }
}

void model_write(uint32_t address, uint32_t value, uint32_t bytes)
{
    if (model_in_operation() && address != 0x4002200Cu && value != CR_LOCK) {
        model_broken("waits for BSY before a write", address, value);
    }
    if (address == 0x40022004u) {
        if (model_unlocks(value, (control & CR_LOCK) != 0)) {
            control &= ~CR_LOCK;
        }
    } else if (address == 0x4002200Cu) {
        status &= ~value;
    } else if (address == 0x40022010u) {
        write_control(value);
    } else if (address == 0x40022014u) {
        page = value;
    } else if (address < 0x08020000u && bytes == 2u && address % 2u == 0 && control == CR_PG) {
        status |= model_program(address, value, bytes) ? SR_EOP : SR_PGERR;
        model_start();
    } else {
        model_broken("programs half-words with PG", address, value);
    }
    model_see();
}
