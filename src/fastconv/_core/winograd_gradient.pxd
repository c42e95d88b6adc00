from fastconv._core.problem cimport Problem

# grad_w: the problem's out is the gradient of its outputs, its w is filled
cdef int run_winograd_gradient(const Problem *problem, char *grad_bias) noexcept nogil
