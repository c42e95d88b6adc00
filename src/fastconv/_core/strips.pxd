from fastconv._core.problem cimport Problem

cdef int run_strips(const Problem *problem) noexcept nogil
cdef Py_ssize_t strips_bytes(const Problem *p) noexcept nogil
cdef int pack_strips(const Problem *p, char *to) noexcept nogil

# whether a row of strips of all channels stays in the cache
cdef bint fits_strips(const Problem *p) noexcept nogil
