"""Images from one layout to the other: to[n, j, i] = x[n, i, j] of (samples, rows, columns)."""

cimport numpy as cnp

from fastconv._core.conv cimport kernels_of
from fastconv._core.problem cimport ceil_div, larger, share, smaller
from fastconv._core.runtime cimport fc_kernels, parallel_for, raise_failure

cnp.import_array()

cdef enum:
    TASK_BYTES = 1 << 17


cdef struct Relay:
    const fc_kernels *kernels
    const char *x
    char *out
    Py_ssize_t rows, columns, parts         # the longer side of an image is cut


cdef void relay_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Relay *s = <const Relay *> context
    cdef Py_ssize_t size = s.kernels.itemsize, n = task // s.parts, part = task % s.parts
    cdef Py_ssize_t i = 0, j = 0, rows = s.rows, columns = s.columns
    cdef Py_ssize_t image = n * s.rows * s.columns, lanes = s.kernels.lanes, k, q
    if s.rows > s.columns:  # channels last
        i = share(s.rows, s.parts, part)
        rows = share(s.rows, s.parts, part + 1) - i
    else:
        j = share(s.columns, s.parts, part)
        columns = share(s.columns, s.parts, part + 1) - j
    # a strip of one vector after the other: few streams that go on are what prefetching is good at
    for k in range(ceil_div(columns, lanes)):
        q = j + k * lanes
        s.kernels.transpose(s.x + (image + i * s.columns + q) * size, s.columns, rows,
                            smaller(lanes, columns - k * lanes),
                            s.out + (image + q * s.rows + i) * size, s.rows, rows)


def relay(cnp.ndarray x, cnp.ndarray out, Py_ssize_t rows, Py_ssize_t columns, int threads):
    """Fill out with the transposed images of x, both contiguous and of the same type."""
    cdef Relay s
    cdef Py_ssize_t each = rows * columns, bytes
    cdef int failed
    s.kernels = kernels_of(x)
    s.x, s.out = cnp.PyArray_BYTES(x), cnp.PyArray_BYTES(out)
    s.rows, s.columns = rows, columns
    bytes = each * s.kernels.itemsize
    s.parts = smaller(ceil_div(bytes, TASK_BYTES), ceil_div(larger(rows, columns), 64))
    threads = <int> larger(1, smaller(threads, cnp.PyArray_NBYTES(x) // TASK_BYTES))
    with nogil:
        failed = parallel_for(relay_task, &s, cnp.PyArray_SIZE(x) // each * s.parts, threads, 0)
    if failed:
        raise_failure("no memory to bring images to another layout")
