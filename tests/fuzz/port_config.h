/* Fuzzed device: sizes of the link. */
#ifndef PORT_CONFIG_H
#define PORT_CONFIG_H

#define LINK_PAYLOAD_MAX 256u

#endif
