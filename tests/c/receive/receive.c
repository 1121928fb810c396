/* The receive ring and the USART's driver of the STM32, over strict models of USART and DMA.
 *
 *     receive dma|interrupt SEED
 *
 * A sender that keeps to the window sends at random moments, also between any two accesses of the
 * driver; every byte must come out once and in order, at every speed. Then one sends far more than
 * the window, and noise loses a byte: what comes later must come out again. Of too many bytes the
 * interrupt keeps the first ones. The L4's channel does not get bytes with framing errors: a row of
 * them must bring a fast line back to the speed at start, and nothing else may. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus.h"
#include "cortexm.h"
#include "dma_model.h"
#include "far_end.h"
#include "port.h"
#include "port_config.h"
#include "protocol.h"
#include "usart.h"

#define BYTES 300000u
#define CLOCK_HZ 45000000u
#define INTERRUPT (BOARD_USART == 1 ? 37u : 38u)
#ifdef STM32L4
#define SR (USART_BASE + 0x1Cu)
#define DR (USART_BASE + 0x24u)
#define TRANSMIT (USART_BASE + 0x28u)
#define BRR (USART_BASE + 0x0Cu)
#define CR1 (USART_BASE + 0x00u)
#define CR3 (USART_BASE + 0x08u)
#define ICR (USART_BASE + 0x20u)
#define UE 0x1u
#else
#define SR (USART_BASE + 0x00u)
#define DR (USART_BASE + 0x04u)
#define TRANSMIT DR
#define BRR (USART_BASE + 0x08u)
#define CR1 (USART_BASE + 0x0Cu)
#define CR3 (USART_BASE + 0x14u)
#define ICR 0u
#define UE 0x2000u
#endif
#define FE 0x02u
#define ORE 0x08u
#define RXNE 0x20u
#define TXE_TC 0xC0u
#define RE 0x04u
#define RXNEIE 0x20u
#define DMAR 0x40u
#define EIE 0x01u

extern const cortexm_vector_t __start_vectors[]; /* named by the linker */

static uint32_t divider_now, control_1, control_3, data;
static uint32_t status = TXE_TC;
static bool masked, enabled, in_handler, wild, sr_read, stuck;
static uint32_t waits;

uint8_t byte_at(uint32_t index)
{
    return (uint8_t)((index * 2654435761u) >> 24);
}

static bool wants_interrupt(void)
{
    const bool error = (control_3 & (DMAR | EIE)) == (DMAR | EIE) && (status & (ORE | FE)) != 0;
    return error || ((control_1 & RXNEIE) != 0 && (status & (RXNE | ORE)) != 0);
}

static void interrupt(void)
{
    if (!masked && enabled && wants_interrupt()) {
        in_handler = true; /* which takes less time than a byte */
        __start_vectors[INTERRUPT]();
        in_handler = false;
        if (wants_interrupt()) {
            model_broken("clears what raised the interrupt", status, control_3);
        }
    }
}

/* A byte ends on the line. An overrun that nobody clears lets nothing else come. */
static void arrive(uint8_t byte)
{
    const uint32_t on = UE | RE;
    if ((control_1 & on) != on || (status & ORE) != 0) {
        return;
    }
    if ((control_3 & DMAR) != 0) {
        if ((control_1 & RXNEIE) != 0 || !dma_model_listens(DR)) {
            model_broken("gives each byte to one receiver", control_1, control_3);
        }
        dma_model_store(byte);
        return;
    }
    if ((status & RXNE) != 0) {
        status |= ORE;
        return;
    }
    data = byte;
    status |= RXNE;
    interrupt();
}

/* Time passes: bytes of a sender come, of one that keeps to the window as many as it allows; also
 * five questions of 25 bytes where the channel would overwrite what the ring holds. */
void pass(uint32_t most)
{
    const uint32_t allowed = port_window_bytes + (dma_model_there ? 125u : 0u);
    if (in_handler) {
        return;
    }
    static uint32_t busy; /* of 16 moments: now a dense stream, now a thin one */
    if (random_below(2000) == 0) {
        busy = 1u + random_below(4) * 5u;
    }
    if (random_below(16) >= busy && !wild) {
        return;
    }
    for (uint32_t i = random_below(most + 1u); i > 0 && sent < wanted_sent; i--) {
        if (!wild && sent - read_count >= allowed) {
            return;
        }
        if (masked && (status & RXNE) != 0) {
            return; /* a byte takes longer than interrupts are masked */
        }
        arrive(byte_at(sent));
        sent++;
    }
}

void cortexm_mask_interrupts(void)
{
    masked = true;
    pass(1);
}

void cortexm_unmask_interrupts(void)
{
    masked = false;
    interrupt();
}

void cortexm_wait_for_interrupt(void)
{
    if (!masked || (control_1 & RXNEIE) == 0) {
        model_broken("sleeps where a byte wakes it", control_1, control_3);
    }
    if ((status & RXNE) == 0) {
        pass(1);
    }
}

void cortexm_enable_interrupt(uint32_t number)
{
    enabled = number == INTERRUPT;
}

uint32_t bus_read(uint32_t address)
{
    pass(2);
    if (dma_model_has(address)) {
        const uint32_t value = dma_model_read(address);
        pass(2);
        return value;
    }
    if (address == SR) {
        sr_read = true;
        waits++;
        return stuck ? status & ~TXE_TC : status;
    }
    if (ICR != 0 && (address == BRR || address == CR1 || address == CR3)) {
        return address == BRR ? divider_now : address == CR1 ? control_1 : control_3;
    }
    if (address != DR || (ICR != 0 && (control_3 & DMAR) != 0)) {
        model_broken("reads SR, and DR where that is not for the channel to do", address, 0);
    }
    status &= ~RXNE;
    if (sr_read && ICR == 0) {
        status &= ~ORE;
    }
    sr_read = false;
    return data;
}

void bus_write(uint32_t address, uint32_t value)
{
    pass(2);
    if (dma_model_has(address)) {
        dma_model_write(address, value);
    } else if (address == BRR) {
        if (ICR != 0 && (control_1 & UE) != 0) {
            model_broken("writes BRR while the USART is off", value, control_1);
        }
        divider_now = value;
    } else if (address == CR1) {
        if (ICR != 0 && (value & UE) == 0 && dma_model_runs()) {
            model_broken("turns the USART off while its channel is", value, control_1);
        }
        control_1 = value;
        if (ICR != 0 && (value & UE) == 0) {
            status = TXE_TC;
        }
    } else if (address == CR3) {
        control_3 = value;
    } else if (ICR != 0 && address == ICR) {
        status &= ~(value & (ORE | FE));
    } else if (address != TRANSMIT) {
        model_broken("writes BRR, CR1, CR3 and what is sent", address, value);
    }
}

/* Sends far more than fits, reads what is left, and goes on as after a new beginning. */
static void overflow(void)
{
    wild = true;
    wanted_sent = sent + 5u * port_window_bytes + random_below(port_window_bytes);
    while (sent < wanted_sent) {
        pass(1000);
    }
    wild = false;
    uint8_t byte;
    uint32_t left = 0;
    while (port_read(&byte, 1) != 0) {
        if (!dma_model_there && byte != byte_at(read_count + left)) {
            model_broken("drops what finds the ring full", left, byte);
        }
        left++;
    }
    if (left >= PORT_RING_BYTES || (!dma_model_there && left != PORT_RING_BYTES - 1u)) {
        model_broken("keeps a ring", left, 0);
    }
    read_count = sent;
}

static void check_speeds(void)
{
    const struct {
        uint32_t baud;
        bool good;
    } speeds[] = {{9600, false}, {115199, false}, {115200, true}, {1000000, true}, {2000000, true},
                  {CLOCK_HZ / 16u, true}, {CLOCK_HZ / 16u + 1u, false}};
    for (uint32_t i = 0; i < sizeof speeds / sizeof speeds[0]; i++) {
        if (port_has_baud(speeds[i].baud) != speeds[i].good) {
            model_broken("knows its speeds", speeds[i].baud, 0);
        }
        if (speeds[i].good) {
            port_set_baud(speeds[i].baud);
            if (divider_now != (CLOCK_HZ + speeds[i].baud / 2u) / speeds[i].baud) {
                model_broken("sets the divider", speeds[i].baud, divider_now);
            }
            read_all(5000);
        }
    }
}

/* Bytes whose stop bits do not come. */
static void damage(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        status |= FE;
        interrupt();
        if (random_below(4) == 0) {
            port_idle();
        }
    }
    port_idle();
}

/* 32 framing errors in a row, and no fewer, make a fast board slow; bytes between them forbid it. */
static void check_waking(void)
{
    const uint32_t slow = (CLOCK_HZ + 57600u) / 115200u;
    port_set_baud(1000000u);
    damage(31);
    read_all(100);
    for (uint32_t i = 0; i < 100; i++) {
        damage(1);
        read_all(2u + random_below(50));
    }
    damage(31);
    if (divider_now == slow) {
        model_broken("stays fast in noise", divider_now, 0);
    }
    damage(33);
    if (divider_now != slow) {
        model_broken("wakes from zeros", divider_now, slow);
    }
    read_all(1000);
}

/* What came at a speed stays in the ring when it is set again. */
static void check_same_speed(void)
{
    wanted_sent = sent + 100u;
    while (sent < wanted_sent) {
        pass(3);
    }
    port_set_baud(115200u);
    read_all(100);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        return 2;
    }
    dma_model_there = strcmp(argv[1], "dma") == 0;
    random_begin((uint32_t)atoi(argv[2]));
    usart_start(CLOCK_HZ);
    const bool interrupts = ICR != 0 || !dma_model_there;
    if (((control_3 & DMAR) != 0) != dma_model_there || enabled != interrupts) {
        model_broken("chooses its receiver", control_1, control_3);
    }
    read_all(BYTES);
    for (uint32_t i = 0; i < 20; i++) {
        overflow();
        read_all(3u * port_window_bytes);
    }
    check_speeds();
    port_set_baud(115200u);
    check_same_speed();
    if (ICR != 0 && dma_model_there) {
        check_waking();
    }
    status |= ORE;
    interrupt();
    port_idle();
    read_all(1000);
    port_write((const uint8_t *)"ok", 2);
    stuck = true;
    waits = 0;
    port_write((const uint8_t *)"never", 5);
    printf("%u %s\n", read_count == sent, waits > 1 && waits <= 400000u ? "gave up" : "waited");
    return 0;
}
