/* Division where the core has none: the library's takes seven times the flash, and no step of a
 * training run divides. */
#include <stdint.h>

#ifdef __ARM_ARCH_6M__
uint64_t __aeabi_uidivmod(uint32_t numerator, uint32_t denominator);
uint64_t __aeabi_uidiv(uint32_t numerator, uint32_t denominator);

/* Quotient in the lower word, remainder in the upper one: the registers that the run-time ABI
 * names. Range: the remainder of the bits so far is below the denominator, so its double needs 33
 * bits; `carry` is the highest. */
__attribute__((used, externally_visible)) uint64_t __aeabi_uidivmod(uint32_t numerator,
                                                                    uint32_t denominator)
{
    uint32_t remainder = 0;
    for (uint32_t bits = 32; bits > 0; bits--) {
        const uint32_t carry = remainder >> 31;
        remainder = remainder << 1 | numerator >> 31;
        numerator <<= 1;
        if (carry != 0 || remainder >= denominator) {
            remainder -= denominator;
            numerator++;
        }
    }
    return (uint64_t)remainder << 32 | numerator;
}

/* A caller of this one looks at the quotient only. */
__attribute__((used, externally_visible, alias("__aeabi_uidivmod"))) uint64_t __aeabi_uidiv(
    uint32_t numerator, uint32_t denominator);
#endif
