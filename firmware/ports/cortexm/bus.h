/* What drivers of a flash controller touch: registers, cells, and the places of store, samples and
 * seal, which the board's linker script gives. Tests put a strict model of a controller in this
 * file's place. */
#ifndef BUS_H
#define BUS_H

#include "flash.h"

#include <stdint.h>

extern const uint8_t store_start[], store_end[], samples_start[], samples_end[], seal_start[];

static inline uint32_t bus_read(uint32_t address)
{
    return *(volatile uint32_t *)(uintptr_t)address;
}

static inline void bus_write(uint32_t address, uint32_t value)
{
    *(volatile uint32_t *)(uintptr_t)address = value;
}

static inline void bus_write_half(uint32_t address, uint16_t value)
{
    *(volatile uint16_t *)(uintptr_t)address = value;
}

static inline const uint8_t *bus_cells(uint32_t address)
{
    return (const uint8_t *)(uintptr_t)address;
}

static inline uint32_t bus_store_address(void)
{
    return (uint32_t)(uintptr_t)store_start;
}

static inline uint32_t bus_store_bytes(void)
{
    return (uint32_t)((uintptr_t)store_end - (uintptr_t)store_start);
}

static inline uint32_t bus_samples_address(void)
{
    return (uint32_t)(uintptr_t)samples_start;
}

static inline uint32_t bus_samples_bytes(void)
{
    return (uint32_t)((uintptr_t)samples_end - (uintptr_t)samples_start);
}

static inline uint32_t bus_seal_address(void)
{
    return (uint32_t)(uintptr_t)seal_start;
}

#endif
