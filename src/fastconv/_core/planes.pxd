from fastconv._core.problem cimport Geometry, Problem

cdef int run_planes(const Problem *problem) noexcept nogil

# grad_x: `whole` is the geometry's problem, its x the gradient and its out the image's gradient
cdef int run_planes_gradient(const Geometry *g, const Problem *whole) noexcept nogil

# weights are read as they lie
cdef Py_ssize_t planes_bytes(const Problem *p) noexcept nogil
cdef int pack_planes(const Problem *p, char *to) noexcept nogil

# whether a band of few rows stays small, forward or for grad_x
cdef bint planes_fit(const Geometry *g, const Problem *whole, bint gradient) noexcept nogil
