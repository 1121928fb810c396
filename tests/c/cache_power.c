/* Samples in the simulated flash of weak_flash.h.
 *
 *     cache_power SECTOR_BYTES SECTORS UNIT PIECE STEP ROUNDS WEAR_OUT
 *
 * Loads data sets in pieces: some again, some that begin like the one before, longer and shorter
 * ones. First without a power loss; with WEAR_OUT sectors keep nothing after so many erases. Then
 * with the power lost at operation 1, 1 + STEP, ... and at random after that, ROUNDS times. What is
 * complete must be what was sent, in cells that no operation was cut short in; what stands must not
 * be written again. Prints what happened as JSON; exits with 1 and a line otherwise. */
#include "cache.h"
#include "flash.h"
#include "power.h"
#include "protocol.h"
#include "weak_flash.h"

#include <stdio.h>

#define LOADS 12u
#define LOSSES_MAX 12u
#define RETURNS_MAX 3u

/* Data set of every load: 0 is followed by itself, 1 begins like 0, 2 is 1 cut short, 3 is longer,
 * 4 differs from its first byte on. */
static const struct {
    uint32_t set, percent, differs_from; /* per cent of the area */
} loads[LOADS] = {
    {0, 90, 0}, {0, 90, 0}, {1, 90, 55}, {1, 60, 55}, {3, 99, 98}, {3, 99, 98},
    {4, 30, 0}, {0, 90, 0}, {1, 33, 12}, {1, 95, 12}, {4, 30, 0}, {4, 31, 0},
};

static uint32_t piece_bytes;

static uint32_t bytes_of(uint32_t load)
{
    return flash_samples_bytes() / 100u * loads[load].percent + load;
}

static uint8_t byte_of(uint32_t load, uint32_t i)
{
    const uint32_t from = flash_samples_bytes() / 100u * loads[load].differs_from;
    const uint32_t set = i < from ? 0 : loads[load].set;
    return (uint8_t)((set * 2654435761u + (i + 1u) * 2246822519u) >> 24);
}

/* Sends all pieces, each twice now and then; false where the flash does not keep one. */
static bool send(cache_t *cache, uint32_t load, uint32_t *written)
{
    static uint8_t bytes[1024];
    const uint32_t end = bytes_of(load), sector = flash_sector_bytes();
    uint32_t returns = 0, at = 0;
    while (at < end) {
        const uint32_t here = end - at < piece_bytes ? end - at : piece_bytes;
        for (uint32_t i = 0; i < here; i++) {
            bytes[i] = byte_of(load, at + i);
        }
        const uint64_t before = weak_flash.operations;
        const int status = cache_write(cache, at, bytes, here);
        *written += weak_flash.operations != before;
        if (status == STATUS_BAD_OFFSET) {
            if (cache->filled >= at || cache->filled % sector != 0 || ++returns > RETURNS_MAX) {
                power_fail("returned to, from", cache->filled, at);
            }
            at = cache->filled;
        } else if (status != STATUS_OK) {
            return false;
        } else if (weak_flash_draw() % 4u != 0) {
            at += here;
        }
    }
    return true;
}

static void check(const cache_t *cache, uint32_t load)
{
    const uint32_t bytes = bytes_of(load);
    if (cache->filled < bytes) {
        power_fail("not filled", cache->filled, bytes);
    }
    for (uint32_t i = 0; i < bytes; i++) {
        if (flash_samples()[i] != byte_of(load, i)) {
            power_fail("wrong byte of load, at", load, i);
        }
    }
    if (!weak_flash_is_safe(FLASH_SAMPLES, bytes)) {
        power_fail("took what was cut short for whole", load, bytes);
    }
}

/* Loads all, each followed by a start now and then; returns how many were kept. */
static uint32_t campaign(void)
{
    static cache_t cache;
    static uint32_t kept, written;
    static bool again; /* what is loaded was sealed */
    kept = 0;
    again = false;
    if (setjmp(power_back) != 0) {
        power_returned(LOSSES_MAX);
        again = false;
    }
    weak_flash_start();
    cache_init(&cache);
    while (kept < LOADS) {
        written = 0;
        if (!send(&cache, kept, &written)) {
            break;
        }
        check(&cache, kept);
        if (again && written != 0) {
            power_fail("wrote what stood, pieces", kept, written);
        }
        cache_seal(&cache);
        check(&cache, kept);
        again = !again && weak_flash_draw() % 2u == 0;
        if (weak_flash_draw() % 2u == 0) {
            weak_flash_start();
            cache_init(&cache);
        }
        kept += !again;
    }
    weak_flash.cut = 0;
    return kept;
}

/* A seal with a wrong bit vouches for nothing. */
static void check_seal(void)
{
    cache_t cache;
    for (uint32_t bit = 0; bit < 64; bit++) {
        weak_flash.bytes[FLASH_SEAL][bit / 8u] ^= (uint8_t)(1u << bit % 8u);
        cache_init(&cache);
        if (cache.filled != 0) {
            power_fail("took a wrong seal, bit", bit, cache.filled);
        }
        weak_flash.bytes[FLASH_SEAL][bit / 8u] ^= (uint8_t)(1u << bit % 8u);
    }
    cache_init(&cache);
    if (cache.filled == 0) {
        power_fail("took no seal", 0, 0);
    }
}

int main(int argc, char **argv)
{
    uint32_t number[7];
    if (!power_numbers(argc, argv, number, 7)) {
        return 2;
    }
    weak_flash.sector_bytes = number[0];
    weak_flash.samples_sectors = number[1];
    weak_flash.unit = number[2];
    piece_bytes = number[3];
    const uint32_t step = number[4], rounds = number[5];
    if (flash_samples_bytes() > WEAK_FLASH_BYTES_MAX || piece_bytes > 1024u || step == 0) {
        return 2;
    }
    power_reset(0, 0, number[6]);
    const uint32_t kept = campaign();
    const uint64_t operations = weak_flash.operations;
    if (kept == LOADS) {
        check_seal();
    }
    const power_cuts_t all = power_cut_everywhere(campaign, LOADS, operations, step, rounds);
    printf("{\"kept\": %u, \"operations\": %llu, \"seals\": %u, \"cuts\": %llu, "
           "\"losses\": %llu}\n",
           kept, (unsigned long long)operations, weak_flash.erases[FLASH_SEAL][0],
           (unsigned long long)all.cuts, (unsigned long long)all.losses);
    return 0;
}
