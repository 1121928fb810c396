/* Memory as flash, in blocks of their own: an access beyond a bank is found. */
#ifndef RAM_FLASH_H
#define RAM_FLASH_H

#include "flash.h"

/* Erases both banks, then fills them with bytes, the first bank first. */
void ram_flash_fill(const uint8_t *bytes, size_t count);

#endif
