/* The payload of a checkpoint in the board's flash: a head with the bytes of the three regions,
 * then STATE, MODEL and DATASET. */
#ifndef KEPT_H
#define KEPT_H

#define KEPT_AT_STATE 0u
#define KEPT_AT_MODEL 4u
#define KEPT_AT_DATASET 8u
#define KEPT_HEAD_BYTES 12u

#endif
