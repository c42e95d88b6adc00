cdef void pixels_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil
cdef void coded_pixels_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil
