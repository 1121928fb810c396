/* The sketch's serial port and clock, for C. */
#ifndef FIXGRAD_STREAM_H
#define FIXGRAD_STREAM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Takes up to `max` received bytes; returns how many. Never blocks. */
size_t fixgrad_stream_read(uint8_t *bytes, size_t max);

/* Sends all bytes, or as many as the port takes before it refuses. */
void fixgrad_stream_write(const uint8_t *bytes, size_t count);

uint32_t fixgrad_stream_micros(void);

/* Starts on an arena, and does what fixgrad_work() tells. */
void fixgrad_port_begin(void *arena, size_t bytes);
void fixgrad_port_work(void);

#ifdef __cplusplus
}
#endif

#endif
