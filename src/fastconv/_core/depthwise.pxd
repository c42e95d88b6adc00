from fastconv._core.problem cimport Problem

cdef int run_depthwise(const Problem *problem) noexcept nogil
