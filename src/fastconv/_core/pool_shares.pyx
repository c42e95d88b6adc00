"""Gradients of max pools of which each maximum's tap is known by a code.

    grad_x[y, z] = sum_{i, j} grad[i, j] where the tap that reads (y, z) has the code of (i, j)

A pixel's outputs are added in their order, so this is what pool_gradients makes of indices.  Where
channels come last, or windows lie side by side, every pixel of the image is written once, by what
its outputs send it; else each output of a plane adds to the pixel of its code.
"""

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memset

cimport numpy as cnp

from fastconv._core.conv cimport kernels_of
from fastconv._core.problem cimport ceil_div, larger, share, smaller
from fastconv._core.runtime cimport fc_kernels, fc_share
from fastconv._core.windows cimport CODES, Geometry, list_places, outputs_inside, run

cnp.import_array()


cdef struct Shares:
    Geometry geometry
    const fc_kernels *kernels
    const char *grad
    const uint8_t *codes
    char *out
    Py_ssize_t size, tasks
    int64_t places[CODES]


# The outputs along an axis, in their order, that have taps at a position.
cdef struct Takers:
    Py_ssize_t count
    Py_ssize_t outputs[CODES]
    Py_ssize_t taps[CODES]


cdef inline void find_takers(Takers *t, Py_ssize_t position, Py_ssize_t kernel, Py_ssize_t stride,
                             Py_ssize_t dilation) noexcept nogil:
    # `position` counts padding; outputs may lie outside of their range
    cdef Py_ssize_t tap, start
    t.count = 0
    for tap in range(kernel - 1, -1, -1):
        start = position - tap * dilation
        if start % stride == 0:
            t.outputs[t.count], t.taps[t.count] = start // stride, tap
            t.count += 1


cdef inline void find_rows(const Shares *s, Takers *rows, Py_ssize_t y) noexcept nogil:
    # outputs' rows, of those alone that there are
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t k, found = 0
    find_takers(rows, y + g.pad_top, g.kernel_h, g.stride_h, g.dilation_h)
    for k in range(rows.count):
        if 0 <= rows.outputs[k] < g.out_h:
            rows.outputs[found], rows.taps[found] = rows.outputs[k], rows.taps[k]
            found += 1
    rows.count = found


# ---------------------------------------------------------------------------- channels last

cdef void pixels_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # rows of the image
    cdef const Shares *s = <const Shares *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t lines = g.samples * g.height, row = g.width * g.channels * s.size, line
    cdef Py_ssize_t first = 0, stop = g.out_w  # the outputs all of whose columns are inside
    cdef Takers rows
    outputs_inside(g, 0, &first, &stop)
    outputs_inside(g, g.kernel_w - 1, &first, &stop)
    for line in range(share(lines, s.tasks, task), share(lines, s.tasks, task + 1)):
        find_rows(s, &rows, line % g.height)
        if rows.count == 0:
            memset(s.out + line * row, 0, row)
        elif rows.count == 1 and g.stride_w == g.kernel_w and g.dilation_w == 1 and first < stop:
            windows_of_row(s, &rows, line, first, stop)
        else:
            phases_of_row(s, &rows, line, 0, g.width)


cdef void windows_of_row(const Shares *s, const Takers *rows, Py_ssize_t line, Py_ssize_t first,
                         Py_ssize_t stop) noexcept nogil:
    # windows side by side, from end to end; what is left at both sides is less than one of them
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t left = first * g.stride_w - g.pad_left, right = stop * g.stride_w - g.pad_left
    cdef Py_ssize_t at = (line // g.height * g.out_h + rows.outputs[0]) * g.out_w + first
    s.kernels.share_windows(s.grad + at * g.channels * s.size, s.codes + at * g.channels,
                            rows.taps[0] * g.kernel_w, g.kernel_w, stop - first, g.channels,
                            s.out + (line * g.width + left) * g.channels * s.size)
    phases_of_row(s, rows, line, 0, left)
    phases_of_row(s, rows, line, right, g.width)


cdef void phases_of_row(const Shares *s, const Takers *rows, Py_ssize_t line, Py_ssize_t first,
                        Py_ssize_t stop) noexcept nogil:
    # columns first..stop-1, those together that are a stride apart: they have the same taps
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t column
    for column in range(first, smaller(first + g.stride_w, stop)):
        phase_of_row(s, rows, line, column, ceil_div(stop - column, g.stride_w))


cdef void phase_of_row(const Shares *s, const Takers *rows, Py_ssize_t line, Py_ssize_t column,
                       Py_ssize_t pixels) noexcept nogil:
    # columns column, column + stride_w, ...: the middle ones have all of their outputs
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t left = 0, right = pixels, k, p
    cdef Takers columns
    find_takers(&columns, column + g.pad_left, g.kernel_w, g.stride_w, g.dilation_w)
    for k in range(columns.count):
        left = larger(left, -columns.outputs[k])
        right = smaller(right, g.out_w - columns.outputs[k])
    left = smaller(left, pixels)
    right = larger(left, right)
    for p in range(left):
        sum_pixels(s, rows, &columns, line, column, p, 1)
    sum_pixels(s, rows, &columns, line, column, left, right - left)
    for p in range(right, pixels):
        sum_pixels(s, rows, &columns, line, column, p, 1)


cdef void sum_pixels(const Shares *s, const Takers *rows, const Takers *columns, Py_ssize_t line,
                     Py_ssize_t column, Py_ssize_t p, Py_ssize_t pixels) noexcept nogil:
    # `pixels` of a phase from the p-th on; of one alone, outputs that there are not are left out
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t k, c, j, at, count = 0, first = line // g.height * g.out_h
    cdef fc_share shares[CODES]
    for k in range(rows.count):
        for c in range(columns.count):
            j = p + columns.outputs[c]
            if 0 <= j < g.out_w:
                at = ((first + rows.outputs[k]) * g.out_w + j) * g.channels
                shares[count].grad = s.grad + at * s.size
                shares[count].codes = s.codes + at
                shares[count].tap = rows.taps[k] * g.kernel_w + columns.taps[c]
                count += 1
    at = (line * g.width + column + p * g.stride_w) * g.channels
    s.kernels.sum_shares(shares, count, pixels, g.channels, s.out + at * s.size,
                         g.stride_w * g.channels)


# ----------------------------------------------------------------------------------- planes

cdef bint side_by_side(const Geometry *g) noexcept nogil:
    # windows of two columns that share no pixel
    return (g.kernel_w == g.stride_w == 2 and g.dilation_w == 1 and g.pad_left == 0
            and g.stride_h > (g.kernel_h - 1) * g.dilation_h)


cdef void pairs_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # rows of the image, two columns of each an output
    cdef const Shares *s = <const Shares *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t lines = g.samples * g.channels * g.height, line, at
    cdef Py_ssize_t pairs = smaller(g.out_w, g.width // 2), rest = g.width - 2 * pairs
    cdef Takers rows
    cdef fc_share last
    cdef char *out
    for line in range(share(lines, s.tasks, task), share(lines, s.tasks, task + 1)):
        out = s.out + line * g.width * s.size
        find_rows(s, &rows, line % g.height)
        if rows.count == 0:
            memset(out, 0, g.width * s.size)
            continue
        at = (line // g.height * g.out_h + rows.outputs[0]) * g.out_w
        s.kernels.share_pairs(s.grad + at * s.size, s.codes + at, 2 * rows.taps[0], out, pairs)
        memset(out + 2 * pairs * s.size, 0, rest * s.size)
        if rest and pairs < g.out_w:  # a window's second column is outside
            last.grad, last.codes = s.grad + (at + pairs) * s.size, s.codes + at + pairs
            last.tap = 2 * rows.taps[0]
            s.kernels.sum_shares(&last, 1, 1, 1, out + 2 * pairs * s.size, 1)


cdef void planes_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # one plane after the other
    cdef const Shares *s = <const Shares *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t planes = g.samples * g.channels, bytes = g.height * g.width * s.size
    cdef Py_ssize_t start = -g.pad_top * g.width - g.pad_left, plane, at
    cdef char *out
    for plane in range(share(planes, s.tasks, task), share(planes, s.tasks, task + 1)):
        out = s.out + plane * bytes
        at = plane * g.out_h * g.out_w
        memset(out, 0, bytes)
        s.kernels.scatter_shares(s.grad + at * s.size, s.codes + at, s.places, g.out_h, g.out_w,
                                 g.stride_w, out + start * s.size, g.stride_h * g.width)


# ------------------------------------------------------------------------------------ entry

def max_pool_codes_grad_x(cnp.ndarray numbers, cnp.ndarray grad, cnp.ndarray codes,
                          cnp.ndarray out, int threads):
    """Fill out with the gradient for the image, of codes that pool.max_pool told."""
    cdef Shares s
    cdef Geometry *g = &s.geometry
    g[0] = (<const Geometry *> cnp.PyArray_DATA(numbers))[0]
    s.kernels = kernels_of(grad)
    s.grad, s.out = cnp.PyArray_BYTES(grad), cnp.PyArray_BYTES(out)
    s.codes = <const uint8_t *> cnp.PyArray_DATA(codes)
    s.size = cnp.PyArray_ITEMSIZE(grad)
    list_places(g, s.places)
    if g.channels_last:
        run(g, pixels_task, &s, &s.tasks, g.samples * g.height, threads, 0)
    elif side_by_side(g):
        run(g, pairs_task, &s, &s.tasks, g.samples * g.channels * g.height, threads, 0)
    else:
        run(g, planes_task, &s, &s.tasks, g.samples * g.channels, threads, 0)
