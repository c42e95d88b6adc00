/* What of the C library, the compiler and OpenMP runtime.pyx asks for. */
#ifndef FASTCONV_RUNTIME_SUPPORT_H
#define FASTCONV_RUNTIME_SUPPORT_H

#if defined(_OPENMP)
#include <omp.h>
#endif

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

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

static inline double fc_seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Threads that other processes keep from their cores are waited for. Where they brought nothing the
 * next calls do without them, more calls each time, then they are tried again: `fc_judge` is told
 * how many threads' worth of work a call's threads did, `fc_alone` whether the next call is to run
 * on one. A result does not depend on it. */
enum { FC_MOST_ALONE = 63 };
static _Atomic int fc_calls_alone, fc_alone_last;

static inline int fc_judge(double speed) {
    int calls = 0;
    if (speed < 1.15) {
        calls = 2 * atomic_load_explicit(&fc_alone_last, memory_order_relaxed) + 1;
        calls = calls > FC_MOST_ALONE ? FC_MOST_ALONE : calls;
        atomic_store_explicit(&fc_calls_alone, calls, memory_order_relaxed);
    }
    atomic_store_explicit(&fc_alone_last, calls, memory_order_relaxed);
    return calls;
}

static inline int fc_alone(void) {
    const int calls = atomic_load_explicit(&fc_calls_alone, memory_order_relaxed);
    if (calls > 0)
        atomic_store_explicit(&fc_calls_alone, calls - 1, memory_order_relaxed);
    return calls > 0;
}

typedef void (*fc_task)(void *context, ptrdiff_t task, char *workspace);

/* function(context, t, memory[thread]) for every t < tasks; returns how many threads' worth of
 * processor time the tasks got: below 2 of 2 where other processes want the cores */
static inline double fc_run_on_threads(fc_task function, void *context, ptrdiff_t tasks,
                                       int threads, char **memory) {
#if defined(_OPENMP)
    const double start = fc_seconds(CLOCK_MONOTONIC);
    double worked = 0;
#pragma omp parallel num_threads(threads) reduction(+ : worked)
    {
        char *const mine = memory[omp_get_thread_num()];
        const double begin = fc_seconds(CLOCK_THREAD_CPUTIME_ID);
#pragma omp for schedule(dynamic, 1) nowait
        for (ptrdiff_t task = 0; task < tasks; task++)
            function(context, task, mine);
        worked += fc_seconds(CLOCK_THREAD_CPUTIME_ID) - begin;
    }
    return worked / (fc_seconds(CLOCK_MONOTONIC) - start);
#else
    for (ptrdiff_t task = 0; task < tasks; task++)
        function(context, task, memory[0]);
    (void)threads;
    return 1;
#endif
}

#endif
