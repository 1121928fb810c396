/* Arduino: the sketch's serial port. The core is reached by relative paths: its headers stay out
 * of the sketch's way. */
#include "../../core/port.h"

#include <stdbool.h>
#include <string.h>

#include "../../core/link.h"
#include "port_config.h"
#include "fixgrad_stream.h"

const char port_board[] = "arduino";
const uint16_t port_window_bytes = PORT_WINDOW_BYTES;

/* Cores of one instruction set cannot be told apart here: 7E-M is the Cortex-M7's, too. */
#if defined(__ARM_ARCH_6M__)
const char port_core[] = "cortex-m0";
#elif defined(__ARM_ARCH_7M__)
const char port_core[] = "cortex-m3";
#elif defined(__ARM_ARCH_7EM__)
const char port_core[] = "cortex-m4";
#elif defined(__ARM_ARCH_8M_BASE__)
const char port_core[] = "cortex-m23";
#elif defined(__ARM_ARCH_8M_MAIN__)
const char port_core[] = "cortex-m33";
#elif defined(__ARM_ARCH_8_1M_MAIN__)
const char port_core[] = "cortex-m55";
#else
const char port_core[] = "other";
#endif

static link_t host_link;
static bool linked;
static void *arena;
static size_t arena_bytes;

/* Answers collect here and leave together: a run of an answer is often one byte, and a port over
 * USB may spend a packet on every call. */
static uint8_t outgoing[64];
static size_t outgoing_count;

static void send_outgoing(void)
{
    fixgrad_stream_write(outgoing, outgoing_count);
    outgoing_count = 0;
}

void port_write(const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        const size_t room = sizeof outgoing - outgoing_count;
        const size_t here = count < room ? count : room;
        memcpy(outgoing + outgoing_count, bytes, here);
        outgoing_count += here;
        bytes += here;
        count -= here;
        if (outgoing_count == sizeof outgoing) {
            send_outgoing();
        }
    }
}

void fixgrad_port_begin(void *memory, size_t bytes)
{
    arena = memory;
    arena_bytes = bytes;
    linked = false;
}

void fixgrad_port_work(void)
{
    uint8_t bytes[64];
    const size_t count = fixgrad_stream_read(bytes, sizeof bytes);
    if (!linked) {
        if (count == 0) {
            return;
        }
        /* Not every core keeps memory over a reset, but the host's first byte hardly ever comes at
         * the same microsecond again. An odd factor keeps different times different. */
        link_init(&host_link, fixgrad_stream_micros() * 0x9E3779B1u, arena, arena_bytes);
        linked = true;
    }
    link_receive(&host_link, bytes, count);
    (void)link_work(&host_link);
    send_outgoing();
}
