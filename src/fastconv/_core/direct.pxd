from fastconv._core.problem cimport Problem

cdef int run_direct(const Problem *problem) noexcept nogil
cdef bint fits_direct(const Problem *problem) noexcept nogil
