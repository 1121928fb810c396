/* Included first by files whose loops run once a delta, an activation or more often: boards' images
 * are compiled for size, these files for speed. */
#if defined(__arm__) && defined(__OPTIMIZE_SIZE__) && !defined(__clang__)
#pragma GCC optimize("O2")
#endif
