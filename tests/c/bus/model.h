/* What the models of the controllers share: the cells, the time an operation takes, rules. */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stdint.h>

/* Of the controller: where the store lies, two banks of so many bytes, and the erase unit; where the
 * samples' seal and its samples lie, so many bytes. */
extern const uint32_t model_address, model_bank_bytes, model_sector_bytes;
extern const uint32_t model_seal_address, model_seal_bytes, model_samples_address,
    model_samples_bytes;

void model_write(uint32_t address, uint32_t value, uint32_t bytes);
uint32_t model_read(uint32_t address);
/* True where nothing is left open: locked, or back to reading. */
bool model_is_closed(void);

/* Ends the process with a line. */
void model_broken(const char *rule, uint32_t address, uint32_t value);

/* One of two keys is written, in order, while locked: true where it is the second, which unlocks. */
bool model_unlocks(uint32_t key, bool locked);

/* Starts an operation; true while one goes on: each call takes a little time. */
void model_start(void);
bool model_busy(void);
bool model_in_operation(void);
/* True where operations never end. */
bool model_is_stuck(void);

/* False and nothing done where a cell is not blank. */
bool model_program(uint32_t address, uint32_t value, uint32_t bytes);
/* False and nothing done where the sector is protected. */
bool model_erase(uint32_t address);
/* From now on reading sees the cells as they are. */
void model_see(void);

#endif
