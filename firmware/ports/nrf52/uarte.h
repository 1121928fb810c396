/* nRF52: UART 0 with EasyDMA, as the link's byte port. */
#ifndef UARTE_H
#define UARTE_H

/* Starts it at the speed at start with 8 data bits, no parity, one stop bit; its pins are set. */
void uarte_start(void);

#endif
