/* The stand-in core on Arm's MPS2: UART 0 with a ring filled by its interrupt, timer 0 as clock. */
#include "Arduino.h"

#ifndef SERIAL_RX_BUFFER_SIZE
#define SERIAL_RX_BUFFER_SIZE 64
#endif

Uart Serial;

static volatile unsigned head, tail;
static volatile uint8_t ring[SERIAL_RX_BUFFER_SIZE];

/* Nothing here waits for constructors: no start-up code runs them. */
static volatile uint32_t &at(uint32_t address)
{
    return *reinterpret_cast<volatile uint32_t *>(address);
}

static const uint32_t timer_control = 0x40000000u, timer_value = 0x40000004u,
                      timer_reload = 0x40000008u;
static const uint32_t uart_data = 0x40004000u, uart_state = 0x40004004u,
                      uart_control = 0x40004008u, uart_clear = 0x4000400Cu,
                      uart_divisor = 0x40004010u, enabled_interrupts = 0xE000E100u;

extern "C" void uart_interrupt(void)
{
    at(uart_clear) = 2u;
    while ((at(uart_state) & 2u) != 0) {
        const uint8_t byte = static_cast<uint8_t>(at(uart_data));
        const unsigned next = (head + 1u) % SERIAL_RX_BUFFER_SIZE;
        if (next != tail) {
            ring[head] = byte;
            head = next;
        }
    }
}

extern "C" {
extern void (*const interrupts[])(void);
__attribute__((section(".vectors.interrupts"), used)) void (*const interrupts[])(void) = {
    uart_interrupt,
};
}

void Uart::begin(unsigned long baudrate)
{
    at(uart_divisor) = 25000000u / baudrate;
    at(uart_control) = 1u | 2u | 8u;
    const uint32_t before = at(uart_data); // what came before the receiver was ready
    (void)before;
    at(enabled_interrupts) = 1u;
}

void Uart::begin(unsigned long baudrate, uint16_t)
{
    begin(baudrate);
}

int Uart::available()
{
    return static_cast<int>((SERIAL_RX_BUFFER_SIZE + head - tail) % SERIAL_RX_BUFFER_SIZE);
}

int Uart::peek()
{
    return available() > 0 ? ring[tail] : -1;
}

int Uart::read()
{
    const int byte = peek();
    if (byte >= 0) {
        tail = (tail + 1u) % SERIAL_RX_BUFFER_SIZE;
    }
    return byte;
}

size_t Uart::write(uint8_t byte)
{
    while ((at(uart_state) & 1u) != 0) {
    }
    at(uart_data) = byte;
    return 1;
}

size_t Uart::write(const uint8_t *buffer, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        write(buffer[i]);
    }
    return size;
}

extern "C" unsigned long micros(void)
{
    return (0xFFFFFFFFu - at(timer_value)) / 25u;
}

extern "C" void __cxa_pure_virtual(void)
{
    for (;;) {
    }
}

int main()
{
    at(timer_reload) = 0xFFFFFFFFu;
    at(timer_value) = 0xFFFFFFFFu;
    at(timer_control) = 1u;
    setup();
    for (;;) {
        loop();
    }
}
