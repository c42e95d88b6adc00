from fastconv._core.problem cimport Problem

cdef int run_strips(const Problem *problem) noexcept nogil

# whether a row of strips of all channels stays in the cache
cdef bint fits_strips(const Problem *p) noexcept nogil
