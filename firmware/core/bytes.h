/* Little-endian integers in byte strings. */
#ifndef BYTES_H
#define BYTES_H

#include <stdint.h>
#include <string.h>

/* A core that stores such integers at any address needs one instruction: less than a call. */
#if defined(__ARM_FEATURE_UNALIGNED) && !defined(__ARM_BIG_ENDIAN)
#define BYTES_NATIVE 1
#define BYTES_INLINE static inline __attribute__((always_inline))
#else
#define BYTES_NATIVE 0
#define BYTES_INLINE static inline
#endif

BYTES_INLINE uint16_t bytes_u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

BYTES_INLINE uint32_t bytes_u32(const uint8_t *bytes)
{
    return bytes_u16(bytes) | (uint32_t)bytes_u16(bytes + 2) << 16;
}

BYTES_INLINE void bytes_put_u16(uint8_t *bytes, uint16_t value)
{
    if (BYTES_NATIVE) {
        memcpy(bytes, &value, sizeof value);
    } else {
        bytes[0] = (uint8_t)value;
        bytes[1] = (uint8_t)(value >> 8);
    }
}

BYTES_INLINE void bytes_put_u32(uint8_t *bytes, uint32_t value)
{
    if (BYTES_NATIVE) {
        memcpy(bytes, &value, sizeof value);
    } else {
        bytes_put_u16(bytes, (uint16_t)value);
        bytes_put_u16(bytes + 2, (uint16_t)(value >> 16));
    }
}

#endif
