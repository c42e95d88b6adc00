"""Register tiles of filters x pixels, lanes over pixels: what `direct` and `panels` share."""

from fastconv._core.problem cimport Blocking, Depth, Problem
from fastconv._core.runtime cimport fc_copy

cdef enum:
    MAX_DEPTH = 384


# Some neighbouring columns of the product: where the kernel finds their pixels, and where they go.
cdef struct Panel:
    const char *x
    Py_ssize_t start, columns, vectors, count
    fc_copy *segments


# The weights, packed for the register tiles, and which of the tiles a task multiplies.
cdef struct Taps:
    const Problem *problem
    const char *packed
    Blocking blocking
    Py_ssize_t tile_parts


cdef inline bint contiguous_filters(const Problem *p) noexcept nogil:
    return (p.w_column == 1 and p.w_row == p.kernel_w
            and p.w_channel == p.kernel_h * p.kernel_w)


# the weights, packed for make_blocking's tiles
cdef Py_ssize_t taps_bytes(const Problem *p) noexcept nogil
cdef int pack_taps(const Problem *p, char *to) noexcept nogil

# out[filter, segments] = the sums of one depth block over `count` panels
cdef void multiply(const Taps *s, const Depth *d, Py_ssize_t block, Py_ssize_t group,
                   Py_ssize_t part, const Panel *panels, Py_ssize_t count,
                   const Py_ssize_t *offsets, char *out) noexcept nogil

# the same to channels-last out, by way of `held`: held_bytes for panels of `vectors` together
cdef void multiply_last(const Taps *s, const Depth *d, Py_ssize_t block, Py_ssize_t part,
                        const Panel *panels, Py_ssize_t count, const Py_ssize_t *offsets,
                        char *held, char *out) noexcept nogil
cdef Py_ssize_t held_bytes(const Taps *s, Py_ssize_t vectors) noexcept nogil

cdef Problem flatten(const Problem *p) noexcept nogil
