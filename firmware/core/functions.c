#include "speed.h"
#include "functions.h"

#include "fixed.h"
#include "tables.h"

/* y = SG[i] + (((SG[i+1] - SG[i]) * f + 64) >> 7), i = m >> 7, f = m & 127.
 * Range: m <= 16383, so i <= 127; the table rises by at most 512 a step. */
static uint32_t sigmoid_positive_q15(uint32_t m_q11)
{
    const uint32_t i = m_q11 >> 7;
    const uint32_t f = m_q11 & 127u;
    const uint32_t low = tables_sigmoid_q15[i];
    return low + (((tables_sigmoid_q15[i + 1] - low) * f + 64u) >> 7);
}

static uint32_t at_most(uint32_t v, uint32_t limit)
{
    return v < limit ? v : limit;
}

/* Section 3; symmetric: sigmoid(-q) = 1 - sigmoid(q). */
int32_t functions_sigmoid_q15(int32_t q_q11)
{
    const int32_t y = (int32_t)sigmoid_positive_q15(at_most(fixed_abs(q_q11), 16383u));
    return q_q11 < 0 ? 32768 - y : y;
}

/* Section 3: tanh(q) = 2 sigmoid(2 q) - 1. Range: sigmoid is 16384..32768, y is 0..32767. */
int32_t functions_tanh_q15(int32_t q_q11)
{
    const uint32_t m = at_most(2u * fixed_abs(q_q11), 16383u);
    const int32_t y = (int32_t)at_most(2u * (sigmoid_positive_q15(m) - 16384u), 32767u);
    return q_q11 < 0 ? -y : y;
}

/* Section 4: (E2[i] - (((E2[i] - E2[i+1]) * g + 8) >> 4)) >> n; u = n.f, f = i.g.
 * Range: the table falls by at most 710 a step. */
uint32_t functions_exp2_q16(uint32_t u_q10)
{
    const uint32_t n = u_q10 >> 10;
    const uint32_t i = (u_q10 & 1023u) >> 4;
    const uint32_t g = u_q10 & 15u;
    const uint32_t high = tables_exp2_q16[i];
    return n > 16 ? 0 : (high - (((high - tables_exp2_q16[i + 1]) * g + 8u) >> 4)) >> n;
}

/* Section 4: the leading bit gives the integer part, the next 6 the place in LG, 10 more the
 * interpolation. Range: j <= 63; the table rises by at most 23 a step. */
uint32_t functions_log2_q10(uint32_t v)
{
    const uint32_t whole = (uint32_t)fixed_bits(v) - 1u;
    const uint32_t fraction = ((v << (31u - whole)) >> 15) & 0xFFFFu;
    const uint32_t j = fraction >> 10;
    const uint32_t low = tables_log2_q10[j];
    return (whole << 10) + low +
           (((tables_log2_q10[j + 1] - low) * (fraction & 1023u) + 512u) >> 10);
}
