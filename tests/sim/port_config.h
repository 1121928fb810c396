/* Simulated device: the smallest payloads that docs/PROTOCOL.md allows. */
#ifndef PORT_CONFIG_H
#define PORT_CONFIG_H

#define LINK_PAYLOAD_MAX 256u

#endif
