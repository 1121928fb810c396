/* port_ticks() on a model of a core's counters: `cyccnt`, `locked` (a counter whose registers want
 * their key first) or `systick` (a core without the cycle counter, as QEMU's). Exits with 0 where
 * it counts the cycles that pass, modulo 2^24. */
#include "cortexm.h"
#include "port.h"

#include <stdio.h>
#include <string.h>

#define CYCLES_A_CALL 3u

static uint32_t demcr, lar, ctrl, cyccnt, csr, rvr, cvr, reserved;
static bool has_counter, wants_key;
static uint32_t passed;

static bool counts(void)
{
    return has_counter && (demcr & 1u << 24) != 0 && (ctrl & 1u) != 0 &&
           (!wants_key || lar == 0xC5ACCE55u);
}

/* SysTick counts down from its reload value, through 0. */
static void let_cycles_pass(uint32_t cycles)
{
    passed += cycles;
    cyccnt = counts() ? cyccnt + cycles : has_counter ? cyccnt : 0;
    if ((csr & 5u) == 5u) {
        cvr = (cvr - cycles) & 0xFFFFFFu;
    }
}

volatile uint32_t *cortexm_register(uint32_t address)
{
    let_cycles_pass(CYCLES_A_CALL);
    switch (address) {
    case 0xE000EDFCu:
        return &demcr;
    case 0xE0001000u:
        return &ctrl;
    case 0xE0001004u:
        return &cyccnt;
    case 0xE0001FB0u:
        return &lar;
    case 0xE000E010u:
        return &csr;
    case 0xE000E014u:
        return &rvr;
    case 0xE000E018u:
        return &cvr;
    default:
        printf("no register at %08x\n", address);
        return &reserved;
    }
}

int main(int argc, char **argv)
{
    const char *core = argc > 1 ? argv[1] : "";
    has_counter = strcmp(core, "systick") != 0;
    wants_key = strcmp(core, "locked") == 0;
    cyccnt = has_counter ? 0xFFFFFF00u : 0;
    (void)port_ticks();
    for (uint32_t i = 0, stretch = 1; i < 24u; i++, stretch *= 2u) {
        const uint32_t start = passed, before = port_ticks();
        let_cycles_pass(stretch);
        const uint32_t ticks = (port_ticks() - before) & PORT_TICKS_MASK;
        const uint32_t took = passed - start;
        if (ticks > took || ticks + 2u * CYCLES_A_CALL < took) {
            printf("%s: %u ticks in %u cycles\n", core, ticks, took);
            return 1;
        }
    }
    const bool by_counter = counts() && csr == 0;
    return by_counter == has_counter && (has_counter || rvr == 0xFFFFFFu) ? 0 : 2;
}
