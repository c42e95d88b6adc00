cimport numpy as cnp

from fastconv._core.runtime cimport fc_kernels

cdef enum:
    AXES = 4


cdef class Call:
    cdef cnp.npy_intp first[AXES]
    cdef cnp.npy_intp second[AXES]
    cdef cnp.npy_intp out[AXES]
    cdef int dtype
    cdef bint pair
    cdef const fc_kernels *kernels
    cdef tuple arguments
    cdef readonly object note

    cdef bint fits(self, cnp.ndarray first, object second, tuple arguments)
    cdef object run(self, cnp.ndarray first, object second, object bias, object given)
    cdef bint takes(self, object out, cnp.ndarray first, object second, object bias)
    cdef cnp.ndarray new_out(self, object given)
