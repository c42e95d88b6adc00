"""The gradient of a relu, of contiguous arrays of any shape: out = grad where y > 0, else 0."""

cimport numpy as cnp

from fastconv._core.conv cimport kernels_of
from fastconv._core.problem cimport ceil_div, smaller
from fastconv._core.runtime cimport fc_kernels, parallel_for, raise_failure

cnp.import_array()

cdef enum:
    PIECE = 1 << 16         # elements of one task


cdef struct Relu:
    const fc_kernels *kernels
    const char *grad
    const char *y
    char *out
    Py_ssize_t count


cdef void relu_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Relu *s = <const Relu *> context
    cdef Py_ssize_t at = task * PIECE * s.kernels.itemsize
    s.kernels.relu_gradient(s.grad + at, s.y + at, s.out + at,
                            smaller(PIECE, s.count - task * PIECE))


def relu_gradient(cnp.ndarray grad, cnp.ndarray y, cnp.ndarray out, int threads):
    """Fill out with what a relu, whose output y is, lets through of grad."""
    cdef Relu s
    cdef int failed
    s.kernels = kernels_of(y)
    s.grad, s.y, s.out = cnp.PyArray_BYTES(grad), cnp.PyArray_BYTES(y), cnp.PyArray_BYTES(out)
    s.count = cnp.PyArray_SIZE(y)
    with nogil:
        failed = parallel_for(relu_task, &s, ceil_div(s.count, PIECE), threads, 0)
    if failed:
        raise_failure("no memory for the gradient of a relu")
