cimport numpy as cnp

from fastconv._core.packing cimport packer
from fastconv._core.problem cimport Geometry, Problem
from fastconv._core.runtime cimport fc_kernels


# a way to run a problem, and how it packs the weights
cdef struct Driver:
    int (*run)(const Problem *problem) noexcept nogil
    Py_ssize_t (*bytes)(const Problem *problem) noexcept nogil
    packer pack


# after watch() and the work that was watched: raises what came of it, if that is no result
cdef int ended(bint failed, str what) except -1
cdef const fc_kernels *kernels_of(cnp.ndarray array)
cdef const Geometry *geometry_of(cnp.ndarray numbers)
cdef Driver driver_of(str algorithm)
cdef Problem forward_problem(const Geometry *g, cnp.ndarray x, cnp.ndarray w, object bias,
                             cnp.ndarray out, bint relu, int threads, bint highest)

# grad_x of a problem made by forward_problem of the gradient and the weights
cdef bint every_pixel_reached(const Geometry *g) noexcept nogil
cdef int run_phases(const Geometry *g, const Problem *whole, const Driver *driver,
                    bint highest) noexcept nogil

# whether some neighbours hold no inf or NaN; a sum that overflows counts
cdef bint sum_is_finite(const fc_kernels *kernels, const char *first,
                        Py_ssize_t count) noexcept nogil
