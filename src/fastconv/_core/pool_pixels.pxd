from fastconv._core.windows cimport Pool

cdef Py_ssize_t dense_bytes(const Pool *s) noexcept nogil
cdef void pixels_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil
cdef void indexed_pixels_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil
