from fastconv._core.problem cimport Problem

cdef int run_panels(const Problem *problem) noexcept nogil
