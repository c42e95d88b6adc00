"""The kernels of the chosen ISA, the number of threads, and the one parallel loop of the package.

OpenMP is used here and nowhere else.  libgomp's threads do not survive a fork, and a child that
waits for them hangs; so a child forked after the loop ran on several threads runs it on one.

Signals are handled in Python's main thread between tasks (signals.h). A driver that was stopped
by one returns as it does without memory; `raise_failure` then knows what was raised.
"""

import threading

from cpython.exc cimport PyErr_Occurred
from libc.stddef cimport size_t

cdef extern from "runtime_support.h" nogil:
    const char *fc_compiler()
    int fc_openmp()
    int fc_openmp_limit()
    int fc_run(task_function function, void *context, Py_ssize_t tasks, int threads, char **memory,
               bint whole)
    bint fc_stopped()
    double fc_judge(double speed, double seconds)
    int fc_alone()
    int fc_threads_to_have(int threads)
    void fc_watch_process(unsigned long main_thread)
    int fc_pool_was_lost()

cdef enum:
    MAX_THREADS = 256

cdef const fc_isa *chosen = NULL
cdef int default_threads = 1
cdef int initial_limit = fc_openmp_limit()
cdef bint threads_are_sure = False


cdef const fc_kernels *conv_kernels(int dtype) noexcept nogil:
    return chosen.conv[dtype]


cdef const fc_max_kernels *pool_kernels(int dtype) noexcept nogil:
    return chosen.pool[dtype]


cdef int parallel_for(task_function function, void *context, Py_ssize_t tasks, int threads,
                      size_t workspace) noexcept nogil:
    return run_tasks(function, context, tasks, threads, workspace, False)


cdef int parallel_for_all(task_function function, void *context, Py_ssize_t tasks, int threads,
                          size_t workspace) noexcept nogil:
    return run_tasks(function, context, tasks, threads, workspace, True)


cdef bint stopped() noexcept nogil:
    return fc_stopped()


cdef int raise_failure(str message) except -1:
    if PyErr_Occurred() != NULL:
        return -1
    raise MemoryError(message)


cdef int run_tasks(task_function function, void *context, Py_ssize_t tasks, int threads,
                   size_t workspace, bint whole) noexcept nogil:
    cdef char *memory[MAX_THREADS]
    cdef int t, interrupted, limit = fc_openmp_limit()
    threads = <int> max(1, min(threads, tasks, MAX_THREADS))
    if limit != initial_limit:  # somebody, threadpoolctl say, asks OpenMP for fewer
        threads = min(threads, limit)
    if fc_pool_was_lost() or not fc_openmp():
        threads = 1
    if threads > 1 and not threads_are_sure and fc_alone():
        threads = 1
    threads = fc_threads_to_have(threads)
    for t in range(threads):
        memory[t] = <char *> fc_workspace_take(workspace) if workspace else NULL
        if workspace and memory[t] == NULL:
            threads = t  # fewer threads give the same result
            break
    if threads == 0:
        return -1
    interrupted = fc_run(function, context, tasks, threads, memory, whole)
    for t in range(threads):
        fc_workspace_give(memory[t])
    return -1 if interrupted else 0


def isas_built():
    """The ISAs this package was compiled for, the lowest first."""
    return tuple(fc_isa_at(i).name.decode() for i in range(fc_isa_count()))


def isas_supported():
    """Those of them this CPU runs."""
    return tuple(fc_isa_at(i).name.decode() for i in range(fc_isa_count()) if fc_isa_usable(i))


def isa():
    """The ISA in use."""
    return chosen.name.decode()


def select_isa(str name):
    """Use the kernels of one ISA from now on; not while another thread computes."""
    global chosen
    for i in range(fc_isa_count()):
        if fc_isa_at(i).name.decode() == name and fc_isa_usable(i):
            chosen = fc_isa_at(i)
            return
    raise ValueError(f"ISA must be one of {', '.join(isas_supported())}, got {name!r}")


def openmp():
    """Whether OpenMP was found when the package was built."""
    return bool(fc_openmp())


def compiler():
    """The compiler the package was built with."""
    return fc_compiler().decode()


def set_num_threads(int threads):
    """The process-wide number of threads."""
    global default_threads
    default_threads = threads


def get_num_threads():
    """The process-wide number of threads."""
    return default_threads


def always_use_threads(bint always):
    """Whether a call starts its threads also where they brought nothing lately: for tests."""
    global threads_are_sure
    threads_are_sure = always


def alone():
    """Whether calls do without threads now, since these brought nothing lately."""
    return bool(fc_alone()) and not threads_are_sure


def judge(double speed, double seconds):
    """Tell what a loop's threads brought; returns how long calls will do without: for tests."""
    return fc_judge(speed, seconds)


def forked():
    """Whether this process was forked after the parallel loop ran, and so runs on one thread."""
    return bool(fc_pool_was_lost())


for _name in isas_supported():  # the highest is the last
    select_isa(_name)
fc_watch_process(threading.main_thread().ident)
