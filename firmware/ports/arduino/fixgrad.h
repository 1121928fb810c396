/* fixgrad as an Arduino library: trains a small network on this board with samples from the host.
 *
 *     fixgrad train RUN.toml --port PORT
 *
 * While a step is computed the serial port must be able to buffer 511 bytes. One over the board's
 * own USB lets the host wait instead; a UART needs a receive buffer of 512 bytes, which most cores
 * can be given (docs/PORTING.md). */
#ifndef FIXGRAD_H
#define FIXGRAD_H

#include <Arduino.h>

/* Talks through `serial`, which the sketch has begun. `arena` is 8-aligned and holds the model and
 * its batch: `fixgrad plan RUN.toml` tells how many bytes a run needs. */
void fixgrad_begin(Stream &serial, void *arena, size_t bytes);

/* Handles what has arrived, 64 bytes at most. To be called from loop(), as often as possible:
 * it returns at once if there is nothing to do. */
void fixgrad_work();

#endif
