/* Included inside a file that began with speed.h: what follows runs seldom and is compiled as the
 * image is. */
#if defined(__arm__) && !defined(__clang__)
#pragma GCC reset_options
#endif
