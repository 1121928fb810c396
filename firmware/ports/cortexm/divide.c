/* Division where the core has none: the library's takes ten times the flash, and training divides
 * once a sample. */
#ifdef __ARM_ARCH_6M__
void __aeabi_uidivmod(void);
void __aeabi_uidiv(void);

/* r0 / r1: quotient in r0, remainder in r1, as the run-time ABI names them. r2: remainder of the
 * bits so far, below r1; its double needs 33 bits, of which carry is the highest. r3: bits left: 16
 * where the first 16 of the quotient are 0. */
__attribute__((naked, used, externally_visible)) void __aeabi_uidivmod(void)
{
    __asm__(".syntax unified\n"
            "    movs    r3, #16\n"
            "    lsrs    r2, r0, #16\n"
            "    lsls    r0, r0, #16\n"
            "    cmp     r2, r1\n"
            "    bcc     1f\n"
            "    orrs    r0, r2\n"
            "    rors    r0, r3\n"
            "    movs    r2, #0\n"
            "    movs    r3, #32\n"
            "1:  adds    r0, r0\n"
            "    adcs    r2, r2\n"
            "    bcs     2f\n"
            "    cmp     r2, r1\n"
            "    bcc     3f\n"
            "2:  subs    r2, r1\n"
            "    adds    r0, #1\n"
            "3:  subs    r3, #1\n"
            "    bne     1b\n"
            "    mov     r1, r2\n"
            "    bx      lr\n");
}

/* A caller of this one looks at the quotient only. */
__attribute__((used, externally_visible, alias("__aeabi_uidivmod"))) void __aeabi_uidiv(void);
#endif
