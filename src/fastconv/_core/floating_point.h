/* The processor's modes of arithmetic: how a thread rounds, whether it takes denormal numbers for
 * zeros.
 *
 * Each thread has its own. Threads that help a caller compute as the caller does, or bits would
 * depend on how many help, and have their own modes back afterwards.
 */
#ifndef FASTCONV_FLOATING_POINT_H
#define FASTCONV_FLOATING_POINT_H

#if defined(__SSE2__)
#include <immintrin.h>
enum { FC_MODES = 0xe040 }; /* of MXCSR: flush to zero, rounding, denormals are zeros */
static inline unsigned fc_get_modes(void) {
    return _mm_getcsr();
}
static inline void fc_set_modes(unsigned modes) {
    _mm_setcsr(modes);
}
#elif defined(__aarch64__)
enum { FC_MODES = 0x07c80000 }; /* of FPCR */
static inline unsigned fc_get_modes(void) {
    unsigned long modes;
    __asm__ volatile("mrs %0, fpcr" : "=r"(modes));
    return (unsigned)modes;
}
static inline void fc_set_modes(unsigned modes) {
    __asm__ volatile("msr fpcr, %0" : : "r"((unsigned long)modes));
}
#else
enum { FC_MODES = 0 };
static inline unsigned fc_get_modes(void) {
    return 0;
}
static inline void fc_set_modes(unsigned modes) {
    (void)modes;
}
#endif

/* Computes as a thread with these modes does; returns the modes to go back to. */
static inline unsigned fc_adopt_modes(unsigned modes) {
    const unsigned before = fc_get_modes();
    fc_set_modes((before & ~(unsigned)FC_MODES) | (modes & FC_MODES));
    return before;
}

#endif
