/* The store on a strict simulated flash whose power fails.
 *
 *     store_power SECTOR_BYTES SECTORS UNIT PAYLOAD_BYTES SAVES STEP ROUNDS WEAR_OUT
 *
 * A bank has SECTORS sectors. A sector is erased at once and a unit is programmed at once, only
 * where it is blank and safely so. A cut operation leaves any mix of before and after, which may
 * read differently from one start to the next until it is erased.
 * First SAVES checkpoints without a power loss; with WEAR_OUT sectors keep nothing after so many
 * erases, the last ones first. Then the same with the power lost at operation 1, 1 + STEP, ... and at random after
 * that; STEP 0: none. Prints what happened as JSON; exits with 1 and a line where a wrong
 * checkpoint, an old one or none is found. */
#include "flash.h"
#include "store.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX (1u << 19)
#define RUN_ID 0x5EED0001u
#define LOSSES_MAX 20u

typedef struct {
    uint32_t sector_bytes, sectors, unit; /* of one bank */
    uint8_t bytes[FLASH_BANKS][BYTES_MAX];
    uint8_t before[FLASH_BANKS][BYTES_MAX]; /* what a weak unit may read as too */
    bool weak[FLASH_BANKS][BYTES_MAX];      /* per unit: interrupted */
    uint32_t erases[FLASH_BANKS][BYTES_MAX];
    uint32_t wear_out; /* erases after which a sector keeps nothing; 0: none */
    uint64_t operations, cut;
    uint32_t losses;
    uint64_t random;
    jmp_buf power;
} flash_t;

static flash_t flash;

static uint32_t draw(void)
{
    flash.random = flash.random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(flash.random >> 33);
}

static void fail(const char *what, uint32_t a, uint32_t b)
{
    printf("%s: %u, %u after %llu operations, %u power losses\n", what, a, b,
           (unsigned long long)flash.operations, flash.losses);
    exit(1);
}

/* A unit that holds nothing, all or a part of what an operation was to make of it. */
static void interrupt_unit(uint32_t bank, uint32_t at, const uint8_t *after)
{
    const uint32_t how = draw() % 4u;
    flash.weak[bank][at] = true;
    for (uint32_t i = at; i < at + flash.unit; i++) {
        const uint8_t old = flash.bytes[bank][i], new = after == NULL ? 0xFF : after[i - at];
        const uint8_t done = how == 0 ? 0 : how == 1 ? 0xFF : (uint8_t)draw();
        flash.before[bank][i] = old;
        flash.bytes[bank][i] = (uint8_t)((old & ~done) | (new & done));
    }
}

/* True where this operation is the one that loses its power. */
static bool is_cut(void)
{
    flash.operations++;
    return flash.operations == flash.cut;
}

static void lose_power(void)
{
    flash.losses++;
    longjmp(flash.power, 1);
}

uint32_t flash_bank_bytes(void)
{
    return flash.sector_bytes * flash.sectors;
}

const uint8_t *flash_bank(uint32_t bank)
{
    return flash.bytes[bank];
}

static bool is_worn(uint32_t bank, uint32_t sector)
{
    return flash.wear_out != 0 && flash.erases[bank][sector] + sector > flash.wear_out;
}

bool flash_erase(uint32_t bank)
{
    for (uint32_t sector = 0; sector < flash.sectors; sector++) {
        const bool cut = is_cut();
        const uint32_t start = sector * flash.sector_bytes;
        flash.erases[bank][sector]++;
        for (uint32_t at = start; at < start + flash.sector_bytes; at += flash.unit) {
            if (cut) {
                interrupt_unit(bank, at, NULL);
            } else {
                flash.weak[bank][at] = false;
                memset(flash.bytes[bank] + at, 0xFF, flash.unit);
            }
        }
        if (cut) {
            lose_power();
        }
    }
    return true;
}

bool flash_program(uint32_t bank, uint32_t offset, const uint8_t *bytes, size_t count)
{
    if (offset % flash.unit != 0 || count % flash.unit != 0 || offset + count > flash_bank_bytes()) {
        fail("programmed beside the units", offset, (uint32_t)count);
    }
    for (uint32_t at = offset; at < offset + count; at += flash.unit, bytes += flash.unit) {
        for (uint32_t i = at; i < at + flash.unit; i++) {
            if (flash.bytes[bank][i] != 0xFF || flash.weak[bank][at]) {
                fail("programmed a unit that is not blank", bank, at);
            }
        }
        if (is_cut()) {
            interrupt_unit(bank, at, bytes);
            lose_power();
        }
        memcpy(flash.bytes[bank] + at, bytes, flash.unit);
        if (is_worn(bank, at / flash.sector_bytes)) {
            flash.bytes[bank][at] |= 1u;
        }
    }
    return true;
}

/* Weak units read as one or the other from now on. */
static void start(void)
{
    for (uint32_t bank = 0; bank < FLASH_BANKS; bank++) {
        for (uint32_t at = 0; at < flash_bank_bytes(); at += flash.unit) {
            if (flash.weak[bank][at] && draw() % 2u != 0) {
                for (uint32_t i = at; i < at + flash.unit; i++) {
                    const uint8_t other = flash.before[bank][i];
                    flash.before[bank][i] = flash.bytes[bank][i];
                    flash.bytes[bank][i] = other;
                }
            }
        }
    }
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

/* A blank flash. */
static void reset(uint64_t cut, uint32_t round, uint32_t wear_out)
{
    for (uint32_t bank = 0; bank < FLASH_BANKS; bank++) {
        memset(flash.bytes[bank], 0xFF, flash_bank_bytes());
        memset(flash.weak[bank], 0, flash_bank_bytes());
        memset(flash.erases[bank], 0, flash.sectors * sizeof(uint32_t));
    }
    flash.operations = 0;
    flash.losses = 0;
    flash.cut = cut;
    flash.wear_out = wear_out;
    flash.random = (cut << 20 | round) * 2862933555777941757u + 3037000493u;
}

/* Saves until all are kept or the flash is worn out, through every power loss. */
static uint32_t campaign(uint32_t bytes, uint32_t saves)
{
    static store_t store;
    static uint32_t kept, tried;
    kept = 0;
    tried = 0;
    if (setjmp(flash.power) != 0) {
        const uint64_t next = flash.operations + 1u + draw() % (4u << draw() % 12u);
        flash.cut = flash.losses < LOSSES_MAX ? next : 0;
    }
    store = (store_t){0};
    start();
    check(kept, tried, bytes);
    while (kept < saves) {
        tried = kept + 1u;
        if (store_save(&store, RUN_ID, tried, bytes, source, &tried) == 0) {
            break;
        }
        kept = tried;
        check(kept, tried, bytes);
    }
    flash.cut = 0;
    start();
    check(kept, tried, bytes);
    return kept;
}

static void most_and_least_erases(uint32_t *most, uint32_t *least)
{
    *most = 0;
    *least = UINT32_MAX;
    for (uint32_t bank = 0; bank < FLASH_BANKS; bank++) {
        for (uint32_t sector = 0; sector < flash.sectors; sector++) {
            const uint32_t erases = flash.erases[bank][sector];
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
    flash.sector_bytes = number[0];
    flash.sectors = number[1];
    flash.unit = number[2];
    const uint32_t bytes = number[3], saves = number[4], step = number[5];
    const uint32_t rounds = number[6], wear_out = number[7];
    if (flash.sector_bytes * flash.sectors > BYTES_MAX || flash.sectors == 0 || flash.unit == 0 || step == 0) {
        return 2;
    }
    reset(0, 0, wear_out);
    const uint32_t kept = campaign(bytes, saves);
    const uint64_t operations = flash.operations;
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
            losses += flash.losses;
        }
    }
    printf("{\"kept\": %u, \"operations\": %llu, \"most_erases\": %u, \"least_erases\": %u, "
           "\"cuts\": %llu, \"losses\": %llu}\n",
           kept, (unsigned long long)operations, most, least, (unsigned long long)cuts,
           (unsigned long long)losses);
    return 0;
}
