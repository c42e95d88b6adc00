"""grad_w: register tiles of (channel, tap) x filters, summed over the pixels of all images.

    grad_w[f, c, r, s] = sum_{n, i, j} grad[n, f, i, j] * x[n, c, y, z]
    y = i * stride_h - pad_top + r * dilation_h,  z = j * stride_w - pad_left + s * dilation_w

Two ways:

  lanes    Lanes over filters: a block of pixels of grad is packed (pixel, filter) and x is read as
           it lies, one pointer a row of the tile, from a padded copy only where there is padding.
  dot      Lanes over pixels, for few filters a group (depthwise too): both are read as they lie.

Sums are kept per chunk of the pixel blocks, a number that the geometry alone decides, and added in
order at the end: the result does not depend on threads, and no sum is longer than a block before it
is added to the others.
"""

from libc.string cimport memset

cimport numpy as cnp

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
)

cnp.import_array()


cdef void plan_common(Weights *s, bint highest) noexcept nogil:
    cdef const Geometry *g = s.geometry
    s.highest = highest
    s.channels = g.channels // g.groups
    s.filters = g.filters // g.groups
    s.taps = g.kernel_h * g.kernel_w
    s.depth = s.channels * s.taps
    s.inside = (g.pad_top <= 0 and g.pad_left <= 0
                and ((g.out_h - 1) * g.stride_h - g.pad_top
                     + (g.kernel_h - 1) * g.dilation_h < g.height)
                and ((g.out_w - 1) * g.stride_w - g.pad_left
                     + (g.kernel_w - 1) * g.dilation_w < g.width))


cdef void store_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # out[f, c, r, s] = the sums of all chunks, in order
    cdef const Weights *s = <const Weights *> context
    cdef const Geometry *g = s.geometry
    cdef Part part = find_part(s, task)
    cdef Py_ssize_t size = s.kernels.itemsize, wide = s.padded_filters, chunk, m, c, r, z
    cdef char *sums = sums_of(s, 0, &part)
    cdef char *out = s.out + part.group * s.filters * s.out_filter * size
    cdef char *to
    cdef fc_copy some
    cdef fc_epilogue e = plain_epilogue(False)
    for chunk in range(1, s.chunks):
        s.kernels.scatter_add(sums_of(s, chunk, &part), sums, 1, part.count * wide)
    if (not g.channels_last and s.out_column == 1 and s.out_row == g.kernel_w
            and (s.out_channel == s.taps or s.channels == 1)):
        out += (part.c0 * s.taps + part.r0 * g.kernel_w) * size
        s.kernels.transpose(sums, wide, part.count, s.filters, out, s.out_filter, part.count)
        return
    some.to = some.source = 0
    while some.source < s.filters:  # a few filters at a time, each a stream of its own
        some.count = smaller(16, s.filters - some.source)
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
    plan_lanes(&s, 1)
    return s.band_bytes <= MOST_BAND_BYTES


cpdef grad_w(cnp.ndarray numbers, cnp.ndarray grad, cnp.ndarray x, cnp.ndarray out, int threads,
             bint highest, str algorithm):
    """Fill out, a (filters, channels, height, width) view, with the gradient for the kernel."""
    cdef Weights s
    cdef Py_ssize_t workspace, parts, size = cnp.PyArray_ITEMSIZE(x)
    cdef bint lanes = algorithm == "lanes"
    cdef int failed
    s.geometry = geometry_of(numbers)
    s.kernels = kernels_of(x)
    s.x, s.grad, s.out = cnp.PyArray_BYTES(x), cnp.PyArray_BYTES(grad), cnp.PyArray_BYTES(out)
    s.out_filter = cnp.PyArray_STRIDE(out, 0) // size
    s.out_channel = cnp.PyArray_STRIDE(out, 1) // size
    s.out_row = cnp.PyArray_STRIDE(out, 2) // size
    s.out_column = cnp.PyArray_STRIDE(out, 3) // size
    with nogil:
        plan_common(&s, highest)
        workspace = plan_lanes(&s, threads) if lanes else plan_dot(&s, threads)
        parts = s.geometry.groups * s.channel_parts * s.tap_parts
        s.sums = <char *> fc_workspace_take(
            s.chunks * s.geometry.groups * s.depth * s.padded_filters * size + FC_SLACK)
        failed = -1 if s.sums == NULL else 0
        if not failed:
            failed = parallel_for(lanes_task if lanes else dot_task, &s,
                                  s.chunks * parts * (s.panel_parts if lanes else 1), threads,
                                  workspace)
        if not failed:
            failed = parallel_for(store_task, &s, parts, threads, 0)
        fc_workspace_give(s.sums)
    if failed:
        raise MemoryError("no memory for the workspace of a gradient")


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
            s.kernels.sum_rows(s.grad + (i * g.out_w * g.filters + f0) * size, g.filters, g.out_w,
                               f1 - f0, s.out + f0 * size)
        return
    for f in range(f0, f1):
        for n in range(g.samples):
            s.kernels.sum(s.grad + (n * g.filters + f) * g.out_h * g.out_w * size,
                          g.out_h * g.out_w, s.out + f * size)


cpdef grad_bias(cnp.ndarray numbers, cnp.ndarray grad, cnp.ndarray out, int threads):
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
        raise MemoryError("no memory for the workspace of a gradient")
