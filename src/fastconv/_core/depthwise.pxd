from fastconv._core.problem cimport Problem

cdef int run_depthwise(const Problem *problem) noexcept nogil
cdef Py_ssize_t depthwise_bytes(const Problem *p) noexcept nogil
cdef int pack_depthwise(const Problem *p, char *to) noexcept nogil
