#include "store.h"

#include "bytes.h"
#include "crc32.h"
#include "flash.h"

#include <string.h>

#define MAGIC 0x31434746u /* "FGC1" */
#define CRC_BYTES 4u

#define HEADER_AT_MAGIC 0u
#define HEADER_AT_GENERATION 4u
#define HEADER_AT_RUN_ID 8u
#define HEADER_AT_NEXT 12u
#define HEADER_AT_BYTES 16u
#define HEADER_AT_CRC (FLASH_UNIT_BYTES - CRC_BYTES)

static uint32_t whole_units(uint32_t bytes)
{
    return (bytes + FLASH_UNIT_BYTES - 1u) / FLASH_UNIT_BYTES * FLASH_UNIT_BYTES;
}

uint32_t store_capacity(void)
{
    const uint32_t bank = flash_bank_bytes(), around = 2u * FLASH_UNIT_BYTES + CRC_BYTES;
    return bank < around ? 0 : bank - around;
}

/* Header, payload with CRC, seal. Range: bytes <= store_capacity(). */
static uint32_t record_bytes(uint32_t bytes)
{
    return FLASH_UNIT_BYTES + whole_units(bytes + CRC_BYTES) + FLASH_UNIT_BYTES;
}

static bool fits(uint32_t offset, uint32_t bytes)
{
    return bytes <= store_capacity() && record_bytes(bytes) <= flash_bank_bytes() - offset;
}

static bool is_sealed(const uint8_t *seal)
{
    for (uint32_t i = 0; i < FLASH_UNIT_BYTES; i++) {
        if (seal[i] != FLASH_ERASED) {
            return true;
        }
    }
    return false;
}

/* Reads the record at an offset of a bank; false where no complete one is. */
static bool read_record(uint32_t bank, uint32_t offset, store_record_t *record, bool *sealed)
{
    if (!fits(offset, 0)) {
        return false;
    }
    const uint8_t *header = flash_bank(bank) + offset;
    const uint32_t bytes = bytes_u32(header + HEADER_AT_BYTES);
    if (bytes_u32(header + HEADER_AT_MAGIC) != MAGIC ||
        bytes_u32(header + HEADER_AT_CRC) != crc32_update(0, header, HEADER_AT_CRC) ||
        !fits(offset, bytes)) {
        return false;
    }
    const uint8_t *payload = header + FLASH_UNIT_BYTES;
    if (crc32_update(0, header, FLASH_UNIT_BYTES + bytes) != bytes_u32(payload + bytes)) {
        return false;
    }
    *record = (store_record_t){
        .generation = bytes_u32(header + HEADER_AT_GENERATION),
        .run_id = bytes_u32(header + HEADER_AT_RUN_ID),
        .next = bytes_u32(header + HEADER_AT_NEXT),
        .bytes = bytes,
        .payload = payload,
    };
    *sealed = is_sealed(payload + whole_units(bytes + CRC_BYTES));
    return true;
}

/* What the banks hold. */
typedef struct {
    store_record_t newest;
    uint32_t bank;       /* where it is */
    uint32_t generation; /* highest of all complete records, sealed or not; 0: there is none */
} contents_t;

static contents_t read_banks(void)
{
    contents_t found = {.bank = FLASH_BANKS - 1u};
    bool newest_sealed = false;
    for (uint32_t bank = 0; bank < FLASH_BANKS; bank++) {
        uint32_t offset = 0;
        store_record_t record;
        bool sealed;
        while (read_record(bank, offset, &record, &sealed)) {
            const bool newer = record.generation > found.newest.generation;
            if (sealed == newest_sealed ? newer : sealed) {
                found.newest = record;
                found.bank = bank;
                newest_sealed = sealed;
            }
            if (record.generation > found.generation) {
                found.generation = record.generation;
            }
            offset += record_bytes(record.bytes);
        }
    }
    return found;
}

bool store_find(store_record_t *record)
{
    *record = read_banks().newest;
    return record->generation != 0;
}

/* A record being written. */
typedef struct {
    uint32_t bank, at; /* where the unit goes */
    uint32_t fill;     /* bytes in it */
    bool good;
    uint8_t unit[FLASH_UNIT_BYTES];
} writer_t;

/* Programs the unit, its rest left as erased, and reads it back. */
static void write_unit(writer_t *w)
{
    memset(w->unit + w->fill, FLASH_ERASED, FLASH_UNIT_BYTES - w->fill);
    w->good = w->good && flash_program(w->bank, w->at, w->unit, FLASH_UNIT_BYTES) &&
              memcmp(flash_bank(w->bank) + w->at, w->unit, FLASH_UNIT_BYTES) == 0;
    w->at += FLASH_UNIT_BYTES;
    w->fill = 0;
}

/* Writes the payload with its CRC, which continues that of the header. */
static void write_payload(writer_t *w, uint32_t crc, uint32_t bytes, store_source_t source,
                          const void *context)
{
    for (uint32_t offset = 0; offset < bytes; offset += w->fill) {
        if (w->fill == FLASH_UNIT_BYTES) {
            write_unit(w);
        }
        const uint32_t left = bytes - offset;
        w->fill = left < FLASH_UNIT_BYTES ? left : FLASH_UNIT_BYTES;
        source(context, offset, w->unit, w->fill);
        crc = crc32_update(crc, w->unit, w->fill);
    }
    for (uint32_t i = 0; i < CRC_BYTES; i++) {
        if (w->fill == FLASH_UNIT_BYTES) {
            write_unit(w);
        }
        w->unit[w->fill++] = (uint8_t)(crc >> 8u * i);
    }
    write_unit(w);
}

static bool write_record(const store_record_t *record, uint32_t bank, uint32_t offset,
                         store_source_t source, const void *context)
{
    writer_t w = {.bank = bank, .at = offset, .fill = FLASH_UNIT_BYTES, .good = true};
    memset(w.unit, 0, sizeof w.unit);
    bytes_put_u32(w.unit + HEADER_AT_MAGIC, MAGIC);
    bytes_put_u32(w.unit + HEADER_AT_GENERATION, record->generation);
    bytes_put_u32(w.unit + HEADER_AT_RUN_ID, record->run_id);
    bytes_put_u32(w.unit + HEADER_AT_NEXT, record->next);
    bytes_put_u32(w.unit + HEADER_AT_BYTES, record->bytes);
    bytes_put_u32(w.unit + HEADER_AT_CRC, crc32_update(0, w.unit, HEADER_AT_CRC));
    const uint32_t crc = crc32_update(0, w.unit, FLASH_UNIT_BYTES);
    write_unit(&w);
    write_payload(&w, crc, record->bytes, source, context);
    memset(w.unit, 0, sizeof w.unit);
    w.fill = FLASH_UNIT_BYTES;
    write_unit(&w);
    return w.good;
}

/* Writes the record behind the newest one if it fits, else at the start of the other bank, erased
 * first. Returns the offset behind it, or 0. */
static uint32_t place_record(const contents_t *found, uint32_t append_at,
                             const store_record_t *record, store_source_t source,
                             const void *context)
{
    const bool append = append_at != 0 && fits(append_at, record->bytes);
    const uint32_t bank = append ? found->bank : (found->bank + 1u) % FLASH_BANKS;
    const uint32_t offset = append ? append_at : 0;
    const bool written = (append || flash_erase(bank, 0, flash_bank_bytes())) &&
                         write_record(record, bank, offset, source, context);
    return written ? offset + record_bytes(record->bytes) : 0;
}

uint32_t store_save(store_t *s, uint32_t run_id, uint32_t next, uint32_t bytes,
                    store_source_t source, const void *context)
{
    const contents_t found = read_banks();
    if (s->append_at != 0 && found.newest.run_id == run_id && found.newest.next == next) {
        return found.newest.generation;
    }
    if (bytes > store_capacity()) {
        return 0;
    }
    const store_record_t record = {found.generation + 1u, run_id, next, bytes, NULL};
    uint32_t append_at = s->append_at;
    s->append_at = place_record(&found, append_at, &record, source, context);
    if (s->append_at == 0 && append_at != 0) {
        s->append_at = place_record(&found, 0, &record, source, context);
    }
    return s->append_at != 0 ? record.generation : 0;
}
