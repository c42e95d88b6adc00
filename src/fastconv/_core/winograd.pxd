from fastconv._core.problem cimport Problem

cdef int run_winograd(const Problem *problem) noexcept nogil
cdef Py_ssize_t winograd_bytes(const Problem *problem) noexcept nogil
cdef int pack_winograd(const Problem *problem, char *to) noexcept nogil
