/* memcpy() and memset(), which compiled code calls: the library's take three times the flash. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Keeps the compiler from finding memcpy() and memset() in these loops. */
#pragma GCC optimize("no-tree-loop-distribute-patterns")

/* Four bytes at any address where the core reaches them at once, else at a multiple of four. */
#ifdef __ARM_FEATURE_UNALIGNED
#define WORD_PLACES 1u
#else
#define WORD_PLACES 4u
#endif
typedef struct __attribute__((packed, aligned(WORD_PLACES), may_alias)) {
    uint32_t value;
} word_t;

static inline size_t whole_words(uintptr_t places, size_t count)
{
    return places % WORD_PLACES == 0 ? count & ~(sizeof(word_t) - 1u) : 0;
}

void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    const uint8_t *const end = in + count;
#ifndef __ARM_FEATURE_UNALIGNED
    for (; end - in >= 4; in += 4, out += 4) {
        out[0] = in[0];
        out[1] = in[1];
        out[2] = in[2];
        out[3] = in[3];
    }
#else
    const uint8_t *const words_end = in + (count & ~3u);
    while (in != words_end) {
        *(word_t *)(void *)out = *(const word_t *)(const void *)in;
        out += sizeof(word_t);
        in += sizeof(word_t);
    }
#endif
    while (in != end) {
        *out++ = *in++;
    }
    return to;
}

void *memset(void *to, int value, size_t count)
{
    uint8_t *out = to;
    uint8_t *const end = out + count;
    uint8_t *const words_end = out + whole_words((uintptr_t)to, count);
    const uint8_t byte = (uint8_t)value;
    const uint32_t word = byte * 0x01010101u;
    while (out != words_end) {
        ((word_t *)(void *)out)->value = word;
        out += sizeof(word_t);
    }
    while (out != end) {
        *out++ = byte;
    }
    return to;
}
