#include "power.h"

#include "weak_flash.h"

#include <stdio.h>
#include <stdlib.h>

jmp_buf power_back;

bool power_numbers(int argc, char **argv, uint32_t *numbers, uint32_t count)
{
    if (argc != (int)count + 1) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = (uint32_t)strtoul(argv[1u + i], NULL, 0);
    }
    return true;
}

void power_fail(const char *what, uint32_t a, uint32_t b)
{
    printf("%s: %u, %u after %llu operations, %u power losses\n", what, a, b,
           (unsigned long long)weak_flash.operations, weak_flash.losses);
    exit(1);
}

void weak_flash_misused(const char *what, uint32_t a, uint32_t b)
{
    power_fail(what, a, b);
}

void weak_flash_lose_power(void)
{
    longjmp(power_back, 1);
}

void power_reset(uint64_t cut, uint32_t round, uint32_t wear_out)
{
    weak_flash_blank(cut << 20 | round);
    weak_flash.cut = cut;
    weak_flash.wear_out = wear_out;
}

void power_returned(uint32_t losses_max)
{
    const uint32_t range = 4u << weak_flash_draw() % 12u;
    const uint64_t next = weak_flash.operations + 1u + weak_flash_draw() % range;
    weak_flash.cut = weak_flash.losses < losses_max ? next : 0;
}

power_cuts_t power_cut_everywhere(uint32_t (*campaign)(void), uint32_t wanted, uint64_t operations,
                                  uint32_t step, uint32_t rounds)
{
    power_cuts_t all = {0, 0};
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint64_t cut = 1; cut <= operations; cut += step) {
            power_reset(cut, round, 0);
            const uint32_t kept = campaign();
            if (kept != wanted) {
                power_fail("kept, cut at", kept, (uint32_t)cut);
            }
            all.cuts++;
            all.losses += weak_flash.losses;
        }
    }
    return all;
}
