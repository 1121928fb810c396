/* A file as flash: FIXGRAD_FLASH_FILE in the environment names it; without, there is no store and no
 * room for samples.
 *
 * The bytes outlive the process, however it ends. */
#define _DEFAULT_SOURCE

#include "flash.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BANK_BYTES (1024u * 1024u)
#define SECTOR_BYTES 4096u
#define FILE_BYTES (FLASH_SEAL * (size_t)BANK_BYTES + SECTOR_BYTES)

static uint8_t *cells;

/* Maps the file at first use; a new one is blank. */
static uint8_t *map(void)
{
    const char *path = getenv("FIXGRAD_FLASH_FILE");
    if (cells != NULL || path == NULL) {
        return cells;
    }
    const int file = open(path, O_RDWR | O_CREAT, 0666);
    if (file < 0) {
        exit(EXIT_FAILURE);
    }
    const off_t before = lseek(file, 0, SEEK_END);
    void *at = MAP_FAILED;
    if (ftruncate(file, (off_t)FILE_BYTES) == 0) {
        at = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    }
    (void)close(file);
    if (at == MAP_FAILED) {
        exit(EXIT_FAILURE);
    }
    cells = at;
    if (before == 0) {
        memset(cells, FLASH_ERASED, FILE_BYTES);
    }
    return cells;
}

uint32_t flash_bank_bytes(void)
{
    return map() == NULL ? 0 : BANK_BYTES;
}

uint32_t flash_samples_bytes(void)
{
    return flash_bank_bytes();
}

uint32_t flash_sector_bytes(void)
{
    return SECTOR_BYTES;
}

/* The banks' length from each other, as all areas lie. */
const uint8_t *flash_bank(uint32_t area)
{
    return map() == NULL ? NULL : map() + (size_t)area * BANK_BYTES;
}

const uint8_t *flash_samples(void)
{
    return flash_bank(FLASH_SAMPLES);
}

const uint8_t *flash_seal(void)
{
    return flash_bank(FLASH_SEAL);
}

bool flash_erase(uint32_t area, uint32_t offset, uint32_t end)
{
    for (; offset < end; offset += SECTOR_BYTES) {
        memset(map() + (size_t)area * BANK_BYTES + offset, FLASH_ERASED, SECTOR_BYTES);
    }
    return true;
}

bool flash_program(uint32_t area, uint32_t offset, const uint8_t *bytes, size_t count)
{
    memcpy(map() + (size_t)area * BANK_BYTES + offset, bytes, count);
    return true;
}
