from fastconv._core.problem cimport Geometry, Problem

cdef int run_col2im(const Geometry *g, const Problem *problem) noexcept nogil
