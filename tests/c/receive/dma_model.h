/* A strict model of one DMA channel as the USART's receiver needs it. */
#ifndef DMA_MODEL_H
#define DMA_MODEL_H

#include <stdbool.h>
#include <stdint.h>

/* False: as in QEMU, registers read 0 and keep nothing. */
extern bool dma_model_there;

/* True where the address is the controller's or that of its clock. */
bool dma_model_has(uint32_t address);
uint32_t dma_model_read(uint32_t address);
void dma_model_write(uint32_t address, uint32_t value);

bool dma_model_runs(void);
/* True while the channel is enabled and set up for the USART's data register `source`. */
bool dma_model_listens(uint32_t source);
/* Stores a byte, then counts. */
void dma_model_store(uint8_t byte);

#endif
