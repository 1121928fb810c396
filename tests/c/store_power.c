/* The store on the simulated flash of weak_flash.h.
 *
 *     store_power SECTOR_BYTES SECTORS UNIT PAYLOAD_BYTES SAVES STEP ROUNDS WEAR_OUT
 *
 * First SAVES checkpoints without a power loss; with WEAR_OUT sectors keep nothing after so many
 * erases, the last ones first. Then the same with the power lost at operation 1, 1 + STEP, ... and
 * at random after that, ROUNDS times. Prints what happened as JSON; exits with 1 and a line where a
 * wrong checkpoint, an old one or none is found. */
#include "power.h"
#include "store.h"
#include "weak_flash.h"

#include <stdio.h>

#define RUN_ID 0x5EED0001u
#define LOSSES_MAX 20u

static uint32_t payload_bytes, saves;

static uint8_t payload_byte(uint32_t save, uint32_t i)
{
    return (uint8_t)((save * 2654435761u + i * 2246822519u) >> 24);
}

static void source(const void *context, uint32_t offset, uint8_t *bytes, size_t count)
{
    const uint32_t save = *(const uint32_t *)context;
    for (uint32_t i = 0; i < count; i++) {
        bytes[i] = payload_byte(save, offset + i);
    }
}

/* The newest record is that of save `kept` or a later one up to `tried`, whole. */
static void check(uint32_t kept, uint32_t tried)
{
    store_record_t record;
    const uint32_t save = store_find(&record) ? record.next : 0;
    if (save < kept || save > tried) {
        power_fail("found save, wanted", save, kept);
    }
    if (save == 0) {
        return;
    }
    if (record.run_id != RUN_ID || record.bytes != payload_bytes) {
        power_fail("found a record of run, bytes", record.run_id, record.bytes);
    }
    for (uint32_t i = 0; i < payload_bytes; i++) {
        if (record.payload[i] != payload_byte(save, i)) {
            power_fail("found a wrong byte of save, at", save, i);
        }
    }
}

/* Saves until all are kept or the flash is worn out, through every power loss. */
static uint32_t campaign(void)
{
    static store_t store;
    static uint32_t kept, tried;
    kept = 0;
    tried = 0;
    if (setjmp(power_back) != 0) {
        power_returned(LOSSES_MAX);
    }
    store = (store_t){0};
    weak_flash_start();
    check(kept, tried);
    while (kept < saves) {
        tried = kept + 1u;
        if (store_save(&store, RUN_ID, tried, payload_bytes, source, &tried) == 0) {
            break;
        }
        kept = tried;
        check(kept, tried);
    }
    weak_flash.cut = 0;
    weak_flash_start();
    check(kept, tried);
    return kept;
}

static void most_and_least_erases(uint32_t *most, uint32_t *least)
{
    *most = 0;
    *least = UINT32_MAX;
    for (uint32_t bank = 0; bank < FLASH_BANKS; bank++) {
        for (uint32_t sector = 0; sector < weak_flash.sectors; sector++) {
            const uint32_t erases = weak_flash.erases[bank][sector];
            *most = erases > *most ? erases : *most;
            *least = erases < *least ? erases : *least;
        }
    }
}

int main(int argc, char **argv)
{
    uint32_t number[8];
    if (!power_numbers(argc, argv, number, 8)) {
        return 2;
    }
    weak_flash.sector_bytes = number[0];
    weak_flash.sectors = number[1];
    weak_flash.unit = number[2];
    payload_bytes = number[3];
    saves = number[4];
    const uint32_t step = number[5], rounds = number[6];
    if (flash_bank_bytes() > WEAK_FLASH_BYTES_MAX || flash_bank_bytes() == 0 ||
        weak_flash.unit == 0 || step == 0) {
        return 2;
    }
    power_reset(0, 0, number[7]);
    const uint32_t kept = campaign();
    const uint64_t operations = weak_flash.operations;
    uint32_t most, least;
    most_and_least_erases(&most, &least);
    const power_cuts_t all = power_cut_everywhere(campaign, saves, operations, step, rounds);
    printf("{\"kept\": %u, \"operations\": %llu, \"most_erases\": %u, \"least_erases\": %u, "
           "\"cuts\": %llu, \"losses\": %llu}\n",
           kept, (unsigned long long)operations, most, least, (unsigned long long)all.cuts,
           (unsigned long long)all.losses);
    return 0;
}
