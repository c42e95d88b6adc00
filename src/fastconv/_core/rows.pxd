from fastconv._core.problem cimport Problem

cdef int run_rows(const Problem *problem) noexcept nogil
