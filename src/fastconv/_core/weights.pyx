"""grad_w: register tiles of (channel, tap) x filters, summed over the pixels of all images.

    grad_w[f, c, r, s] = sum_{n, i, j} grad[n, f, i, j] * x[n, c, y, z]
    y = i * stride_h - pad_top + r * dilation_h,  z = j * stride_w - pad_left + s * dilation_w

Two ways:

  lanes    Lanes over filters: a block of pixels of grad is packed (pixel, filter) and x is read
           along rows of pixels, one pointer a row of the tile, from a copy only where it must be.
  dot      Lanes over pixels, for few filters a group (depthwise too): both are read as they lie.

Sums are kept per chunk of the pixel blocks, a number that the geometry alone decides, and added in
order at the end: the result does not depend on threads, and no sum is longer than a block before it
is added to the others.  The gradient for the bias, the sum of grad, is made of the same blocks.
"""

from libc.string cimport memset

cimport numpy as cnp

from fastconv._core.bias_sums cimport add_chunks, bias_bytes
from fastconv._core.conv cimport geometry_of, kernels_of
from fastconv._core.dot cimport dot_task, plan_dot
from fastconv._core.lanes cimport lanes_task, plan_lanes
from fastconv._core.problem cimport Geometry, ceil_div, share, smaller
from fastconv._core.runtime cimport (
    FC_FLOAT64,
    FC_SLACK,
    conv_kernels,
    fc_copy,
    fc_epilogue,
    fc_workspace_give,
    fc_workspace_take,
    parallel_for,
    plain_epilogue,
    raise_failure,
    stopped,
)

cnp.import_array()


cdef void plan_common(Weights *s, bint highest) noexcept nogil:
    cdef const Geometry *g = s.geometry
    s.highest = highest
    s.channels = g.channels // g.groups
    s.filters = g.filters // g.groups
    s.taps = g.kernel_h * g.kernel_w
    s.depth = s.channels * s.taps
    s.exchanged = False
    s.in_place = (g.pad_top <= 0 and g.pad_left <= 0
                  and ((g.out_h - 1) * g.stride_h - g.pad_top
                       + (g.kernel_h - 1) * g.dilation_h < g.height)
                  and ((g.out_w - 1) * g.stride_w - g.pad_left
                       + (g.kernel_w - 1) * g.dilation_w < g.width))


cdef Py_ssize_t cost(const Weights *s, Py_ssize_t rows, Py_ssize_t filters,
                     Py_ssize_t turned) noexcept nogil:
    # of a pixel's products with lanes over `filters`, in tenths of a cycle, and what is transposed
    cdef Py_ssize_t vectors = ceil_div(filters, s.kernels.lanes)
    cdef Py_ssize_t each = 9 if vectors == 1 else 6 if vectors == 2 else 5
    return each * rows * vectors + 7 * turned


cdef void plan_roles(Weights *s) noexcept nogil:
    # Of a 1x1 kernel all pixels of an image are one row, and lanes may be channels: what is
    # transposed is x, or grad and the result.
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t pixels = g.samples * g.out_h * g.out_w, x = s.channels, grad
    if s.taps > 1 or not s.in_place or g.out_h != g.height or g.out_w != g.width:
        return
    s.flat = g[0]
    s.flat.height = s.flat.out_h = 1
    s.flat.width = s.flat.out_w = g.height * g.width
    s.flat.stride_h = s.flat.stride_w = 1  # an axis of one pixel may have another
    s.geometry = &s.flat
    grad = s.filters + ceil_div(s.filters * s.channels, pixels)
    if g.channels_last:
        s.exchanged = cost(s, s.filters, s.channels, grad) < cost(s, s.channels, s.filters, x)
    else:
        s.exchanged = cost(s, s.filters, s.channels, x) < cost(s, s.channels, s.filters, grad)
    if s.exchanged:
        s.x, s.grad = s.grad, s.x
        s.channels, s.filters, s.depth = s.filters, s.channels, s.filters
        s.flat.channels, s.flat.filters = s.flat.filters, s.flat.channels
        s.out_filter, s.out_channel = s.out_channel, s.out_filter


cdef void store_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # out[f, c, r, s] = the sums of all chunks, in order
    cdef const Weights *s = <const Weights *> context
    cdef const Geometry *g = s.geometry
    cdef Part part = find_part(s, task)
    cdef Py_ssize_t size = s.kernels.itemsize, wide = s.padded_filters, chunk, m, c, r, z
    cdef char *sums = sums_of(s, 0, &part)
    cdef char *out = s.out + part.group * s.out_group * size
    cdef char *to
    cdef fc_copy some
    cdef fc_epilogue e = plain_epilogue(False)
    for chunk in range(1, s.chunks):
        s.kernels.scatter_add(sums_of(s, chunk, &part), sums, 1, part.count * wide)
    if (s.taps == s.out_channel == 1) or (
            not g.channels_last and s.out_column == 1 and s.out_row == g.kernel_w
            and (s.out_channel == s.taps or s.channels == 1)):
        out += (part.c0 * s.taps + part.r0 * g.kernel_w) * size
        s.kernels.transpose(sums, wide, part.count, s.filters, out, s.out_filter, part.count)
        return
    some.to = some.source = 0
    while some.source < s.filters:  # a few filters at a time, if each is a stream of its own
        some.count = s.filters if s.out_filter == 1 else smaller(16, s.filters - some.source)
        for m in range(part.count):
            split_row(s, &part, m, &c, &r, &z)
            to = out + (c * s.out_channel + r * s.out_row + z * s.out_column) * size
            s.kernels.scatter(sums + m * wide * size, wide, 1, &some, 1, to, 0, s.out_filter, &e)
        some.source += some.count
        some.to += some.count * s.out_filter


# ---------------------------------------------------------------------------------- entry

def band_fits(cnp.ndarray numbers, str algorithm):
    """Whether the padded copy of one channel that the algorithm may need stays small."""
    cdef Weights s
    s.geometry = geometry_of(numbers)
    s.kernels = conv_kernels(FC_FLOAT64)
    plan_common(&s, False)
    if algorithm == "dot":
        return plan_dot(&s, 1) <= MOST_BAND_BYTES + FC_SLACK
    plan_roles(&s)
    plan_lanes(&s, 1)
    return s.band_bytes <= MOST_BAND_BYTES


cpdef grad_w(cnp.ndarray numbers, cnp.ndarray grad, cnp.ndarray x, cnp.ndarray out, int threads,
             bint highest, str algorithm, object grad_bias=None):
    """Fill out, a (filters, channels, height, width) view, with the gradient for the kernel.

    And grad_bias, unless it is None, with the sum of grad for each filter.
    """
    cdef Weights s
    cdef Py_ssize_t workspace, parts, bytes, size = cnp.PyArray_ITEMSIZE(x)
    cdef char *taken
    cdef bint lanes = algorithm == "lanes"
    cdef int failed
    s.geometry = geometry_of(numbers)
    s.kernels = kernels_of(x)
    s.x, s.grad, s.out = cnp.PyArray_BYTES(x), cnp.PyArray_BYTES(grad), cnp.PyArray_BYTES(out)
    s.out_filter = cnp.PyArray_STRIDE(out, 0) // size
    s.out_channel = cnp.PyArray_STRIDE(out, 1) // size
    s.out_row = cnp.PyArray_STRIDE(out, 2) // size
    s.out_column = cnp.PyArray_STRIDE(out, 3) // size
    s.bias.out = NULL if grad_bias is None else cnp.PyArray_BYTES(grad_bias)
    s.bias.filters = s.geometry.filters
    with nogil:
        plan_common(&s, highest)
        s.out_group = s.filters * s.out_filter
        if lanes:
            plan_roles(&s)
        workspace = plan_lanes(&s, threads) if lanes else plan_dot(&s, threads)
        parts = s.geometry.groups * s.channel_parts * s.tap_parts
        bytes = s.chunks * s.geometry.groups * s.depth * s.padded_filters * size
        if (lanes and s.chunks == 1 and s.taps == 1 and s.out_filter == 1
                and s.padded_filters == s.filters):
            bytes = 0  # tiles are what out is made of
        taken = <char *> fc_workspace_take(bytes + bias_bytes(&s.bias, s.kernels, s.chunks)
                                           + FC_SLACK)
        s.sums = taken if bytes else NULL
        s.bias.others = taken + bytes
        failed = -1 if taken == NULL else 0
        if not failed:
            failed = parallel_for(lanes_task if lanes else dot_task, &s,
                                  s.chunks * parts * (s.panel_parts if lanes else 1), threads,
                                  workspace)
        if not failed and s.sums != NULL:
            failed = parallel_for(store_task, &s, parts, threads, 0)
        if not failed:
            add_chunks(&s.bias, s.kernels, s.chunks)
        fc_workspace_give(taken)
    if failed:
        raise_failure("no memory for the workspace of a gradient")


# ----------------------------------------------------------------------------------- bias

cdef void bias_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # out[f] = sum of grad, image by image (channels first) or row by row (channels last)
    cdef const Weights *s = <const Weights *> context
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = s.kernels.itemsize, n, i, f
    cdef Py_ssize_t f0 = share(g.filters, s.blocks, task), f1 = share(g.filters, s.blocks, task + 1)
    memset(s.out + f0 * size, 0, (f1 - f0) * size)
    if g.channels_last:
        for i in range(g.samples * g.out_h):
            if i % 64 == 0 and stopped():
                return
            s.kernels.sum_rows(s.grad + (i * g.out_w * g.filters + f0) * size, g.filters, g.out_w,
                               f1 - f0, s.out + f0 * size)
        return
    for f in range(f0, f1):
        for n in range(g.samples):
            if n % 64 == 0 and stopped():
                return
            s.kernels.sum(s.grad + (n * g.filters + f) * g.out_h * g.out_w * size,
                          g.out_h * g.out_w, s.out + f * size)


def grad_bias(cnp.ndarray numbers, cnp.ndarray grad, cnp.ndarray out, int threads):
    """Fill out with the sum of grad for each filter."""
    cdef Weights s
    cdef int failed
    s.geometry = geometry_of(numbers)
    s.kernels = kernels_of(grad)
    s.grad, s.out = cnp.PyArray_BYTES(grad), cnp.PyArray_BYTES(out)
    s.blocks = ceil_div(s.geometry.filters, 64 if s.geometry.channels_last else 1)
    with nogil:
        failed = parallel_for(bias_task, &s, s.blocks, threads, 0)
    if failed:
        raise_failure("no memory for the workspace of a gradient")
