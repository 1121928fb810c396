/* Stand-in for an Arduino core: what the library uses of the official API (Print, Stream,
 * HardwareSerial, micros), declared as there, and nothing else. */
#ifndef Arduino_h
#define Arduino_h

#include <stddef.h>
#include <stdint.h>

namespace arduino {

class Print {
public:
    virtual size_t write(uint8_t byte) = 0;
    virtual size_t write(const uint8_t *buffer, size_t size) = 0;
    virtual int availableForWrite() { return 0; }
    virtual void flush() {}
};

class Stream : public Print {
public:
    virtual int available() = 0;
    virtual int read() = 0;
    virtual int peek() = 0;
};

class HardwareSerial : public Stream {
public:
    virtual void begin(unsigned long baudrate) = 0;
    virtual void begin(unsigned long baudrate, uint16_t config) = 0;
    virtual void end() = 0;
    virtual operator bool() = 0;
};

} // namespace arduino

using namespace arduino;

extern "C" unsigned long micros(void);

void setup();
void loop();

/* Receives into a ring of SERIAL_RX_BUFFER_SIZE bytes and drops what finds it full. */
class Uart : public HardwareSerial {
public:
    void begin(unsigned long baudrate) override;
    void begin(unsigned long baudrate, uint16_t config) override;
    void end() override {}
    int available() override;
    int read() override;
    int peek() override;
    size_t write(uint8_t byte) override;
    size_t write(const uint8_t *buffer, size_t size) override;
    operator bool() override { return true; }
};

extern Uart Serial;

#endif
