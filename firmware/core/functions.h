/* Sigmoid, tanh, 2^-x and log2 by table and interpolation. NUMERICS sections 3 and 4. */
#ifndef FUNCTIONS_H
#define FUNCTIONS_H

#include <stdint.h>

/* Q11 in, |q| <= 32767; Q15 out, 0..32768. */
int32_t functions_sigmoid_q15(int32_t q_q11);

/* Q11 in, |q| <= 32767; Q15 out, |y| <= 32767. */
int32_t functions_tanh_q15(int32_t q_q11);

/* 2^-u: Q10 in, any; Q16 out, 0..65535. */
uint32_t functions_exp2_q16(uint32_t u_q10);

/* log2(v), v >= 1, in Q10. */
uint32_t functions_log2_q10(uint32_t v);

#endif
