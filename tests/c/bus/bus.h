/* Included first, in the place of the ports' bus.h: a strict model of a flash controller. */
#ifndef BUS_H
#define BUS_H

#include <stdint.h>

uint32_t bus_read(uint32_t address);
void bus_write(uint32_t address, uint32_t value);
void bus_write_half(uint32_t address, uint16_t value);
const uint8_t *bus_cells(uint32_t address);
uint32_t bus_store_address(void);
uint32_t bus_store_bytes(void);

#endif
