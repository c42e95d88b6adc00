from fastconv._core.weights cimport Weights

cdef Py_ssize_t plan_lanes(Weights *s, int threads) noexcept nogil
cdef void lanes_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil
