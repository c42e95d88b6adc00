from fastconv._core.problem cimport Problem

cdef extern from *:
    """
    static inline void mark(char *flag) { __atomic_store_n(flag, 1, __ATOMIC_RELAXED); }
    """
    void mark(char *flag) nogil  # tasks of one image may do so at once

cdef int run_winograd(const Problem *problem) noexcept nogil
cdef Py_ssize_t winograd_bytes(const Problem *problem) noexcept nogil
cdef int pack_winograd(const Problem *problem, char *to) noexcept nogil

# images with something that is not finite, one at a time and directly: the others do not matter to
# them; `wild` has a byte an image
cdef int compute_again(const Problem *p, const char *wild) noexcept nogil
