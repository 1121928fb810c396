/* The bare port: sizes of the link as on the smallest board, one speed, no store. */
#ifndef PORT_CONFIG_H
#define PORT_CONFIG_H

#define LINK_PAYLOAD_MAX 256u
#define PORT_RING_BYTES 432u

#endif
