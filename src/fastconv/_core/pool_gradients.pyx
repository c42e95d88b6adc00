"""Gradients of pools: every element of grad is added where its maximum was, or to its window.

A plane of the image, or an image whose channels come last, is one piece of work: what is added to
the same pixel is added in one thread, in the order of the outputs.
"""

from libc.stdint cimport int64_t
from libc.string cimport memset

cimport numpy as cnp

from fastconv._core.conv cimport kernels_of
from fastconv._core.pool cimport maximum_of
from fastconv._core.problem cimport round_up, share, smaller
from fastconv._core.runtime cimport (
    fc_kernels,
    fc_max_kernels,
    fc_workspace_give,
    fc_workspace_take,
)
from fastconv._core.windows cimport (
    PIECE,
    Geometry,
    columns_counted,
    count_columns,
    outputs_inside,
    pieces_of,
    rows_counted,
    run,
    taps_inside,
)

cnp.import_array()


cdef struct Gradient:
    Geometry geometry
    const fc_max_kernels *maximum
    const fc_kernels *average
    const char *grad
    char *out
    const int64_t *indices
    Py_ssize_t size, planes, each      # channels of a plane: all of them where they come last
    Py_ssize_t tasks
    Py_ssize_t widths_bytes
    Py_ssize_t *wrong                  # a task's number of indices out of range


cdef Gradient make_gradient(cnp.ndarray numbers, cnp.ndarray grad, cnp.ndarray out):
    cdef Gradient s
    cdef Geometry *g = &s.geometry
    g[0] = (<const Geometry *> cnp.PyArray_DATA(numbers))[0]
    s.maximum = NULL
    s.average = NULL
    s.grad, s.out = cnp.PyArray_BYTES(grad), cnp.PyArray_BYTES(out)
    s.indices = NULL
    s.wrong = NULL
    s.size = cnp.PyArray_ITEMSIZE(grad)
    s.planes = g.samples if g.channels_last else g.samples * g.channels
    s.each = g.channels if g.channels_last else 1
    s.widths_bytes = round_up(smaller(g.out_w, PIECE) * sizeof(Py_ssize_t), 64)
    return s


cdef char *cleared_plane(const Gradient *s, Py_ssize_t plane) noexcept nogil:
    cdef Py_ssize_t bytes = s.geometry.height * s.geometry.width * s.each * s.size
    memset(s.out + plane * bytes, 0, bytes)
    return s.out + plane * bytes


# ---------------------------------------------------------------------------------- maximum

cdef void maximum_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # grad_x[indices] += grad, one plane or one image after the other
    cdef const Gradient *s = <const Gradient *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t pixels = g.out_h * g.out_w, size = g.height * g.width, wrong = 0, plane, q
    cdef char *out
    for plane in range(share(s.planes, s.tasks, task), share(s.planes, s.tasks, task + 1)):
        out = cleared_plane(s, plane)
        if not g.channels_last:
            wrong += s.maximum.scatter_indices(s.grad + plane * pixels * s.size,
                                               s.indices + plane * pixels, pixels, size, out, 1, 0)
            continue
        for q in range(plane * pixels, (plane + 1) * pixels):
            wrong += s.maximum.scatter_indices(s.grad + q * s.each * s.size,
                                               s.indices + q * s.each, s.each, size, out, s.each, 1)
    s.wrong[task] = wrong


# ---------------------------------------------------------------------------------- average

cdef void average_rows_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # grad_x of every pixel of a window += grad / count, one plane after the other
    cdef const Gradient *s = <const Gradient *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t pieces = pieces_of(g.out_w), counted = -1, step = 0, plane, piece, first, stop
    cdef Py_ssize_t *widths = <Py_ssize_t *> workspace
    cdef char *out
    for plane in range(share(s.planes, s.tasks, task), share(s.planes, s.tasks, task + 1)):
        out = cleared_plane(s, plane)
        for piece in range(pieces):
            first = share(g.out_w, pieces, piece)
            stop = share(g.out_w, pieces, piece + 1)
            if piece != counted:
                step = count_columns(g, first, stop, widths)
                counted = piece
            average_piece(s, plane, first, stop, widths, step, workspace + s.widths_bytes, out)


cdef void average_piece(const Gradient *s, Py_ssize_t plane, Py_ssize_t first, Py_ssize_t stop,
                        const Py_ssize_t *widths, Py_ssize_t step, char *means,
                        char *out) noexcept nogil:
    # columns first..stop-1 of all rows of outputs
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t i, r, r0, r1, top
    for i in range(g.out_h):
        top = i * g.stride_h - g.pad_top
        taps_inside(top, g.dilation_h, g.kernel_h, g.height, &r0, &r1)
        s.average.divide(s.grad + ((plane * g.out_h + i) * g.out_w + first) * s.size,
                         rows_counted(g, i), widths, step, means, stop - first)
        for r in range(r0, r1):
            average_row(s, means, first, stop, out + (top + r * g.dilation_h) * g.width * s.size)


cdef void average_row(const Gradient *s, const char *means, Py_ssize_t first, Py_ssize_t stop,
                      char *row) noexcept nogil:
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t z, shift, left, right
    for z in range(g.kernel_w):
        left, right = first, stop
        shift = outputs_inside(g, z, &left, &right)
        s.average.scatter_add(means + (left - first) * s.size,
                              row + (left * g.stride_w + shift) * s.size, g.stride_w, right - left)


cdef void average_pixels_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # the same, a pixel's vector of channels at a time
    cdef const Gradient *s = <const Gradient *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t pixels = g.out_h * g.out_w, plane, q
    cdef char *out
    for plane in range(share(s.planes, s.tasks, task), share(s.planes, s.tasks, task + 1)):
        out = cleared_plane(s, plane)
        for q in range(pixels):
            average_pixel(s, s.grad + (plane * pixels + q) * g.channels * s.size, q // g.out_w,
                          q % g.out_w, workspace, out)


cdef void average_pixel(const Gradient *s, const char *grad, Py_ssize_t i, Py_ssize_t j,
                        char *means, char *image) noexcept nogil:
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t top = i * g.stride_h - g.pad_top, side = j * g.stride_w - g.pad_left
    cdef Py_ssize_t pieces = pieces_of(g.channels), height = rows_counted(g, i)
    cdef Py_ssize_t width = columns_counted(g, j), piece, first, count, r, r0, r1, z, z0, z1, pixel
    taps_inside(top, g.dilation_h, g.kernel_h, g.height, &r0, &r1)
    taps_inside(side, g.dilation_w, g.kernel_w, g.width, &z0, &z1)
    for piece in range(pieces):
        first = share(g.channels, pieces, piece)
        count = share(g.channels, pieces, piece + 1) - first
        s.average.divide(grad + first * s.size, height, &width, 0, means, count)
        for r in range(r0, r1):
            for z in range(z0, z1):
                pixel = (top + r * g.dilation_h) * g.width + side + z * g.dilation_w
                s.average.scatter_add(means, image + (pixel * g.channels + first) * s.size, 1,
                                      count)


# ------------------------------------------------------------------------------------ entry

def max_pool_grad_x(cnp.ndarray numbers, cnp.ndarray grad, cnp.ndarray indices, cnp.ndarray out,
                    int threads):
    """Fill out with the gradient for the image; return whether every index was in range."""
    cdef Gradient s = make_gradient(numbers, grad, out)
    cdef Py_ssize_t wrong = 0, task
    s.maximum = maximum_of(grad)
    s.indices = <const int64_t *> cnp.PyArray_DATA(indices)
    s.wrong = <Py_ssize_t *> fc_workspace_take(8 * threads * sizeof(Py_ssize_t))
    if s.wrong == NULL:
        raise MemoryError("no memory for the workspace of a pool")
    try:
        run(&s.geometry, maximum_task, &s, &s.tasks, s.planes, threads, 0)
        for task in range(s.tasks):
            wrong += s.wrong[task]
    finally:
        fc_workspace_give(s.wrong)
    return wrong == 0


cpdef avg_pool_grad_x(cnp.ndarray numbers, cnp.ndarray grad, cnp.ndarray out, int threads):
    """Fill out with the gradient for the image."""
    cdef Gradient s = make_gradient(numbers, grad, out)
    cdef const Geometry *g = &s.geometry
    s.average = kernels_of(grad)
    if g.channels_last:
        run(g, average_pixels_task, &s, &s.tasks, s.planes, threads,
            smaller(g.channels, PIECE) * s.size)
    else:
        run(g, average_rows_task, &s, &s.tasks, s.planes, threads,
            s.widths_bytes + smaller(g.out_w, PIECE) * s.size)
