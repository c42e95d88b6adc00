"""grad_w, lanes over pixels: for few filters a group, depthwise too.

Both sides are read as they lie; x from a padded copy, its columns split by stride, where there is
padding or a stride.
"""

from libc.string cimport memset

from fastconv._core.bias_sums cimport begin_bias
from fastconv._core.patch cimport Patch, copy_patch
from fastconv._core.problem cimport Geometry, ceil_div, exact_length, larger, share, smaller
from fastconv._core.runtime cimport FC_SLACK, stopped
from fastconv._core.weights cimport (
    BAND_BYTES,
    Part,
    Weights,
    find_part,
    plan_chunks,
    plan_parts,
    plan_taps,
    split_row,
    sums_of,
)


cdef void fill_phases(const Weights *s, const Part *part, Py_ssize_t n, Py_ssize_t y,
                      Py_ssize_t rows, Py_ssize_t width, char *to) noexcept nogil:
    # to[c][phase][row][column]: rows y.. of the part's channels, their columns split by stride
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = s.kernels.itemsize, c, v
    cdef const char *image = s.x + (n * g.channels + part.group * s.channels + part.c0) * (
        g.height * g.width) * size
    cdef Patch w
    w.height, w.width, w.pixel, w.channels = g.height, g.width, 1, 1
    w.y, w.step_y, w.step_z, w.rows, w.columns = y, 1, g.stride_w, rows, width
    for c in range(part.c1 - part.c0):
        for v in range(smaller(g.kernel_w, g.stride_w)):
            # taps z, z + phases, ... share a phase if the stride divides phases * dilation
            w.z = v * g.dilation_w % g.stride_w - g.pad_left
            copy_patch(s.kernels, image + c * g.height * g.width * size, &w, to)
            to += rows * width * size


cdef inline const char *tile_row(const Weights *s, const Part *part, Py_ssize_t m, Py_ssize_t n,
                                 Py_ssize_t row, Py_ssize_t tall, Py_ssize_t width,
                                 const char *band) noexcept nogil:
    # where tile row m finds its first pixel: in x as it lies if there is no band
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t phases = smaller(g.kernel_w, g.stride_w), c, r, z, at
    split_row(s, part, m, &c, &r, &z)
    if band == NULL:
        at = (n * g.channels + part.group * s.channels + c) * g.height
        at += row * g.stride_h - g.pad_top + r * g.dilation_h
        return s.x + (at * g.width + z * g.dilation_w - g.pad_left) * s.kernels.itemsize
    at = ((c - part.c0) * phases + z % phases) * tall + (r - part.r0) * g.dilation_h
    return band + (at * width + z * g.dilation_w // g.stride_w) * s.kernels.itemsize


cdef void dot_block(const Weights *s, const Part *part, Py_ssize_t n, Py_ssize_t row,
                    Py_ssize_t rows, char *sums, char *bias, char *workspace) noexcept nogil:
    # `rows` rows of one image; the sums of the gradient are added to `bias` unless it is NULL
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = s.kernels.itemsize, i, f = 0, first, height, tiles, few, tile
    cdef Py_ssize_t width = g.out_w + (g.kernel_w - 1) * g.dilation_w // g.stride_w
    cdef Py_ssize_t tall = (rows - 1) * g.stride_h + (part.r1 - part.r0 - 1) * g.dilation_h + 1
    cdef char *band = NULL if s.in_place else workspace
    cdef const void *x_rows[8]
    cdef const void *grads[4]
    if band == NULL:
        width = g.width
    else:
        fill_phases(s, part, n, row * g.stride_h - g.pad_top + part.r0 * g.dilation_h, tall, width,
                    band)
    while f < s.filters:
        few = smaller(s.filters - f, 4)
        while s.kernels.dot_rows[few] == 0:
            few -= 1
        for i in range(few):
            grads[i] = s.grad + ((n * g.filters + part.group * s.filters + f + i) * g.out_h
                                 + row) * g.out_w * size
            if bias != NULL:
                s.kernels.sum(grads[i], rows * g.out_w, bias + (f + i) * size)
        tiles = ceil_div(part.count, s.kernels.dot_rows[few])
        for tile in range(tiles):
            first = share(part.count, tiles, tile)
            height = share(part.count, tiles, tile + 1) - first
            for i in range(height):
                x_rows[i] = tile_row(s, part, first + i, n, row, tall, width, band)
            s.kernels.dot[height][few](
                x_rows, width * g.stride_h, grads, g.out_w, rows, g.out_w,
                sums + (first * s.padded_filters + f) * size, s.padded_filters)
        f += few


cdef void dot_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # the blocks of this way are s.column_parts strips of rows an image
    cdef const Weights *s = <const Weights *> context
    cdef Py_ssize_t parts = s.geometry.groups * s.channel_parts * s.tap_parts
    cdef Py_ssize_t chunk = task // parts, index, strip, row
    cdef Part part = find_part(s, task % parts)
    cdef char *sums = sums_of(s, chunk, &part)
    cdef char *bias = NULL
    memset(sums, 0, part.count * s.padded_filters * s.kernels.itemsize)
    if s.bias.out != NULL and part.start == 0:
        bias = begin_bias(&s.bias, s.kernels, chunk, part.group * s.filters, s.filters)
    for index in range(share(s.blocks, s.chunks, chunk), share(s.blocks, s.chunks, chunk + 1)):
        if stopped():
            return
        strip = index % s.column_parts
        row = share(s.geometry.out_h, s.column_parts, strip)
        dot_block(s, &part, index // s.column_parts, row,
                  share(s.geometry.out_h, s.column_parts, strip + 1) - row, sums, bias,
                  workspace)


cdef Py_ssize_t plan_dot(Weights *s, int threads) noexcept nogil:
    # returns the bytes of workspace a thread needs
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = s.kernels.itemsize, rows, channel_bytes
    s.padded_filters = s.filters
    rows = larger(1, smaller(g.out_h, BAND_BYTES // 4 // g.stride_h // g.stride_w // size
                             // (g.out_w + g.kernel_w)))
    if s.highest:  # a strip is summed before it is added to the others
        rows = larger(1, smaller(rows, exact_length(g.samples * g.out_h * g.out_w) // g.out_w))
    s.column_parts = ceil_div(g.out_h, rows)
    rows = ceil_div(g.out_h, s.column_parts)
    s.blocks = g.samples * s.column_parts
    s.in_place = s.in_place and g.stride_w == 1
    s.step_h, s.step_w = g.stride_h, g.stride_w
    # a row split by stride has a column more for each phase
    channel_bytes = plan_taps(s, rows, g.out_w + smaller(g.kernel_w, g.stride_w), 1)
    plan_chunks(s, g.groups * ceil_div(s.depth, 8))
    plan_parts(s, channel_bytes, s.chunks, threads)
    return channel_bytes * s.channels_each + FC_SLACK
