from fastconv._core.problem cimport Geometry, Problem

cdef bint fits_columns(const Geometry *g) noexcept nogil
cdef int run_col2im(const Geometry *g, const Problem *problem) noexcept nogil
