"""The gradient for a bias, the sum of grad for each filter, as the drivers of grad_w make it.

Each chunk of the pixels has sums of its own, like those of grad_w; they are added in order.
"""

from libc.string cimport memset

from fastconv._core.runtime cimport fc_kernels


cdef struct BiasSums:
    char *out                   # [filter], the first chunk's too; NULL: nobody asks for them
    char *others                # [chunk - 1][filter]
    Py_ssize_t filters


cdef inline Py_ssize_t bias_bytes(const BiasSums *b, const fc_kernels *kernels,
                                  Py_ssize_t chunks) noexcept nogil:
    # of `others`
    return (chunks - 1) * b.filters * kernels.itemsize if b.out != NULL else 0


# Sums that begin anew: `count` of a chunk, from a filter on.
cdef inline char *begin_bias(const BiasSums *b, const fc_kernels *kernels, Py_ssize_t chunk,
                             Py_ssize_t filter, Py_ssize_t count) noexcept nogil:
    cdef char *sums = b.out
    if chunk:
        sums = b.others + (chunk - 1) * b.filters * kernels.itemsize
    sums += filter * kernels.itemsize
    memset(sums, 0, count * kernels.itemsize)
    return sums


cdef inline void add_chunks(const BiasSums *b, const fc_kernels *kernels,
                            Py_ssize_t chunks) noexcept nogil:
    cdef Py_ssize_t chunk
    if b.out == NULL:
        return
    for chunk in range(1, chunks):
        kernels.scatter_add(b.others + (chunk - 1) * b.filters * kernels.itemsize, b.out, 1,
                            b.filters)
