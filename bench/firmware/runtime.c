#include "runtime.h"

#define SYSTICK_CTRL (*(volatile uint32_t *)0xE000E010u)
#define SYSTICK_LOAD (*(volatile uint32_t *)0xE000E014u)
#define SYSTICK_NOW (*(volatile uint32_t *)0xE000E018u)
#define SCB_CPACR (*(volatile uint32_t *)0xE000ED88u)

#define SYS_WRITE0 4u
#define SYS_EXIT_EXTENDED 0x20u
#define ADP_APPLICATION_EXIT 0x20026u
#define STACK_PAINT 0xA5A5A5A5u

extern uint32_t stack_start, stack_top, bss_start, bss_end;

static void semihost(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void runtime_text(const char *text)
{
    semihost(SYS_WRITE0, text);
}

void runtime_number(uint32_t value)
{
    char text[12];
    char *at = text + sizeof text;
    *--at = 0;
    *--at = ' ';
    do {
        *--at = (char)('0' + value % 10u);
        value /= 10u;
    } while (value != 0);
    runtime_text(at);
}

uint32_t runtime_ticks(void)
{
    return RUNTIME_TICKS_MASK - SYSTICK_NOW;
}

/* Not inlined: the caller's frame stays above the paint. */
__attribute__((noinline)) void runtime_paint_stack(void)
{
    uint32_t *end = (uint32_t *)__builtin_frame_address(0) - 16;
    for (volatile uint32_t *word = &stack_start; word < end; word++) {
        *word = STACK_PAINT;
    }
}

uint32_t runtime_stack_used(void)
{
    const uint32_t *word = &stack_start;
    while (*word == STACK_PAINT) {
        word++;
    }
    return (uint32_t)((uintptr_t)&stack_top - (uintptr_t)word);
}

static void end(uint32_t code)
{
    const uint32_t block[2] = {ADP_APPLICATION_EXIT, code};
    semihost(SYS_EXIT_EXTENDED, block);
    for (;;) {
    }
}

static void fault(void)
{
    runtime_text("fault\n");
    end(2);
}

void runtime_reset(void);

void runtime_reset(void)
{
    for (uint32_t *word = &bss_start; word < &bss_end; word++) {
        *word = 0;
    }
#if defined(__ARM_FEATURE_MVE) || defined(__ARM_FP)
    SCB_CPACR |= 0xFu << 20;
    __asm volatile("dsb\n\tisb");
#endif
    SYSTICK_LOAD = RUNTIME_TICKS_MASK;
    SYSTICK_NOW = 0;
    SYSTICK_CTRL = 5u;
    end((uint32_t)main());
}

typedef union {
    const uint32_t *stack;
    void (*handler)(void);
} vector_t;

__attribute__((section(".vectors"), used)) static const vector_t vectors[16] = {
    {.stack = &stack_top}, {.handler = runtime_reset}, {.handler = fault}, {.handler = fault},
    {.handler = fault},    {.handler = fault}, {.handler = fault}, {.handler = fault},
};
