/* What the bench images need of a machine: text through semihosting, and SysTick as a counter of
 * executed instructions under QEMU's -icount. */
#ifndef RUNTIME_H
#define RUNTIME_H

#include <stdint.h>

/* The job that the emulator loaded, and memory behind the image's own data. */
extern const uint8_t runtime_job[];
extern uint32_t runtime_arena[], runtime_arena_end[];

void runtime_text(const char *text);
void runtime_number(uint32_t value);

/* Ticks since an arbitrary moment, modulo 2^24. */
#define RUNTIME_TICKS_MASK 0xFFFFFFu
uint32_t runtime_ticks(void);

/* Paints the unused stack; tells how much of it was used since. */
void runtime_paint_stack(void);
uint32_t runtime_stack_used(void);

int main(void);

#endif
