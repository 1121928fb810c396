#ifndef BANKS_H
#define BANKS_H

#include "flash.h"

/* Address of a bank's first cell. */
uint32_t banks_address(uint32_t bank);

#endif
