#include "weak_flash.h"

#include <string.h>

weak_flash_t weak_flash;

uint32_t weak_flash_draw(void)
{
    weak_flash.random = weak_flash.random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(weak_flash.random >> 33);
}

static uint32_t area_bytes(uint32_t area)
{
    if (area == FLASH_SEAL) {
        return weak_flash.sector_bytes;
    }
    return area == FLASH_SAMPLES ? flash_samples_bytes() : flash_bank_bytes();
}

bool weak_flash_is_safe(uint32_t area, uint32_t bytes)
{
    for (uint32_t at = 0; at < bytes; at += weak_flash.unit) {
        if (weak_flash.weak[area][at]) {
            return false;
        }
    }
    return true;
}

void weak_flash_blank(uint64_t seed)
{
    for (uint32_t area = 0; area < WEAK_FLASH_AREAS; area++) {
        memset(weak_flash.bytes[area], FLASH_ERASED, area_bytes(area));
        memset(weak_flash.weak[area], 0, area_bytes(area));
        memset(weak_flash.erases[area], 0,
               area_bytes(area) / weak_flash.sector_bytes * sizeof(uint32_t));
    }
    weak_flash.operations = 0;
    weak_flash.cut = 0;
    weak_flash.losses = 0;
    weak_flash.random = seed * 2862933555777941757u + 3037000493u;
}

/* A unit that holds nothing, all or a part of what an operation was to make of it. */
static void interrupt_unit(uint32_t area, uint32_t at, const uint8_t *after)
{
    const uint32_t how = weak_flash_draw() % 4u;
    weak_flash.weak[area][at] = true;
    for (uint32_t i = at; i < at + weak_flash.unit; i++) {
        const uint8_t old = weak_flash.bytes[area][i];
        const uint8_t new = after == NULL ? FLASH_ERASED : after[i - at];
        const uint8_t done = how == 0 ? 0 : how == 1 ? 0xFF : (uint8_t)weak_flash_draw();
        weak_flash.before[area][i] = old;
        weak_flash.bytes[area][i] = (uint8_t)((old & ~done) | (new & done));
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

uint32_t flash_samples_bytes(void)
{
    return weak_flash.sector_bytes * weak_flash.samples_sectors;
}

uint32_t flash_sector_bytes(void)
{
    return weak_flash.sector_bytes;
}

const uint8_t *flash_samples(void)
{
    return weak_flash.bytes[FLASH_SAMPLES];
}

const uint8_t *flash_seal(void)
{
    return weak_flash.bytes[FLASH_SEAL];
}

static bool is_worn(uint32_t area, uint32_t sector)
{
    return weak_flash.wear_out != 0 &&
           weak_flash.erases[area][sector] + sector > weak_flash.wear_out;
}

bool flash_erase(uint32_t area, uint32_t offset, uint32_t end)
{
    if (offset % weak_flash.sector_bytes != 0 || end > area_bytes(area)) {
        weak_flash_misused("erased beside the sectors", area, offset);
        return false;
    }
    for (uint32_t start = offset; start < end; start += weak_flash.sector_bytes) {
        const bool cut = is_cut();
        weak_flash.erases[area][start / weak_flash.sector_bytes]++;
        for (uint32_t at = start; at < start + weak_flash.sector_bytes; at += weak_flash.unit) {
            if (cut) {
                interrupt_unit(area, at, NULL);
            } else {
                weak_flash.weak[area][at] = false;
                memset(weak_flash.bytes[area] + at, FLASH_ERASED, weak_flash.unit);
            }
        }
        if (cut) {
            lose_power();
        }
    }
    return true;
}

bool flash_program(uint32_t area, uint32_t offset, const uint8_t *bytes, size_t count)
{
    const uint32_t unit = weak_flash.unit;
    if (offset % unit != 0 || count % unit != 0 || count > area_bytes(area) ||
        offset > area_bytes(area) - count) {
        weak_flash_misused("programmed beside the units", offset, (uint32_t)count);
        return false;
    }
    for (uint32_t at = offset; at < offset + count; at += unit, bytes += unit) {
        for (uint32_t i = at; i < at + unit; i++) {
            if (weak_flash.bytes[area][i] != FLASH_ERASED || weak_flash.weak[area][at]) {
                weak_flash_misused("programmed a unit that is not blank", area, at);
                return false;
            }
        }
        if (is_cut()) {
            interrupt_unit(area, at, bytes);
            lose_power();
        }
        memcpy(weak_flash.bytes[area] + at, bytes, unit);
        if (is_worn(area, at / weak_flash.sector_bytes)) {
            weak_flash.bytes[area][at] |= 1u;
        }
    }
    return true;
}

void weak_flash_start(void)
{
    for (uint32_t area = 0; area < WEAK_FLASH_AREAS; area++) {
        for (uint32_t at = 0; at < area_bytes(area); at += weak_flash.unit) {
            if (!weak_flash.weak[area][at] || weak_flash_draw() % 2u == 0) {
                continue;
            }
            for (uint32_t i = at; i < at + weak_flash.unit; i++) {
                const uint8_t other = weak_flash.before[area][i];
                weak_flash.before[area][i] = weak_flash.bytes[area][i];
                weak_flash.bytes[area][i] = other;
            }
        }
    }
}
