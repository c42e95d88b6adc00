from fastconv._core.problem cimport Problem

cdef int run_winograd(const Problem *problem) noexcept nogil
cdef Py_ssize_t winograd_bytes(const Problem *problem) noexcept nogil
cdef int pack_winograd(const Problem *problem, char *to) noexcept nogil

# images with something that is not finite, one at a time and directly: the others do not matter to
# them; `wild` has a byte an image
cdef int compute_again(const Problem *p, const char *wild) noexcept nogil
