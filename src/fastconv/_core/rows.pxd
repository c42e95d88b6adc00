from fastconv._core.problem cimport Geometry, Problem

cdef int run_rows(const Problem *problem) noexcept nogil
cdef Py_ssize_t rows_bytes(const Problem *p) noexcept nogil
cdef int pack_rows(const Problem *p, char *to) noexcept nogil
cdef bint fits_turned(const Geometry *g) noexcept nogil
