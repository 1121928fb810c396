/* Little-endian integers in byte strings. */
#ifndef BYTES_H
#define BYTES_H

#include <stdint.h>

static inline uint16_t bytes_u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static inline uint32_t bytes_u32(const uint8_t *bytes)
{
    return bytes_u16(bytes) | (uint32_t)bytes_u16(bytes + 2) << 16;
}

static inline void bytes_put_u16(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

static inline void bytes_put_u32(uint8_t *bytes, uint32_t value)
{
    bytes_put_u16(bytes, (uint16_t)value);
    bytes_put_u16(bytes + 2, (uint16_t)(value >> 16));
}

#endif
