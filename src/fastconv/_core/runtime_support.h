/* What of the C library, the compiler and OpenMP runtime.pyx asks for. */
#ifndef FASTCONV_RUNTIME_SUPPORT_H
#define FASTCONV_RUNTIME_SUPPORT_H

/* The thread sanitizer sees what pthreads wait for, not what libgomp's threads do. */
#if defined(__SANITIZE_THREAD__)
#define FC_PTHREADS 1
#endif
#if defined(_OPENMP) && !defined(FC_PTHREADS)
#define FC_OPENMP 1
#include <omp.h>
#endif

#include <stddef.h>

#include "floating_point.h"
#include "signals.h"
#include "thread_start.h"

/* whether the loop ran on several threads; and whether they were lost to a fork since */
static _Atomic int fc_pool_used, fc_pool_lost;

static void fc_after_fork_in_child(void) {
    atomic_store(&fc_pool_lost, atomic_load(&fc_pool_used));
    fc_main_thread = pthread_self(); /* so Python has it */
}

/* `main_thread` is Python's name of it, which may not be the one that imports us */
static inline void fc_watch_process(unsigned long main_thread) {
    fc_main_thread = (pthread_t)main_thread;
    pthread_atfork(NULL, NULL, fc_after_fork_in_child);
}

static inline int fc_pool_was_lost(void) {
    return atomic_load_explicit(&fc_pool_lost, memory_order_relaxed);
}

static inline const char *fc_compiler(void) {
#if defined(__clang__)
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}

static inline int fc_openmp(void) {
#if defined(FC_OPENMP) || defined(FC_PTHREADS)
    return 1;
#else
    return 0;
#endif
}

/* the number of threads OpenMP would use by itself: others may set it */
static inline int fc_openmp_limit(void) {
#if defined(FC_OPENMP)
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
 * next calls do without them, for as long as that loop took, then for 4, 16 and 64 times as long: so
 * what trying them costs, a slice of time whatever a call takes, stays a small part of all time.
 * `fc_judge` is told how many threads' worth of work a loop's threads did and the seconds it took,
 * and returns how long calls will do without; `fc_alone` says whether now. A result does not depend
 * on it. */
enum { FC_MOST_ALONE = 64 };
#define FC_LONGEST 0.03 /* seconds, of which two pass before threads that are free are used again */
static _Atomic double fc_alone_until;
static _Atomic int fc_alone_last;

static inline double fc_judge(double speed, double seconds) {
    int times = 0;
    if (speed < 1.15) {
        times = 4 * atomic_load_explicit(&fc_alone_last, memory_order_relaxed);
        times = times == 0 ? 1 : times > FC_MOST_ALONE ? FC_MOST_ALONE : times;
    }
    seconds = times * (seconds < FC_LONGEST ? seconds : FC_LONGEST);
    atomic_store_explicit(&fc_alone_last, times, memory_order_relaxed);
    atomic_store_explicit(&fc_alone_until, times ? fc_seconds(CLOCK_MONOTONIC) + seconds : 0,
                          memory_order_relaxed);
    return seconds;
}

static inline int fc_alone(void) {
    const double until = atomic_load_explicit(&fc_alone_until, memory_order_relaxed);
    return until > 0 && fc_seconds(CLOCK_MONOTONIC) < until;
}

/* The number of threads that a loop which wants so many runs on. */
static inline int fc_threads_to_have(int threads) {
#if defined(FC_OPENMP)
    return threads > fc_team ? fc_team_of(threads, fc_seconds(CLOCK_MONOTONIC)) : threads;
#else
    return threads;
#endif
}

typedef void (*fc_task)(void *context, ptrdiff_t task, char *workspace);

#if defined(FC_PTHREADS)
typedef struct {
    fc_task function;
    void *context;
    ptrdiff_t tasks;
    _Atomic ptrdiff_t *next;
    char *memory;
    fc_seat seat;
} fc_worker;

/* the counter is relaxed: a task may not rely on what another one wrote */
static void *fc_work(void *argument) {
    fc_worker *const worker = argument;
    fc_seat *const before = fc_here;
    fc_here = &worker->seat;
    for (;;) {
        const ptrdiff_t task = atomic_fetch_add_explicit(worker->next, 1, memory_order_relaxed);
        if (task >= worker->tasks || fc_stopped())
            break;
        worker->function(worker->context, task, worker->memory);
    }
    fc_here = before;
    return NULL;
}

static inline void fc_run_on_pthreads(fc_task function, void *context, ptrdiff_t tasks, int threads,
                                      char **memory, _Atomic int *stop, int watches) {
    enum { MOST = 256 };
    pthread_t thread[MOST];
    fc_worker worker[MOST];
    _Atomic ptrdiff_t next = 0;
    int started = 1;
    for (int t = 0; t < threads; t++)
        worker[t] = (fc_worker){function, context,   tasks,
                                &next,    memory[t], fc_take_seat(stop, t == 0 && watches)};
    while (started < threads && !pthread_create(&thread[started], NULL, fc_work, &worker[started]))
        started++;
    fc_work(&worker[0]);
    for (int t = 1; t < started; t++)
        pthread_join(thread[t], NULL);
}
#endif

static inline void fc_run_alone(fc_task function, void *context, ptrdiff_t tasks, char *memory,
                                _Atomic int *stop, int watches) {
    fc_seat seat = fc_take_seat(stop, watches), *const before = fc_here;
    fc_here = &seat;
    for (ptrdiff_t task = 0; task < tasks; task++) {
        if (task > 0 && fc_stopped())
            break;
        function(context, task, memory);
    }
    fc_here = before;
}

/* What threads brought is judged unless the loop was so short that a thread that slept may come
 * late to it on any machine. */
#define FC_SHORT_LOOP 3e-4

static inline void fc_run_on_threads(fc_task function, void *context, ptrdiff_t tasks, int threads,
                                     char **memory, _Atomic int *stop, int watches) {
    atomic_store_explicit(&fc_pool_used, 1, memory_order_relaxed);
#if defined(FC_PTHREADS)
    fc_run_on_pthreads(function, context, tasks, threads, memory, stop, watches);
#elif defined(FC_OPENMP)
    const double start = fc_seconds(CLOCK_MONOTONIC);
    const unsigned modes = fc_get_modes();
    double worked = 0;
#pragma omp parallel num_threads(threads) reduction(+ : worked)
    {
        const int number = omp_get_thread_num();
        const double begin = fc_seconds(CLOCK_THREAD_CPUTIME_ID);
        fc_seat seat = fc_take_seat(stop, number == 0 && watches), *const before = fc_here;
        fc_here = &seat;
        const unsigned own_modes = fc_adopt_modes(modes);
#pragma omp for schedule(dynamic, 1) nowait
        for (ptrdiff_t task = 0; task < tasks; task++)
            if (!fc_stopped())
                function(context, task, memory[number]);
        fc_set_modes(own_modes);
        fc_here = before;
        worked += fc_seconds(CLOCK_THREAD_CPUTIME_ID) - begin;
    }
    const double passed = fc_seconds(CLOCK_MONOTONIC) - start;
    if (passed >= FC_SHORT_LOOP)
        fc_judge(worked / passed, passed);
#else
    fc_run_alone(function, context, tasks, memory[0], stop, watches);
    (void)threads;
#endif
}

/* function(context, t, memory[thread]) for every t < tasks; whether it was stopped by a signal's
 * handler, which a loop that must be whole is not. */
static inline int fc_run(fc_task function, void *context, ptrdiff_t tasks, int threads,
                         char **memory, int whole) {
    _Atomic int stop = 0;
    const int watches = !whole && fc_in_main_thread();
    if (threads == 1)
        fc_run_alone(function, context, tasks, memory[0], &stop, watches);
    else
        fc_run_on_threads(function, context, tasks, threads, memory, &stop, watches);
    return atomic_load_explicit(&stop, memory_order_relaxed);
}

#endif
