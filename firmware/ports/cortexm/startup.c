/* Reset, the core's vectors, and the memory that sections.ld lays out. */
#include "cortexm.h"

#include <stddef.h>

#include "port.h"

#define SCB_AIRCR 0xE000ED0Cu
#define SCB_CPACR 0xE000ED88u
#define AIRCR_SYSTEM_RESET 0x05FA0004u
#define CPACR_FLOATING_POINT (0xFu << 20)
#define VECTORS_OF_CORE 16u
#define COLD_BOOT_WORDS 64u

/* Below the frame of start(). */
#define STACK_FREE_BYTES 64u
#define STACK_PAINT 0xA5A5A5A5u

extern uint32_t stack_start, stack_top, data_start, data_end, bss_start, bss_end, arena_start, arena_end;
extern const uint32_t data_load;

int main(void);

/* Survives a reset; holds noise after power-on. Valid while `check` is the complement of `id`. */
static struct {
    uint32_t id;
    uint32_t check;
} boot __attribute__((section(".noinit")));

/* A warm boot counts up; a cold one starts from what the unused RAM happens to hold. */
static void count_boot(void)
{
    if (boot.check == ~boot.id) {
        boot.id += 1u;
    } else {
        const uint32_t *noise = &arena_start;
        for (uint32_t i = 0; i < COLD_BOOT_WORDS; i++) {
            boot.id = boot.id * 0x9E3779B1u + noise[i];
        }
    }
    boot.check = ~boot.id;
}

uint32_t port_boot_id(void)
{
    return boot.id * 0x9E3779B1u; /* an odd factor keeps different ids different */
}

void *port_arena(size_t *bytes)
{
    *bytes = (size_t)((uintptr_t)&arena_end - (uintptr_t)&arena_start);
    return &arena_start;
}

/* What stays painted was never used: a debugger, or QEMU's, reads the high-water mark from it. */
static void paint_stack(void)
{
    const uintptr_t end = (uintptr_t)__builtin_frame_address(0) - STACK_FREE_BYTES;
    for (volatile uint32_t *word = &stack_start; (uintptr_t)word < end; word++) {
        *word = STACK_PAINT;
    }
}

/* Apart from cortexm_reset(): the compiler may keep values in the registers enabled there. */
__attribute__((noinline, noreturn)) static void start(void)
{
    paint_stack();
    const uint32_t *from = &data_load;
    for (uint32_t *to = &data_start; to < &data_end; to++) {
        *to = *from++;
    }
    for (uint32_t *to = &bss_start; to < &bss_end; to++) {
        *to = 0;
    }
    count_boot();
    (void)main();
    *cortexm_register(SCB_AIRCR) = AIRCR_SYSTEM_RESET;
    for (;;) {
    }
}

/* Nobody gets back the registers that it would keep. */
__attribute__((noreturn)) void cortexm_reset(void)
{
#ifdef __ARM_FP
    /* Also the vector unit, which shares them. */
    *cortexm_register(SCB_CPACR) |= CPACR_FLOATING_POINT;
    __asm volatile("dsb\n\tisb" ::: "memory");
#endif
    start();
}

/* A fault means that the state can no longer be trusted. Starting again makes the host load its
 * last checkpoint: the same way out as after any other reset. */
static void cortexm_fault(void)
{
    *cortexm_register(SCB_AIRCR) = AIRCR_SYSTEM_RESET;
    for (;;) {
    }
}

static void cortexm_ignore(void)
{
}

/* The first word is the initial stack pointer, the others are addresses of handlers. */
typedef union {
    const uint32_t *stack;
    cortexm_vector_t handler;
} vector_t;

__attribute__((section(".vectors.core"), used)) static const vector_t core_vectors[] = {
    {.stack = &stack_top},       {.handler = cortexm_reset},  {.handler = cortexm_ignore},
    {.handler = cortexm_fault},  {.handler = cortexm_fault},  {.handler = cortexm_fault},
    {.handler = cortexm_fault},  {.handler = cortexm_fault},  {.handler = cortexm_fault},
    {.handler = cortexm_fault},  {.handler = cortexm_fault},  {.handler = cortexm_fault},
    {.handler = cortexm_ignore}, {.handler = cortexm_fault},  {.handler = cortexm_ignore},
    {.handler = cortexm_ignore},
};
_Static_assert(sizeof core_vectors == VECTORS_OF_CORE * sizeof(vector_t), "16 vectors of the core");
