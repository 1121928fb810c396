/* What the models share: the sender at the far end of the line, and the main loop that reads. */
#ifndef FAR_END_H
#define FAR_END_H

#include <stdint.h>

/* Bytes that are to be sent, that were, and of them those that were read. */
extern uint32_t wanted_sent, sent, read_count;

void random_begin(uint32_t seed);
uint32_t random_below(uint32_t bound);

/* Ends the process with a line. */
void model_broken(const char *rule, uint32_t address, uint32_t value);

/* Reads what comes until `count` more bytes were sent and read. */
void read_all(uint32_t count);

/* Of the model: byte `index` of the sender; time in which it may send so many. */
uint8_t byte_at(uint32_t index);
void pass(uint32_t most);

#endif
