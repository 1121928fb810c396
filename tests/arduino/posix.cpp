/* The stand-in core as a process: Serial on standard input and output, ended by end of file. */
#include "Arduino.h"

#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

Uart Serial;

static int waiting = -1;

static bool is_ready(int timeout_ms)
{
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    return poll(&input, 1, timeout_ms) > 0;
}

void Uart::begin(unsigned long)
{
}

void Uart::begin(unsigned long, uint16_t)
{
}

int Uart::peek()
{
    uint8_t byte;
    if (waiting < 0 && is_ready(0)) {
        if (::read(STDIN_FILENO, &byte, 1) != 1) {
            exit(EXIT_SUCCESS);
        }
        waiting = byte;
    }
    return waiting;
}

int Uart::available()
{
    return peek() < 0 ? 0 : 1;
}

int Uart::read()
{
    const int byte = peek();
    waiting = -1;
    return byte;
}

size_t Uart::write(uint8_t byte)
{
    return write(&byte, 1);
}

/* Takes 7 bytes at most, as a port may. */
size_t Uart::write(const uint8_t *buffer, size_t size)
{
    const ssize_t sent = ::write(STDOUT_FILENO, buffer, size < 7 ? size : 7);
    return sent > 0 ? static_cast<size_t>(sent) : 0;
}

extern "C" unsigned long micros(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<unsigned long>(now.tv_sec) * 1000000u +
           static_cast<unsigned long>(now.tv_nsec) / 1000u;
}

int main()
{
    setup();
    for (;;) {
        loop();
        if (waiting < 0) {
            (void)is_ready(1);
        }
    }
}
