#include "weak_flash.h"

#include <string.h>

weak_flash_t weak_flash;

uint32_t weak_flash_draw(void)
{
    weak_flash.random = weak_flash.random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(weak_flash.random >> 33);
}

void weak_flash_blank(uint64_t seed)
{
    for (uint32_t bank = 0; bank < FLASH_BANKS; bank++) {
        memset(weak_flash.bytes[bank], FLASH_ERASED, flash_bank_bytes());
        memset(weak_flash.weak[bank], 0, flash_bank_bytes());
        memset(weak_flash.erases[bank], 0, weak_flash.sectors * sizeof(uint32_t));
    }
    weak_flash.operations = 0;
    weak_flash.cut = 0;
    weak_flash.losses = 0;
    weak_flash.random = seed * 2862933555777941757u + 3037000493u;
}

/* A unit that holds nothing, all or a part of what an operation was to make of it. */
static void interrupt_unit(uint32_t bank, uint32_t at, const uint8_t *after)
{
    const uint32_t how = weak_flash_draw() % 4u;
    weak_flash.weak[bank][at] = true;
    for (uint32_t i = at; i < at + weak_flash.unit; i++) {
        const uint8_t old = weak_flash.bytes[bank][i];
        const uint8_t new = after == NULL ? FLASH_ERASED : after[i - at];
        const uint8_t done = how == 0 ? 0 : how == 1 ? 0xFF : (uint8_t)weak_flash_draw();
        weak_flash.before[bank][i] = old;
        weak_flash.bytes[bank][i] = (uint8_t)((old & ~done) | (new & done));
    }
}

/* True where this operation is the one that loses its power. */
static bool is_cut(void)
{
    weak_flash.operations++;
    return weak_flash.operations == weak_flash.cut;
}

static void lose_power(void)
{
    weak_flash.losses++;
    weak_flash_lose_power();
}

uint32_t flash_bank_bytes(void)
{
    return weak_flash.sector_bytes * weak_flash.sectors;
}

const uint8_t *flash_bank(uint32_t bank)
{
    return weak_flash.bytes[bank];
}

static bool is_worn(uint32_t bank, uint32_t sector)
{
    return weak_flash.wear_out != 0 &&
           weak_flash.erases[bank][sector] + sector > weak_flash.wear_out;
}

bool flash_erase(uint32_t bank)
{
    for (uint32_t sector = 0; sector < weak_flash.sectors; sector++) {
        const bool cut = is_cut();
        const uint32_t start = sector * weak_flash.sector_bytes;
        weak_flash.erases[bank][sector]++;
        for (uint32_t at = start; at < start + weak_flash.sector_bytes; at += weak_flash.unit) {
            if (cut) {
                interrupt_unit(bank, at, NULL);
            } else {
                weak_flash.weak[bank][at] = false;
                memset(weak_flash.bytes[bank] + at, FLASH_ERASED, weak_flash.unit);
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
    const uint32_t unit = weak_flash.unit;
    if (offset % unit != 0 || count % unit != 0 || count > flash_bank_bytes() ||
        offset > flash_bank_bytes() - count) {
        weak_flash_misused("programmed beside the units", offset, (uint32_t)count);
        return false;
    }
    for (uint32_t at = offset; at < offset + count; at += unit, bytes += unit) {
        for (uint32_t i = at; i < at + unit; i++) {
            if (weak_flash.bytes[bank][i] != FLASH_ERASED || weak_flash.weak[bank][at]) {
                weak_flash_misused("programmed a unit that is not blank", bank, at);
                return false;
            }
        }
        if (is_cut()) {
            interrupt_unit(bank, at, bytes);
            lose_power();
        }
        memcpy(weak_flash.bytes[bank] + at, bytes, unit);
        if (is_worn(bank, at / weak_flash.sector_bytes)) {
            weak_flash.bytes[bank][at] |= 1u;
        }
    }
    return true;
}

void weak_flash_start(void)
{
    for (uint32_t bank = 0; bank < FLASH_BANKS; bank++) {
        for (uint32_t at = 0; at < flash_bank_bytes(); at += weak_flash.unit) {
            if (!weak_flash.weak[bank][at] || weak_flash_draw() % 2u == 0) {
                continue;
            }
            for (uint32_t i = at; i < at + weak_flash.unit; i++) {
                const uint8_t other = weak_flash.before[bank][i];
                weak_flash.before[bank][i] = weak_flash.bytes[bank][i];
                weak_flash.bytes[bank][i] = other;
            }
        }
    }
}
