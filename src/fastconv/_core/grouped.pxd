from fastconv._core.problem cimport Problem

cdef int run_grouped(const Problem *problem) noexcept nogil
cdef Py_ssize_t grouped_bytes(const Problem *p) noexcept nogil
cdef int pack_grouped(const Problem *p, char *to) noexcept nogil

# grad_w: the problem's out is the gradient of its outputs, its w is filled
cdef int run_grouped_gradient(const Problem *problem) noexcept nogil

# whether a vector may hold several groups' filters, and a band of the fewest rows stays small
cdef bint groups_share(const Problem *p) noexcept nogil
