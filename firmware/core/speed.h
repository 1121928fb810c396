/* Included first by files whose loops run once a delta, an activation or more often: boards' images
 * are compiled for size, these files for speed. Not on a Cortex-M0 or M3, whose flash is small and
 * whose loops over weights are assembly: it would save 2 to 3 % of the instructions for 1.5 KB;
 * SPEED_ALWAYS: a file that does not grow by it. */
#if defined(__arm__) && defined(__OPTIMIZE_SIZE__) && !defined(__clang__) && \
    (defined(SPEED_ALWAYS) || !(defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_7M__)))
#pragma GCC optimize("O2")
#endif
