/* The run in the board's flash: kept on request, found again after a start. Only ports that
 * define PORT_STORE have it. */
#ifndef KEEP_H
#define KEEP_H

#include <stdint.h>

#include "trainer.h"

/* Keeps the run as it stands; what store_save() does. Returns a status. */
uint8_t keep_save(trainer_t *t, uint32_t *generation);

/* Keeps the run if it has done a multiple of `save_every` steps; 0: never. */
void keep_every(trainer_t *t);

/* Goes on with the newest checkpoint, if there is one and it fits. */
void keep_restore(trainer_t *t);

#endif
