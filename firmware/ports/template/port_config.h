/* Template of a port, filled in for Arm's MPS2 board (image AN385): sizes of the link, and the
 * UART that carries it. docs/PORTING.md tells what to change. */
#ifndef PORT_CONFIG_H
#define PORT_CONFIG_H

/* Largest payload of a message: 256 at least. The frame that holds it takes as many bytes of RAM. */
#define LINK_PAYLOAD_MAX 512u

/* What can arrive while the core computes: two frames of several samples, 271 at least. */
#define PORT_RING_BYTES 1088u

#define PORT_UART 0x40004000u
#define PORT_UART_INTERRUPT 0u

#endif
