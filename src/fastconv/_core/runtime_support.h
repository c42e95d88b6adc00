/* What of the C library, the compiler and OpenMP runtime.pyx asks for. */
#ifndef FASTCONV_RUNTIME_SUPPORT_H
#define FASTCONV_RUNTIME_SUPPORT_H

#if defined(_OPENMP)
#include <omp.h>
#endif

#include <pthread.h>

static int *fc_pool_used, *fc_pool_lost;

static void fc_after_fork_in_child(void) {
    *fc_pool_lost = *fc_pool_used;
}

/* in a forked child, *lost = *used */
static inline void fc_watch_forks(int *used, int *lost) {
    fc_pool_used = used;
    fc_pool_lost = lost;
    pthread_atfork(NULL, NULL, fc_after_fork_in_child);
}

static inline const char *fc_compiler(void) {
#if defined(__clang__)
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}

static inline int fc_openmp(void) {
#if defined(_OPENMP)
    return 1;
#else
    return 0;
#endif
}

/* the number of threads OpenMP would use by itself: others may set it */
static inline int fc_openmp_limit(void) {
#if defined(_OPENMP)
    return omp_get_max_threads();
#else
    return 1;
#endif
}

static inline int fc_thread_number(void) {
#if defined(_OPENMP)
    return omp_get_thread_num();
#else
    return 0;
#endif
}

#endif
