#ifndef BANKS_H
#define BANKS_H

#include "flash.h"

/* Address of an area's first cell. */
uint32_t banks_address(uint32_t area);

#endif
