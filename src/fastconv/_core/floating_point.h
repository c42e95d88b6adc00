/* The processor's modes of arithmetic, and its note of numbers that it is slow with.
 *
 * Each thread has modes of its own: how it rounds, whether it flushes denormal numbers to zero.
 * Threads that help a caller compute as the caller does, or bits would depend on how many help, and
 * have their own modes back afterwards.
 *
 * A product with a denormal number, or one that comes out denormal, takes a hundred times as long on
 * many processors. They also leave a note of it (flags DE and UE of MXCSR), which costs nothing to
 * read. So a loop that is watched stops at the task after which there is a note; who asked for it
 * goes another way. The caller's own flags are as they were.
 */
#ifndef FASTCONV_FLOATING_POINT_H
#define FASTCONV_FLOATING_POINT_H

#if defined(__SSE2__)
#include <immintrin.h>
enum {
    FC_FLAGS = 0x003f, /* what has happened */
    FC_TINY = 0x0012,  /* of that: a denormal operand, a result that was too small */
    FC_FLUSH = 0x8040, /* denormal results, and operands, are taken for zeros */
    FC_MODES = 0xe040  /* those, and the rounding */
};
static inline unsigned fc_get_modes(void) {
    return _mm_getcsr();
}
static inline void fc_set_modes(unsigned modes) {
    _mm_setcsr(modes);
}
#elif defined(__aarch64__)
enum { FC_FLAGS = 0, FC_TINY = 0, FC_FLUSH = 0, FC_MODES = 0x07c80000 }; /* of FPCR */
static inline unsigned fc_get_modes(void) {
    unsigned long modes;
    __asm__ volatile("mrs %0, fpcr" : "=r"(modes));
    return (unsigned)modes;
}
static inline void fc_set_modes(unsigned modes) {
    __asm__ volatile("msr fpcr, %0" : : "r"((unsigned long)modes));
}
#else
enum { FC_FLAGS = 0, FC_TINY = 0, FC_FLUSH = 0, FC_MODES = 0 };
static inline unsigned fc_get_modes(void) {
    return 0;
}
static inline void fc_set_modes(unsigned modes) {
    (void)modes;
}
#endif

/* of the thread that calls: whether its loops are watched, and whether one was stopped */
static _Thread_local int fc_watched, fc_stopped, fc_unwatched;

/* From here on loops of this thread stop at numbers that are slow, unless it asked for none of that
 * (fc_unwatched) or they are not slow, being flushed. */
static inline void fc_watch(void) {
    fc_stopped = 0;
    fc_watched = FC_TINY && !fc_unwatched && !(fc_get_modes() & FC_FLUSH);
}

/* No longer; returns whether one stopped, so that what was to be computed was not. */
static inline int fc_watch_ends(void) {
    const int stopped = fc_stopped;
    fc_watched = fc_stopped = 0;
    return stopped;
}

static inline int fc_met_tiny(void) {
    return FC_TINY && (fc_get_modes() & FC_TINY) != 0;
}

#endif
