/* nRF52832 Product Specification, chapter UARTE; nRF52833 and nRF52840 have the same registers.
 *
 * EasyDMA fills the ring by parts: at the end of one it begins the next at once, and interrupts to be
 * told the one after that. Its counter of bytes is only right at a part's end, and the event of a byte
 * comes before the byte is stored. So every part is filled with one value before EasyDMA gets it, and
 * the last other value in the part tells how far it came. Bytes of that value at the end of what came
 * are seen with the byte behind them, at last with the zero that ends their frame. */
#include "uarte.h"

#include "bus.h"
#include "cortexm.h"
#include "dma.h"
#include "port.h"
#include "port_config.h"
#include "protocol.h"

#define TASKS_STARTRX 0x40002000u
#define TASKS_STARTTX 0x40002008u
#define TASKS_STOPTX 0x4000200Cu
#define EVENTS_ENDTX 0x40002120u
#define EVENTS_ERROR 0x40002124u
#define EVENTS_RXSTARTED 0x4000214Cu
#define EVENTS_TXSTOPPED 0x40002158u
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
#define INTERRUPT 2u

#define SHORTS_ENDRX_STARTRX (1u << 5)
#define INTEN_ERROR (1u << 9)
#define INTEN_RXSTARTED (1u << 19)
#define ERRORSRC_FRAMING (1u << 2)
#define ENABLE_UARTE 8u
#define CONFIG_NO_PARITY_NO_FLOW_CONTROL 0u

/* Not zero, which ends a frame. */
#define BLANK 0xB6u

/* EasyDMA sends from RAM only; what is sent may be a constant. */
#define PIECE_BYTES 64u
/* More than a piece takes at the slowest speed. */
#define TRANSMIT_TRIES 400000u

_Static_assert(PORT_DMA_PART_BYTES <= 255u, "the nRF52832 counts to 255");
_Static_assert(PORT_RING_BYTES % PORT_DMA_PART_BYTES == 0, "the ring has whole parts");

/* Those that the chip meets within 2 %: its 921,600 baud are 941,176, and it has none above 1 Mbaud. */
static const struct {
    uint32_t baud;
    uint32_t value;
} speeds[] = {
    {LIMIT_BAUD_AT_START, 0x01D60000u}, {230400u, 0x03B00000u},  {250000u, 0x04000000u},
    {460800u, 0x07400000u},             {1000000u, 0x10000000u},
};

static volatile uint8_t *parts;
/* Where in the ring the part begins that is filled, and the one that is filled next. */
static volatile uint16_t filled, next;

/* Gives EasyDMA the part for the next start. */
static void offer(uint32_t at)
{
    for (uint32_t i = 0; i < PORT_DMA_PART_BYTES; i++) {
        parts[at + i] = BLANK;
    }
    next = (uint16_t)at;
    bus_write(RXD_PTR, (uint32_t)(uintptr_t)(parts + at));
}

bool dma_start(uint32_t source, volatile uint8_t *ring, uint32_t ring_bytes)
{
    (void)source;
    (void)ring_bytes;
    parts = ring;
    offer(0);
    bus_write(RXD_MAXCNT, PORT_DMA_PART_BYTES);
    bus_write(SHORTS, SHORTS_ENDRX_STARTRX);
    bus_write(INTENSET, INTEN_RXSTARTED | INTEN_ERROR);
    bus_write(TASKS_STARTRX, 1u);
    return true;
}

uint32_t dma_left(void)
{
    const uint32_t at = filled;
    uint32_t stored = PORT_DMA_PART_BYTES;
    while (stored > 0 && parts[at + stored - 1u] == BLANK) {
        stored--;
    }
    return PORT_RING_BYTES - at - stored;
}

/* A part that begins while this waits for longer than a part takes is missed or taken twice: its bytes
 * are lost, the next one is in its place again. */
static void uarte_interrupt(void)
{
    if (bus_read(EVENTS_RXSTARTED) != 0) {
        bus_write(EVENTS_RXSTARTED, 0u);
        filled = next;
        offer((next + PORT_DMA_PART_BYTES) % PORT_RING_BYTES);
    }
    if (bus_read(EVENTS_ERROR) != 0) {
        bus_write(EVENTS_ERROR, 0u);
        const uint32_t errors = bus_read(ERRORSRC);
        bus_write(ERRORSRC, errors);
        if ((errors & ERRORSRC_FRAMING) != 0) {
            cortexm_framing_error();
        }
    }
}

/* No other interrupt is ever enabled. */
CORTEXM_INTERRUPTS static const cortexm_vector_t interrupts[INTERRUPT + 1u] = {
    [INTERRUPT] = uarte_interrupt,
};

/* The register's value for a speed; 0: not to be had. */
static uint32_t value_of(uint32_t baud)
{
    for (uint32_t i = 0; i < sizeof speeds / sizeof speeds[0]; i++) {
        if (speeds[i].baud == baud) {
            return speeds[i].value;
        }
    }
    return 0;
}

void uarte_start(void)
{
    bus_write(BAUDRATE, value_of(LIMIT_BAUD_AT_START));
    bus_write(CONFIG, CONFIG_NO_PARITY_NO_FLOW_CONTROL);
    bus_write(ENABLE, ENABLE_UARTE);
    cortexm_enable_interrupt(INTERRUPT);
    (void)cortexm_receive_by_dma(0);
}

static bool await(uint32_t event)
{
    for (uint32_t i = 0; i < TRANSMIT_TRIES; i++) {
        if (bus_read(event) != 0) {
            return true;
        }
    }
    return false;
}

bool port_has_baud(uint32_t baud)
{
    return value_of(baud) != 0;
}

/* The last byte has left once the transmitter says that it stopped; the next piece starts it again.
 * Reception goes on: a byte that comes meanwhile is damaged. */
void port_set_baud(uint32_t baud)
{
    if (bus_read(BAUDRATE) == value_of(baud)) {
        return; /* a transmitter that was stopped before may not say so again */
    }
    bus_write(EVENTS_TXSTOPPED, 0u);
    bus_write(TASKS_STOPTX, 1u);
    (void)await(EVENTS_TXSTOPPED);
    bus_write(BAUDRATE, value_of(baud));
}

void port_write(const uint8_t *bytes, size_t count)
{
    static volatile uint8_t piece[PIECE_BYTES];
    while (count > 0) {
        const size_t size = count < PIECE_BYTES ? count : PIECE_BYTES;
        for (size_t i = 0; i < size; i++) {
            piece[i] = bytes[i];
        }
        bus_write(EVENTS_ENDTX, 0u);
        bus_write(TXD_PTR, (uint32_t)(uintptr_t)piece);
        bus_write(TXD_MAXCNT, (uint32_t)size);
        bus_write(TASKS_STARTTX, 1u);
        if (!await(EVENTS_ENDTX)) {
            return;
        }
        bytes += size;
        count -= size;
    }
}
