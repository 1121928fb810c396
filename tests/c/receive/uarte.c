/* The receive ring and the UARTE's driver of the nRF52, over a strict model of the UARTE.
 *
 *     uarte SEED
 *
 * Time passes, and bytes arrive, before every access of the driver to a register and, by the
 * compiler's instrumentation, to the ring. A byte waits in the receiver's FIFO before EasyDMA stores
 * it; the interrupt is often late by less than a part takes. Every byte of a sender that keeps to the
 * window must come out once and in order, though most have the very value that marks a free place.
 * Then one sends far more, and the interrupt is late by whole parts: what comes a part later must come
 * out again. Bytes with framing errors are not stored; only a row of them makes a fast line slow.
 *
 * Addresses and bits: nRF52832 Product Specification, UARTE. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus.h"
#include "cortexm.h"
#include "far_end.h"
#include "port.h"
#include "port_config.h"
#include "uarte.h"

#define BYTES 291000u /* whole frames of 97, the last byte zero */
#define FRAME 97u
#define ASKED 125u /* five questions, beyond the window */
#define INTERRUPT 2u
#define STARTRX 0x40002000u
#define STARTTX 0x40002008u
#define STOPTX 0x4000200Cu
#define ENDRX 0x40002110u
#define ENDTX 0x40002120u
#define ERROR 0x40002124u
#define RXSTARTED 0x4000214Cu
#define TXSTOPPED 0x40002158u
#define SHORTS 0x40002200u
#define INTENSET 0x40002304u
#define ERRORSRC 0x40002480u
#define ENABLE 0x40002500u
#define BAUDRATE 0x40002524u
#define RXD_PTR 0x40002534u
#define RXD_MAXCNT 0x40002538u
#define TXD_PTR 0x40002544u
#define TXD_MAXCNT 0x40002548u
#define CONFIG 0x4000256Cu
#define FIFO_BYTES 6u
#define FRAMING 4u
#define BREAK 8u

extern const cortexm_vector_t __start_vectors[]; /* named by the linker */

static uint32_t registers[0x600 / 4]; /* from 0x40002000 */
static uint32_t in_fifo, stored, room, transmitted, waits;
static uint32_t ending, stopping;
static uint8_t fifo[FIFO_BYTES], wire[1024];
static uint8_t *memory;
static bool enabled, in_handler, in_model, wild, held, stuck;
static uint32_t late, handler_bytes;

static uint32_t *reg(uint32_t address)
{
    return &registers[(address - STARTRX) / 4u];
}

uint8_t byte_at(uint32_t index)
{
    const uint32_t mixed = (index * 2654435761u) >> 16;
    if (index % FRAME == FRAME - 1u) {
        return 0;
    }
    const bool marks = (index / 500u) % 2u == 0 || mixed % 4u == 0;
    return marks ? 0xB6u : (uint8_t)(1u + (mixed >> 8) % 255u);
}

static void interrupt(void)
{
    if (in_handler || held || late > 0 || !enabled) {
        return;
    }
    const uint32_t mask = *reg(INTENSET);
    for (uint32_t runs = 0; ((mask >> 19) & *reg(RXSTARTED)) != 0 || ((mask >> 9) & *reg(ERROR)) != 0;
         runs++) {
        if (runs > 3u) {
            model_broken("clears what raised the interrupt", mask, *reg(ERROR));
        }
        const bool was_in_model = in_model;
        in_handler = true;
        handler_bytes = 4; /* less than a part comes while it runs */
        in_model = false;
        __start_vectors[INTERRUPT]();
        in_model = was_in_model;
        in_handler = false;
    }
}

static void begin_reception(void)
{
    if (*reg(ENABLE) != 8u || *reg(RXD_PTR) == 0 || *reg(RXD_MAXCNT) - 1u >= 255u) {
        model_broken("receives into a buffer of 1 to 255 bytes", *reg(RXD_PTR), *reg(RXD_MAXCNT));
    }
    memory = (uint8_t *)(uintptr_t)*reg(RXD_PTR);
    room = *reg(RXD_MAXCNT);
    stored = 0;
    *reg(RXSTARTED) = 1u;
    late = random_below(8) == 0 ? random_below(PORT_DMA_PART_BYTES - FIFO_BYTES - 8u) : 0;
}

static void store(uint32_t count)
{
    for (; count > 0 && in_fifo > 0 && room > 0; count--) {
        memory[stored++] = fifo[0];
        in_fifo--;
        memmove(fifo, fifo + 1, in_fifo);
        if (stored == room) {
            *reg(ENDRX) = 1u;
            room = 0;
            if ((*reg(SHORTS) & 0x20u) != 0) {
                begin_reception();
            }
        }
    }
}

static void arrive(uint8_t byte)
{
    if (in_fifo == FIFO_BYTES - 2u) {
        store(1); /* EasyDMA waits no longer */
    }
    if (in_fifo == FIFO_BYTES) {
        return;
    }
    fifo[in_fifo++] = byte;
    late -= late > 0;
}

/* Time passes: bytes come, of a sender that keeps to the window as many as it allows. */
void pass(uint32_t most)
{
    static uint32_t busy;
    if (in_model) {
        return;
    }
    in_model = true;
    if (random_below(5000) == 0) {
        busy = 1u + random_below(4) * 5u;
    }
    uint32_t count = wild || random_below(16) < busy ? random_below(most + 1u) : 0;
    for (; count > 0 && sent < wanted_sent; count--) {
        if (!wild && sent - read_count >= port_window_bytes + ASKED) {
            break;
        }
        if (in_handler && handler_bytes-- == 0) {
            handler_bytes = 0;
            break;
        }
        arrive(byte_at(sent));
        sent++;
        interrupt();
    }
    store(random_below(3));
    late -= late > 0 && random_below(8) == 0;
    interrupt();
    in_model = false;
}

/* Of volatile memory, which is the ring and its indices; the compiler puts them before each access. */
void __tsan_volatile_read1(const void *address);
void __tsan_volatile_read2(const void *address);
void __tsan_volatile_write1(const void *address);
void __tsan_volatile_write2(const void *address);
#define MOMENT(name)                  \
    void name(const void *address)    \
    {                                 \
        (void)address;                \
        if (random_below(4) == 0) {   \
            pass(1);                  \
        }                             \
    }
MOMENT(__tsan_volatile_read1)
MOMENT(__tsan_volatile_read2)
MOMENT(__tsan_volatile_write1)
MOMENT(__tsan_volatile_write2)

/* Of other memory: nothing to do. */
#define NOTHING(name)              \
    void name(const void *address); \
    void name(const void *address)  \
    {                              \
        (void)address;             \
    }
NOTHING(__tsan_read1)
NOTHING(__tsan_read2)
NOTHING(__tsan_read4)
NOTHING(__tsan_read8)
NOTHING(__tsan_write1)
NOTHING(__tsan_write2)
NOTHING(__tsan_write4)
NOTHING(__tsan_write8)
void __tsan_init(void);
void __tsan_init(void)
{
}

void cortexm_mask_interrupts(void)
{
    model_broken("masks no interrupts", 0, 0);
}

void cortexm_unmask_interrupts(void)
{
}

void cortexm_wait_for_interrupt(void)
{
}

void cortexm_clear_overrun(void)
{
}

void cortexm_enable_interrupt(uint32_t number)
{
    enabled = number == INTERRUPT;
}

uint32_t bus_read(uint32_t address)
{
    pass(2);
    if (address == ENDTX || address == TXSTOPPED) {
        waits++;
        uint32_t *left = address == ENDTX ? &ending : &stopping;
        if (*left > 0 && !stuck && --*left == 0) {
            *reg(address) = 1u;
        }
    } else if (address != ERROR && address != RXSTARTED && address != ERRORSRC &&
               address != BAUDRATE) {
        model_broken("reads events, ERRORSRC and BAUDRATE", address, 0);
    }
    return *reg(address);
}

static void transmit(void)
{
    const uint8_t *bytes = (const uint8_t *)(uintptr_t)*reg(TXD_PTR);
    const uint32_t count = *reg(TXD_MAXCNT);
    if (*reg(ENABLE) != 8u || count - 1u >= 255u || ending != 0 || transmitted + count > sizeof wire) {
        model_broken("sends 1 to 255 bytes when the last ones left", *reg(TXD_PTR), count);
    }
    memcpy(wire + transmitted, bytes, count);
    transmitted += count;
    ending = 1u + random_below(20);
}

void bus_write(uint32_t address, uint32_t value)
{
    pass(2);
    if (address >= 0x40002100u && address < 0x40002200u) {
        if (value != 0) {
            model_broken("clears events", address, value);
        }
        *reg(address) = 0;
    } else if (address == ERRORSRC) {
        *reg(address) &= ~value;
    } else if (address == STARTRX) {
        begin_reception();
        interrupt();
    } else if (address == STARTTX) {
        transmit();
    } else if (address == STOPTX) {
        if (ending != 0) {
            model_broken("stops the transmitter behind the last byte", address, ending);
        }
        stopping = 1u + random_below(20);
    } else if (address == BAUDRATE && *reg(ENABLE) != 0 && (ending != 0 || *reg(TXSTOPPED) == 0)) {
        model_broken("changes the speed when all bytes have left", address, value);
    } else {
        const uint32_t others[] = {SHORTS,     INTENSET, ENABLE,    BAUDRATE, RXD_PTR,
                                   RXD_MAXCNT, TXD_PTR,  TXD_MAXCNT, CONFIG};
        bool known = false;
        for (uint32_t i = 0; i < sizeof others / sizeof others[0]; i++) {
            known = known || others[i] == address;
        }
        if (!known) {
            model_broken("writes registers of its own", address, value);
        }
        *reg(address) = value;
    }
}

/* All that was sent is stored, and all interrupts are done. */
static void settle(void)
{
    in_model = true;
    late = 0;
    store(FIFO_BYTES);
    late = 0;
    interrupt();
    in_model = false;
}

static void send_wildly(uint32_t frames)
{
    wild = true;
    wanted_sent = sent + FRAME * frames;
    while (sent < wanted_sent) {
        pass(20);
    }
    wild = false;
}

/* Reads what is left of bytes that nobody expects. */
static void drain(void)
{
    settle();
    uint8_t byte;
    for (uint32_t left = 0; port_read(&byte, 1) != 0; left++) {
        if (left > 2u * PORT_RING_BYTES) {
            model_broken("keeps a ring", left, 0);
        }
    }
    read_count = sent;
}

static void check_overflow(void)
{
    send_wildly(200u + random_below(100));
    drain();
    read_all(3u * FRAME * 40u);
}

static void check_late_interrupt(void)
{
    held = true;
    send_wildly(1u + random_below(5));
    held = false;
    drain();
    send_wildly(2); /* two parts and more */
    drain();
    read_all(FRAME * 40u);
}

static void check_speeds(void)
{
    const struct {
        uint32_t baud, value; /* 0: refused */
    } speeds[] = {{9600, 0},          {115200, 0x01D60000}, {230400, 0x03B00000},
                  {250000, 0x04000000}, {460800, 0x07400000}, {921600, 0},
                  {1000000, 0x10000000}, {1000001, 0},      {2000000, 0}};
    for (uint32_t i = 0; i < sizeof speeds / sizeof speeds[0]; i++) {
        if (port_has_baud(speeds[i].baud) != (speeds[i].value != 0)) {
            model_broken("knows its speeds", speeds[i].baud, 0);
        }
        if (speeds[i].value != 0) {
            port_write((const uint8_t *)"x", 1);
            port_set_baud(speeds[i].baud);
            if (*reg(BAUDRATE) != speeds[i].value) {
                model_broken("sets the speed", speeds[i].baud, *reg(BAUDRATE));
            }
            read_all(FRAME * 50u);
        }
        transmitted = 0;
    }
}

/* Bytes whose stop bits do not come, each followed by `stray` bytes that the receiver takes for whole
 * ones, and by the break that the long zero is. */
static void damage(uint32_t count, uint32_t stray)
{
    for (uint32_t i = 0; i < count; i++) {
        in_model = true;
        *reg(ERRORSRC) |= FRAMING;
        *reg(ERROR) = 1u;
        late = 0;
        interrupt();
        *reg(ERRORSRC) |= BREAK;
        *reg(ERROR) = 1u;
        interrupt();
        for (uint32_t j = 0; j < stray; j++) {
            arrive(0x80);
        }
        in_model = false;
        settle();
        if (random_below(4) == 0) {
            port_idle();
        }
    }
    port_idle();
}

static void check_waking(uint32_t stray)
{
    const uint32_t slow = 0x01D60000u;
    port_write((const uint8_t *)"x", 1);
    port_set_baud(1000000u);
    damage(31, stray);
    drain();
    read_all(FRAME);
    for (uint32_t i = 0; i < 100; i++) {
        damage(1, stray);
        drain();
        read_all(FRAME);
    }
    damage(40, 2); /* more comes than fails */
    drain();
    if (*reg(BAUDRATE) == slow) {
        model_broken("stays fast in noise", 0, 0);
    }
    damage(64, stray);
    if (*reg(BAUDRATE) != slow) {
        model_broken("wakes from zeros", 0, *reg(BAUDRATE));
    }
    drain();
    read_all(FRAME * 20u);
    transmitted = 0;
}

static void check_transmission(void)
{
    static const uint8_t constants[300] = {1, 2, 3, [63] = 4, [64] = 5, [255] = 6, [299] = 7};
    for (uint32_t i = 0; i < 20; i++) {
        const uint32_t count = i == 0 ? 300u : 1u + random_below(300);
        transmitted = 0;
        port_write(constants, count);
        if (transmitted != count || memcmp(wire, constants, count) != 0) {
            model_broken("sends what it is given", transmitted, count);
        }
    }
    stuck = true;
    waits = 0;
    port_write(constants, 300);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        return 2;
    }
    random_begin((uint32_t)atoi(argv[1]));
    uarte_start();
    if (!enabled || *reg(CONFIG) != 0 || *reg(BAUDRATE) != 0x01D60000u) {
        model_broken("starts at 115,200 baud", *reg(CONFIG), *reg(BAUDRATE));
    }
    read_all(BYTES);
    for (uint32_t i = 0; i < 20; i++) {
        check_overflow();
        check_late_interrupt();
    }
    check_speeds();
    check_waking(0);
    check_waking(1);
    check_transmission();
    printf("%u %s\n", read_count == sent, waits > 1 && waits <= 400000u ? "gave up" : "waited");
    return 0;
}
