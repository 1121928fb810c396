/* Simulated device: the smallest payloads that docs/PROTOCOL.md allows, a store, and room for
 * samples in the flash. */
#ifndef PORT_CONFIG_H
#define PORT_CONFIG_H

#define LINK_PAYLOAD_MAX 256u
#define PORT_STORE 1
#define PORT_SAMPLES 1
#define PORT_BAUD 1
#define PORT_PARTS 1

#endif
