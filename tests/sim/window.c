/* port_window_bytes of the simulated device, set before a run: apart from port.h, where it is
 * constant. */
#include <stdint.h>

extern uint16_t port_window_bytes;
uint16_t port_window_bytes = 270;

void sim_set_window(uint16_t bytes);
void sim_set_window(uint16_t bytes)
{
    port_window_bytes = bytes;
}
