/* Arduino: sizes of the link. */
#ifndef PORT_CONFIG_H
#define PORT_CONFIG_H

#define LINK_PAYLOAD_MAX 480u

/* What Serial must be able to buffer while a step is computed. */
#define PORT_WINDOW_BYTES 511

#endif
