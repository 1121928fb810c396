/* zlib's CRC-32 (polynomial 0xEDB88320, reflected), four bits at a time. */
#ifndef CRC32_H
#define CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Continues a CRC: crc32_update(crc32_update(0, a), b) is the CRC of a followed by b. */
uint32_t crc32_update(uint32_t crc, const uint8_t *bytes, size_t count);

#endif
