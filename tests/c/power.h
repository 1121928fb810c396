/* What the programs share that lose the power of weak_flash.h: they go on where `power_back` is
 * set. */
#ifndef POWER_H
#define POWER_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

extern jmp_buf power_back;

/* What came of power losses at chosen operations and at random after them. */
typedef struct {
    uint64_t cuts, losses;
} power_cuts_t;

/* Reads so many numbers, all the arguments there are; false where there are fewer or more. */
bool power_numbers(int argc, char **argv, uint32_t *numbers, uint32_t count);

/* Ends the process with a line and 1. */
_Noreturn void power_fail(const char *what, uint32_t a, uint32_t b);

/* Makes a blank flash that loses its power at operation `cut`, and wears out; 0: does not. */
void power_reset(uint64_t cut, uint32_t round, uint32_t wear_out);

/* After a loss: draws the operation of the next one; none after so many. */
void power_returned(uint32_t losses_max);

/* Runs a campaign with the power lost at operation 1, 1 + step, ... up to `operations`, so many
 * rounds; it must return what is wanted. */
power_cuts_t power_cut_everywhere(uint32_t (*campaign)(void), uint32_t wanted, uint64_t operations,
                                  uint32_t step, uint32_t rounds);

#endif
