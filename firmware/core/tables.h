/* Function tables of NUMERICS sections 3 and 4; 518 bytes of flash. */
#ifndef TABLES_H
#define TABLES_H

#include <stdint.h>

extern const uint16_t tables_sigmoid_q15[129]; /* SG: sigmoid(i / 16) */
extern const uint16_t tables_exp2_q16[65];     /* E2: 2^(-i / 64), the first clipped to 65535 */
extern const uint16_t tables_log2_q10[65];     /* LG: log2(1 + i / 64) */

#endif
