/* Signals during a call: between tasks Python's main thread, where signals are handled, has Python
 * handle them; where a handler raises, KeyboardInterrupt say, the rest of the call is left out.
 *
 * Only the GIL's owner may ask whether there are any, so the question is put a few dozen times a
 * second, and less often while another thread keeps the GIL.
 */
#ifndef FASTCONV_SIGNALS_H
#define FASTCONV_SIGNALS_H

#include <Python.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#if defined(CLOCK_MONOTONIC_COARSE)
#define FC_CHEAP_CLOCK CLOCK_MONOTONIC_COARSE
#else
#define FC_CHEAP_CLOCK CLOCK_MONOTONIC
#endif

#define FC_MILLISECOND 1000000
enum {
    FC_PERIOD = 8 * FC_MILLISECOND, /* between two questions, where the GIL is free */
    FC_LONGEST_PERIOD = 50 * FC_MILLISECOND,
    FC_BETWEEN = 8 * FC_MILLISECOND, /* the most that counts as work between two looks */
    FC_MOST_SKIPPED = 15
};

/* What a thread knows of the loop that it works in. */
typedef struct {
    _Atomic int *stop;
    int watches;       /* whether it is Python's main thread */
    int skip, skipped; /* times that the clock is not looked at: now, and after the last look */
} fc_seat;

#if defined(__GLIBC__) /* which keeps room for libraries that are loaded late: no call, one load */
__attribute__((tls_model("initial-exec")))
#endif
static _Thread_local fc_seat *fc_here; /* NULL outside of a loop */

static pthread_t fc_main_thread;
/* the main thread's own: the time of the last look, and what was worked since the last question */
static int64_t fc_looked, fc_worked, fc_period = FC_PERIOD;

static inline int64_t fc_nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 * FC_MILLISECOND + now.tv_nsec;
}

/* Python's handlers run; whether one raised: then its exception waits for `raise_failure`. */
static int fc_handle_signals(void) {
    const int64_t start = fc_nanoseconds(CLOCK_MONOTONIC);
    const PyGILState_STATE state = PyGILState_Ensure();
    const int64_t waited = fc_nanoseconds(CLOCK_MONOTONIC) - start;
    const int raised = PyErr_CheckSignals();
    PyGILState_Release(state);
    /* a thread that computes in Python lets go of the GIL after milliseconds only */
    fc_period = FC_PERIOD + 10 * waited;
    if (fc_period > FC_LONGEST_PERIOD)
        fc_period = FC_LONGEST_PERIOD;
    fc_worked = 0;
    fc_looked = fc_nanoseconds(FC_CHEAP_CLOCK);
    return raised;
}

/* Adds up the time between looks, whether in one loop or in many short ones; a pause between two
 * calls is no work. */
static int fc_look(int64_t *passed) {
    const int64_t now = fc_nanoseconds(FC_CHEAP_CLOCK);
    *passed = now - fc_looked;
    fc_looked = now;
    fc_worked += *passed < FC_BETWEEN ? *passed : FC_BETWEEN;
    return fc_worked >= fc_period && fc_handle_signals();
}

static inline int fc_in_main_thread(void) {
    return pthread_equal(pthread_self(), fc_main_thread);
}

/* Whether what is left of the call is to be left out.  The first time in a loop costs nothing, so
 * that small calls don't pay for long ones, and short tasks don't look each at the clock. */
static int fc_stopped(void) {
    fc_seat *const seat = fc_here;
    int64_t passed;
    if (!seat)
        return fc_in_main_thread() && fc_look(&passed);
    if (atomic_load_explicit(seat->stop, memory_order_relaxed))
        return 1;
    if (!seat->watches)
        return 0;
    if (seat->skip > 0) {
        seat->skip--;
        return 0;
    }
    if (fc_look(&passed)) {
        atomic_store_explicit(seat->stop, 1, memory_order_relaxed);
        return 1;
    }
    seat->skipped = passed > 0 || seat->skipped == FC_MOST_SKIPPED ? 0 : 2 * seat->skipped + 1;
    seat->skip = seat->skipped;
    return 0;
}

static inline fc_seat fc_take_seat(_Atomic int *stop, int watches) {
    return (fc_seat){stop, watches, 1, 0};
}

#endif
