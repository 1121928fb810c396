/* What a port gives the core: bytes and rest. One folder a chip family implements it. */
#ifndef PORT_H
#define PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Brings up clock and UART. Every hardware wait inside is bounded. */
void port_init(void);

/* Names told in HELLO_ACK: the PlatformIO board id, and the core ("cortex-m3"). */
extern const char port_board[];
extern const char port_core[];

/* A number that differs from the one of the boot before. */
uint32_t port_boot_id(void);

/* Memory for the model and its batch: everything that the image itself leaves free. 8-aligned. */
void *port_arena(size_t *bytes);

/* Bytes the port can buffer while the core computes: told to the host as its window. */
extern const uint16_t port_window_bytes;

/* Takes up to `max` received bytes; returns how many. Never blocks. */
size_t port_read(uint8_t *bytes, size_t max);

/* Sends all bytes; returns when they are handed to the hardware or the bounded wait ran out. */
void port_write(const uint8_t *bytes, size_t count);

/* In ports that define PORT_BAUD: whether the line can run at `baud`, not slower than at start. */
bool port_has_baud(uint32_t baud);

/* There: lets all bytes written leave, then runs the line at `baud`, which port_has_baud() allows. */
void port_set_baud(uint32_t baud);

/* In images built with -DPROFILE: the core's clock, counted modulo 2^24 at least. */
#define PORT_TICKS_MASK 0xFFFFFFu
uint32_t port_ticks(void);

/* Sleeps until a byte arrives; returns at once if one is waiting. */
void port_idle(void);

#endif
