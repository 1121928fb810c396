/* What HELLO_ACK tells of the board. The build defines both macros from the board's manifest. */
#include "port.h"

const char port_board[] = PORT_BOARD;
const char port_core[] = PORT_CORE;
