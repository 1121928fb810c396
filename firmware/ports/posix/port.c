/* A process that is a board: the link on standard input and output, ended by end of file.
 *
 * FIXGRAD_ARENA_BYTES in the environment sets the size of the arena. */
#define _DEFAULT_SOURCE

#include "port.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "port_config.h"
#include "protocol.h"

#define ARENA_BYTES_DEFAULT (64uL * 1024u * 1024u)
#define ARENA_BYTES_MAX (1024uL * 1024u * 1024u)

const char port_board[] = "posix";
const char port_core[] = "host";
const uint16_t port_window_bytes = PORT_RING_BYTES;

/* Answers collect here and leave before the process waits: a run of an answer is often one byte. */
static uint8_t outgoing[4096];
static size_t outgoing_count;

void port_init(void)
{
}

/* Bytes have no speed here: any is as good as another. */
bool port_has_baud(uint32_t baud)
{
    return baud >= LIMIT_BAUD_AT_START;
}

void port_set_baud(uint32_t baud)
{
    (void)baud;
}

uint32_t port_boot_id(void)
{
    uint32_t id;
    if (getentropy(&id, sizeof id) != 0) {
        id = (uint32_t)time(NULL) * 65537u + (uint32_t)getpid();
    }
    return id;
}

void *port_arena(size_t *bytes)
{
    const char *text = getenv("FIXGRAD_ARENA_BYTES");
    const unsigned long wanted = text == NULL ? ARENA_BYTES_DEFAULT : strtoul(text, NULL, 10);
    *bytes = wanted < ARENA_BYTES_MAX ? wanted : ARENA_BYTES_MAX;
    void *arena = malloc(*bytes > 0 ? *bytes : 1u);
    if (arena == NULL) {
        exit(EXIT_FAILURE);
    }
    return arena;
}

/* The other end is gone when writing fails: nothing is left to do. */
static void send_outgoing(void)
{
    size_t sent = 0;
    while (sent < outgoing_count) {
        const ssize_t count = write(STDOUT_FILENO, outgoing + sent, outgoing_count - sent);
        if (count < 0 && errno != EINTR) {
            exit(EXIT_SUCCESS);
        }
        sent += count > 0 ? (size_t)count : 0u;
    }
    outgoing_count = 0;
}

void port_write(const uint8_t *bytes, size_t count)
{
    if (count > sizeof outgoing - outgoing_count) {
        send_outgoing();
    }
    memcpy(outgoing + outgoing_count, bytes, count);
    outgoing_count += count;
}

static int input_is_ready(int timeout_ms)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, timeout_ms) > 0;
}

size_t port_read(uint8_t *bytes, size_t max)
{
    static uint8_t incoming[PORT_RING_BYTES];
    static size_t start, end;
    if (start == end) {
        send_outgoing();
        if (!input_is_ready(0)) {
            return 0;
        }
        const ssize_t count = read(STDIN_FILENO, incoming, sizeof incoming);
        if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) {
            exit(EXIT_SUCCESS);
        }
        start = 0;
        end = count > 0 ? (size_t)count : 0u;
    }
    const size_t taken = end - start < max ? end - start : max;
    memcpy(bytes, incoming + start, taken);
    start += taken;
    return taken;
}

void port_idle(void)
{
    (void)input_is_ready(-1);
}
