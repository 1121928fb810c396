/* Fuzzed device: sizes of the link, of its memory and of its flash. */
#ifndef PORT_CONFIG_H
#define PORT_CONFIG_H

#define LINK_PAYLOAD_MAX 256u
#define PORT_STORE 1
#define PORT_SAMPLES 1
#define PORT_BAUD 1
#define PORT_PARTS 1

#define ARENA_BYTES 6000u
#define BANK_BYTES 4096u
#define SAMPLES_BYTES 8192u
#define SECTOR_BYTES 512u

#endif
