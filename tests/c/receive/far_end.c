#include "far_end.h"

#include <stdio.h>
#include <stdlib.h>

#include "port.h"

#define TURNS_MAX 29100000u

uint32_t wanted_sent, sent, read_count;

static uint32_t state;

void random_begin(uint32_t seed)
{
    state = seed;
}

uint32_t random_below(uint32_t bound)
{
    state = state * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)bound * state >> 32);
}

void model_broken(const char *rule, uint32_t address, uint32_t value)
{
    printf("broken: %s (%08x, %08x)\n", rule, address, value);
    exit(1);
}

void read_all(uint32_t count)
{
    wanted_sent = sent + count;
    for (uint32_t turns = 0; read_count < wanted_sent; turns++) {
        if (turns > TURNS_MAX) {
            model_broken("receives again", sent, read_count);
        }
        uint8_t bytes[8];
        const size_t got = port_read(bytes, 1u + random_below(sizeof bytes));
        for (size_t i = 0; i < got; i++) {
            if (bytes[i] != byte_at(read_count)) {
                model_broken("gives every byte once and in order", read_count, bytes[i]);
            }
            read_count++;
        }
        if (got == 0) {
            port_idle();
        }
        pass(random_below(64) == 0 ? 5000u : 3u); /* now and then a step is computed */
    }
}
