/* The NVMC of nRF51 and nRF52: erases and writes only in the mode for it, one page or word at a
 * time. Nothing tells of an operation that failed. */
#include "model.h"

#ifdef NRF52
const uint32_t model_address = 0x60000u, model_bank_bytes = 0x10000u, model_sector_bytes = 4096u;
#else
const uint32_t model_address = 0x38000u, model_bank_bytes = 0x4000u, model_sector_bytes = 1024u;
#endif

static uint32_t config;

bool model_is_closed(void)
{
    return config == 0 && !model_in_operation();
}

uint32_t model_read(uint32_t address)
{
    if (address != 0x4001E400u) {
        model_broken("reads only READY", address, 0);
    }
    return model_busy() ? 0u : 1u;
}

void model_write(uint32_t address, uint32_t value, uint32_t bytes)
{
    if (model_in_operation() && !model_is_stuck()) {
        model_broken("waits for READY before a write", address, value);
    }
    if (address == 0x4001E504u && value <= 2u && bytes == 4u) {
        config = value;
    } else if (address == 0x4001E508u && config == 2u && bytes == 4u) {
        (void)model_erase(value);
        model_start();
    } else if (address - model_address < 2u * model_bank_bytes && config == 1u && bytes == 4u &&
               address % 4u == 0) {
        (void)model_program(address, value, bytes);
        model_start();
    } else {
        model_broken("writes what the mode allows", address, value);
    }
    model_see();
}
