from fastconv._core.windows cimport Pool

cdef void cut_planes(Pool *s, int threads) noexcept nogil
cdef void rows_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil
cdef void indexed_rows_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil
