/* A board's store over its own driver and a model of its flash controller.
 *
 *     model kept|protected|stuck|samples|stuck-samples
 *
 * kept: twenty checkpoints are found again. protected: the second bank refuses; the newest
 * checkpoint stays. stuck: an operation never ends; saving gives up.
 * samples: two data sets that begin alike stand in their area one after the other, and again after
 * a start, where nothing is written. stuck-samples: an operation never ends; the third piece is
 * refused. */
#include "model.h"

#include "bus.h"
#include "cache.h"
#include "flash.h"
#include "protocol.h"
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX (1u << 19)
#define PIECE 480u
#define DATASET (6u * 1024u + 7u)
#define PAYLOAD 1000u
#define SAVES 20u

static uint8_t cells[BYTES_MAX], seen[BYTES_MAX];
static uint32_t left, operations;
static bool running, stuck, is_protected;

void model_broken(const char *rule, uint32_t address, uint32_t value)
{
    printf("broken: %s (%08x, %08x)\n", rule, address, value);
    exit(1);
}

bool model_unlocks(uint32_t key, bool locked)
{
    static uint32_t keys;
    const uint32_t wanted = keys == 0 ? 0x45670123u : 0xCDEF89ABu;
    if (key != wanted || !locked) {
        model_broken("writes the two keys in order while locked", 0, key);
    }
    keys = 1u - keys;
    return keys == 0;
}

void model_start(void)
{
    running = true;
    left = 3;
    operations++;
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
    const uint32_t places[3][2] = {{model_address, 2u * model_bank_bytes},
                                   {model_samples_address, model_samples_bytes},
                                   {model_seal_address, model_seal_bytes}};
    uint32_t before = 0;
    for (uint32_t i = 0; i < 3; i++) {
        const uint32_t at = address - places[i][0];
        if (at < places[i][1] && bytes <= places[i][1] - at) {
            return before + at;
        }
        before += places[i][1];
    }
    model_broken("stays in store and samples", address, bytes);
    return 0;
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
    const uint32_t bytes = address == model_seal_address ? model_seal_bytes : model_sector_bytes;
    const uint32_t at = cell_at(address, bytes);
    if (address % bytes != 0) {
        model_broken("erases from the start of a sector", address, 0);
    }
    if (is_protected && at >= model_bank_bytes && at < 2u * model_bank_bytes) {
        return false;
    }
    memset(cells + at, 0xFF, bytes);
    return true;
}

void model_see(void)
{
    memcpy(seen, cells, sizeof seen);
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

uint32_t bus_samples_address(void)
{
    return model_samples_address;
}

uint32_t bus_samples_bytes(void)
{
    return model_samples_bytes;
}

uint32_t bus_seal_address(void)
{
    return model_seal_address;
}

static uint8_t sample_byte(uint32_t set, uint32_t i)
{
    return (uint8_t)((i < 5000u ? 0 : set) + i * 7u + i / 256u);
}

/* Loads a data set; returns how many pieces came to stand. */
static uint32_t load(cache_t *cache, uint32_t set)
{
    uint8_t bytes[PIECE];
    uint32_t at = 0;
    while (at < DATASET) {
        const uint32_t here = DATASET - at < PIECE ? DATASET - at : PIECE;
        for (uint32_t i = 0; i < here; i++) {
            bytes[i] = sample_byte(set, at + i);
        }
        const int status = cache_write(cache, at, bytes, here);
        if (status == STATUS_BAD_OFFSET) {
            at = cache->filled;
        } else if (status == STATUS_OK) {
            at += here;
        } else {
            break;
        }
    }
    return (at + PIECE - 1u) / PIECE;
}

static bool is_loaded(uint32_t set)
{
    for (uint32_t i = 0; i < DATASET; i++) {
        if (flash_samples()[i] != sample_byte(set, i)) {
            return false;
        }
    }
    return model_is_closed();
}

/* Prints the pieces of three loads, whether they stand, and the operations of the third. */
static int keep_samples(void)
{
    cache_t cache;
    uint32_t pieces[3], before = 0;
    bool good = true;
    for (uint32_t i = 0; i < 3; i++) {
        cache_init(&cache);
        before = operations;
        pieces[i] = load(&cache, i == 0 ? 0 : 1);
        good = good && is_loaded(i == 0 ? 0 : 1);
        cache_seal(&cache);
    }
    printf("%u %u %u %d %u\n", pieces[0], pieces[1], pieces[2], good, operations - before);
    return 0;
}

/* Prints whether the third piece was refused. */
static int give_up(void)
{
    cache_t cache;
    uint8_t bytes[PIECE] = {0};
    cache_init(&cache);
    for (uint32_t i = 0; i < 3; i++) {
        stuck = i == 2;
        if (cache_write(&cache, i * PIECE, bytes, PIECE) != STATUS_OK) {
            printf("%u %u\n", i, cache.filled);
            return 0;
        }
    }
    return 1;
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
    if (strcmp(argv[1], "samples") == 0) {
        return keep_samples();
    }
    if (strcmp(argv[1], "stuck-samples") == 0) {
        return give_up();
    }
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
