/* The store on the simulated flash of weak_flash.h.
 *
 *     store_power SECTOR_BYTES SECTORS UNIT PAYLOAD_BYTES SAVES STEP ROUNDS WEAR_OUT
 *
 * First SAVES checkpoints without a power loss; with WEAR_OUT sectors keep nothing after so many
 * erases, the last ones first. Then the same with the power lost at operation 1, 1 + STEP, ... and
 * at random after that, ROUNDS times. Prints what happened as JSON; exits with 1 and a line where a
 * wrong checkpoint, an old one or none is found. */
#include "store.h"
#include "weak_flash.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_ID 0x5EED0001u
#define LOSSES_MAX 20u

static jmp_buf power;

static void fail(const char *what, uint32_t a, uint32_t b)
{
    printf("%s: %u, %u after %llu operations, %u power losses\n", what, a, b,
           (unsigned long long)weak_flash.operations, weak_flash.losses);
    exit(1);
}

void weak_flash_misused(const char *what, uint32_t a, uint32_t b)
{
    fail(what, a, b);
}

void weak_flash_lose_power(void)
{
    longjmp(power, 1);
}

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
static void check(uint32_t kept, uint32_t tried, uint32_t bytes)
{
    store_record_t record;
    const uint32_t save = store_find(&record) ? record.next : 0;
    if (save < kept || save > tried) {
        fail("found save, wanted", save, kept);
    }
    if (save == 0) {
        return;
    }
    if (record.run_id != RUN_ID || record.bytes != bytes) {
        fail("found a record of run, bytes", record.run_id, record.bytes);
    }
    for (uint32_t i = 0; i < bytes; i++) {
        if (record.payload[i] != payload_byte(save, i)) {
            fail("found a wrong byte of save, at", save, i);
        }
    }
}

/* A blank flash whose power fails. */
static void reset(uint64_t cut, uint32_t round, uint32_t wear_out)
{
    weak_flash_blank(cut << 20 | round);
    weak_flash.cut = cut;
    weak_flash.wear_out = wear_out;
}

/* Saves until all are kept or the flash is worn out, through every power loss. */
static uint32_t campaign(uint32_t bytes, uint32_t saves)
{
    static store_t store;
    static uint32_t kept, tried;
    kept = 0;
    tried = 0;
    if (setjmp(power) != 0) {
        const uint32_t range = 4u << weak_flash_draw() % 12u;
        const uint64_t next = weak_flash.operations + 1u + weak_flash_draw() % range;
        weak_flash.cut = weak_flash.losses < LOSSES_MAX ? next : 0;
    }
    store = (store_t){0};
    weak_flash_start();
    check(kept, tried, bytes);
    while (kept < saves) {
        tried = kept + 1u;
        if (store_save(&store, RUN_ID, tried, bytes, source, &tried) == 0) {
            break;
        }
        kept = tried;
        check(kept, tried, bytes);
    }
    weak_flash.cut = 0;
    weak_flash_start();
    check(kept, tried, bytes);
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
    if (argc != 9) {
        return 2;
    }
    for (uint32_t i = 0; i < 8; i++) {
        number[i] = (uint32_t)strtoul(argv[1u + i], NULL, 0);
    }
    weak_flash.sector_bytes = number[0];
    weak_flash.sectors = number[1];
    weak_flash.unit = number[2];
    const uint32_t bytes = number[3], saves = number[4], step = number[5];
    const uint32_t rounds = number[6], wear_out = number[7];
    if (flash_bank_bytes() > WEAK_FLASH_BYTES_MAX || flash_bank_bytes() == 0 ||
        weak_flash.unit == 0 || step == 0) {
        return 2;
    }
    reset(0, 0, wear_out);
    const uint32_t kept = campaign(bytes, saves);
    const uint64_t operations = weak_flash.operations;
    uint32_t most, least;
    most_and_least_erases(&most, &least);
    uint64_t cuts = 0, losses = 0;
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint64_t cut = 1; cut <= operations; cut += step) {
            reset(cut, round, 0);
            if (campaign(bytes, saves) != saves) {
                fail("not all saves were kept, cut at", (uint32_t)cut, saves);
            }
            cuts++;
            losses += weak_flash.losses;
        }
    }
    printf("{\"kept\": %u, \"operations\": %llu, \"most_erases\": %u, \"least_erases\": %u, "
           "\"cuts\": %llu, \"losses\": %llu}\n",
           kept, (unsigned long long)operations, most, least, (unsigned long long)cuts,
           (unsigned long long)losses);
    return 0;
}
