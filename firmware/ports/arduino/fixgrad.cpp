#include "fixgrad.h"

#include "port_config.h"
#include "fixgrad_stream.h"

/* With USBCON the board's Serial is its own USB. */
#if !defined(USBCON)
#if defined(SERIAL_RX_BUFFER_SIZE) && SERIAL_RX_BUFFER_SIZE <= PORT_WINDOW_BYTES
#warning "a UART loses bytes while fixgrad computes: build with -DSERIAL_RX_BUFFER_SIZE=512"
#elif defined(SERIAL_BUFFER_SIZE) && SERIAL_BUFFER_SIZE <= PORT_WINDOW_BYTES
#warning "a UART loses bytes while fixgrad computes: its receive buffer is shorter than 512 bytes"
#endif
#endif

static Stream *stream;

void fixgrad_begin(Stream &serial, void *arena, size_t bytes)
{
    stream = &serial;
    fixgrad_port_begin(arena, bytes);
}

void fixgrad_work()
{
    fixgrad_port_work();
}

/* Stream::readBytes() waits for bytes that may not come. */
size_t fixgrad_stream_read(uint8_t *bytes, size_t max)
{
    size_t count = 0;
    while (count < max && stream->available() > 0) {
        bytes[count++] = static_cast<uint8_t>(stream->read());
    }
    return count;
}

void fixgrad_stream_write(const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        const size_t sent = stream->write(bytes, count);
        if (sent == 0 || sent > count) {
            return;
        }
        bytes += sent;
        count -= sent;
    }
}

uint32_t fixgrad_stream_micros(void)
{
    return static_cast<uint32_t>(micros());
}
