/* A board's store over its own driver and a model of its flash controller.
 *
 *     model kept|protected|stuck
 *
 * kept: twenty checkpoints are found again. protected: the second bank refuses; the newest
 * checkpoint stays. stuck: an operation never ends; saving gives up. */
#include "model.h"

#include "bus.h"
#include "flash.h"
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX (1u << 18)
#define PAYLOAD 1000u
#define SAVES 20u

static uint8_t cells[BYTES_MAX], seen[BYTES_MAX];
static uint32_t left;
static bool running, stuck, is_protected;

void model_broken(const char *rule, uint32_t address, uint32_t value)
{
    printf("broken: %s (%08x, %08x)\n", rule, address, value);
    exit(1);
}

void model_start(void)
{
    running = true;
    left = 3;
}

bool model_in_operation(void)
{
    return running;
}

bool model_is_stuck(void)
{
    return stuck;
}

bool model_busy(void)
{
    if (running && !stuck) {
        running = left-- > 0;
    }
    return running;
}

static uint32_t cell_at(uint32_t address, uint32_t bytes)
{
    if (address < model_address || address + bytes > model_address + 2u * model_bank_bytes) {
        model_broken("stays in the store", address, bytes);
    }
    return address - model_address;
}

bool model_program(uint32_t address, uint32_t value, uint32_t bytes)
{
    const uint32_t at = cell_at(address, bytes);
    for (uint32_t i = 0; i < bytes; i++) {
        if (cells[at + i] != 0xFF) {
            return false;
        }
    }
    for (uint32_t i = 0; i < bytes; i++) {
        cells[at + i] = (uint8_t)(value >> 8u * i);
    }
    return true;
}

bool model_erase(uint32_t address)
{
    const uint32_t at = cell_at(address, model_sector_bytes);
    if (address % model_sector_bytes != 0) {
        model_broken("erases from the start of a sector", address, 0);
    }
    if (is_protected && at >= model_bank_bytes) {
        return false;
    }
    memset(cells + at, 0xFF, model_sector_bytes);
    return true;
}

void model_see(void)
{
    memcpy(seen, cells, 2u * model_bank_bytes);
}

uint32_t bus_read(uint32_t address)
{
    return model_read(address);
}

void bus_write(uint32_t address, uint32_t value)
{
    model_write(address, value, 4);
}

void bus_write_half(uint32_t address, uint16_t value)
{
    model_write(address, value, 2);
}

const uint8_t *bus_cells(uint32_t address)
{
    return seen + cell_at(address, 1);
}

uint32_t bus_store_address(void)
{
    return model_address;
}

uint32_t bus_store_bytes(void)
{
    return 2u * model_bank_bytes;
}

static void source(const void *context, uint32_t offset, uint8_t *bytes, size_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        bytes[i] = (uint8_t)(offset + i + *(const uint32_t *)context);
    }
}

/* Saves, and says whether the newest checkpoint is this one, whole. */
static bool save(store_t *store, uint32_t next)
{
    const bool good = store_save(store, 1, next, PAYLOAD, source, &next) != 0;
    if (!model_is_closed() && !stuck) {
        model_broken("locks the controller when it is done", 0, 0);
    }
    store_record_t record;
    if (!good || !store_find(&record) || record.next != next || record.bytes != PAYLOAD) {
        return false;
    }
    for (uint32_t i = 0; i < PAYLOAD; i++) {
        if (record.payload[i] != (uint8_t)(i + next)) {
            return false;
        }
    }
    return true;
}

static uint32_t newest(void)
{
    store_record_t record;
    return store_find(&record) ? record.next : 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        return 2;
    }
    memset(cells, 0x5A, sizeof cells);
    model_see();
    store_t store = {0};
    is_protected = strcmp(argv[1], "protected") == 0;
    uint32_t kept = 0;
    while (kept < SAVES) {
        stuck = kept == 3 && strcmp(argv[1], "stuck") == 0;
        if (!save(&store, kept + 1u)) {
            break;
        }
        kept++;
        store = kept % 3u == 0 ? (store_t){0} : store;
    }
    printf("%u %u\n", kept, newest());
    return 0;
}
