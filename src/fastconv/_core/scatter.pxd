from fastconv._core.problem cimport Geometry, Problem

cdef bint fits_scatter(const Geometry *g) noexcept nogil
cdef int run_scatter(const Geometry *g, const Problem *problem) noexcept nogil
