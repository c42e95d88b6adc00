"""grad_x of channels-first images as GEMM + col2im: stride 1, small maps without much padding.

    columns[(c, r, s), (n, i, j)] = sum_f w[f, c, r, s] * grad[n, f, i, j]
    grad_x[n, c, i - pad_top + r * dilation_h, ...] += columns[(c, r, s), (n, i, j)]

A full convolution of the gradient, the other way, multiplies the zeros around it too: 2.25 times
the work from 6x6 to 4x4.  Strides are not taken here: their phases are convolutions of their own.

One unit of work owns some channels of some images: it multiplies a block of pixels at a time into a
buffer that stays in the cache and adds it to its own planes, always in the same order.
"""

from libc.string cimport memset

from fastconv._core.problem cimport (
    Geometry,
    Problem,
    ceil_div,
    larger,
    round_up,
    share,
    smaller,
)
from fastconv._core.runtime cimport (
    FC_SLACK,
    fc_columns,
    fc_copy,
    fc_epilogue,
    fc_workspace_give,
    fc_workspace_take,
    parallel_for,
    plain_epilogue,
)

cdef enum:
    MAX_DEPTH = 384
    MAX_COLUMNS = 128
    COLUMN_BYTES = 1 << 18      # of a block: several channels' columns
    CHANNEL_BYTES = 1 << 21     # of a block of one channel, where the kernel is large
    BLOCK_PIXELS = 512


cdef struct Columns:
    const Geometry *geometry
    const Problem *problem          # x is the gradient, out the image's gradient
    const char *packed
    Py_ssize_t taps, channels_each, channel_parts, images_each, image_parts, rows_each, tile_rows
    Py_ssize_t depth_blocks, vectors, tasks, panel_bytes


cdef inline Py_ssize_t tiles_of(const Columns *s, Py_ssize_t part) noexcept nogil:
    cdef Py_ssize_t c0 = part * s.channels_each
    return ceil_div((smaller(c0 + s.channels_each, s.problem.channels) - c0) * s.taps, s.tile_rows)


cdef void pack_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # to[tile][f][i] = w[f, first + i], one depth block of filters after the other
    cdef const Columns *s = <const Columns *> context
    cdef const Problem *p = s.problem
    cdef Py_ssize_t part = task % s.channel_parts, group = task // s.channel_parts
    cdef Py_ssize_t size = p.kernels.itemsize, c0 = part * s.channels_each, tile, block
    cdef Py_ssize_t f0, f1, f, few
    cdef Py_ssize_t rows = (smaller(c0 + s.channels_each, p.channels) - c0) * s.taps
    cdef Py_ssize_t first, height, tiles = tiles_of(s, part)
    cdef char *to
    cdef const char *w = p.w + (group * p.w_group + c0 * s.taps) * size
    for block in range(s.depth_blocks):
        f0 = share(p.filters, s.depth_blocks, block)
        f1 = share(p.filters, s.depth_blocks, block + 1)
        for few in range(f0, f1, 16):  # a few filters' rows at a time are read along
            for tile in range(tiles):
                first = share(rows, tiles, tile)
                height = share(rows, tiles, tile + 1) - first
                to = <char *> s.packed + size * (
                    (group * p.channels + c0) * s.taps * p.filters + f0 * rows
                    + first * (f1 - f0) + (few - f0) * height)
                for f in range(few, smaller(few + 16, f1)):
                    p.kernels.copy(w + (f * p.w_filter + first) * size, 1, to, height)
                    to += height * size


cdef Py_ssize_t list_pixels(const Columns *s, Py_ssize_t n, Py_ssize_t row, Py_ssize_t each,
                            Py_ssize_t start, Py_ssize_t stop, fc_copy *items) noexcept nogil:
    # where grad holds pixels start..stop-1 of a block, `each` of an image, from row `row` on
    cdef const Problem *p = s.problem
    cdef Py_ssize_t image = p.groups * p.filters * p.out_h * p.out_w, at = start, made = 0
    while at < stop:
        items[made].to = at - start
        items[made].source = (n + at // each) * image + row * p.out_w + at % each
        items[made].count = smaller(each - at % each, stop - at)
        at += items[made].count
        made += 1
    return made


cdef void multiply(const Columns *s, Py_ssize_t part, Py_ssize_t group, Py_ssize_t n,
                   Py_ssize_t images, Py_ssize_t row, Py_ssize_t rows, char *workspace,
                   char *columns) noexcept nogil:
    # columns[(c, tap), pixel] for `rows` rows of `images` images, by panels of pixels
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes
    cdef Py_ssize_t each = rows * p.out_w, pixels = images * each, vectors = ceil_div(pixels, lanes)
    cdef Py_ssize_t panels = ceil_div(vectors, s.vectors), panel, start, stop, wide, block, tile
    cdef Py_ssize_t plane = p.out_h * p.out_w, c0 = part * s.channels_each, m, f, f0, f1
    cdef Py_ssize_t height_all = (smaller(c0 + s.channels_each, p.channels) - c0) * s.taps
    cdef Py_ssize_t tiles = tiles_of(s, part), first, height
    cdef Py_ssize_t offsets[MAX_DEPTH]
    cdef fc_copy items[MAX_COLUMNS + 1]
    cdef fc_epilogue e = plain_epilogue(False)
    cdef const char *a
    for panel in range(panels):
        start = share(vectors, panels, panel) * lanes
        wide = share(vectors, panels, panel + 1) * lanes - start
        stop = smaller(pixels, start + wide)
        m = list_pixels(s, n, row, each, start, stop, items)
        for block in range(s.depth_blocks):
            f0 = share(p.filters, s.depth_blocks, block)
            f1 = share(p.filters, s.depth_blocks, block + 1)
            p.kernels.pack_pixels(items, m, 1, p.x + (group * p.filters + f0) * plane * size,
                                  plane, f1 - f0, p.x_end, workspace, wide)
            for f in range(f1 - f0):
                offsets[f] = f * wide
            e.accumulate = block > 0
            a = s.packed + size * (
                (group * p.channels + c0) * s.taps * p.filters + f0 * height_all)
            for tile in range(tiles):
                first = share(height_all, tiles, tile)
                height = share(height_all, tiles, tile + 1) - first
                p.kernels.taps[height][wide // lanes](
                    a + first * (f1 - f0) * size, f1 - f0, workspace, offsets,
                    columns + (first * pixels + start) * size, pixels, stop - start, &e)


cdef void add_columns(const Columns *s, Py_ssize_t part, Py_ssize_t group, Py_ssize_t n,
                      Py_ssize_t images, Py_ssize_t row, Py_ssize_t rows,
                      const char *columns) noexcept nogil:
    # grad_x[n, c, y, z] += columns: col2im
    cdef const Problem *p = s.problem
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = p.kernels.itemsize, c0 = part * s.channels_each, c, m
    cdef Py_ssize_t c1 = smaller(c0 + s.channels_each, p.channels)
    cdef fc_columns k
    k.kernel_h, k.kernel_w, k.dilation_h, k.dilation_w = (
        g.kernel_h, g.kernel_w, g.dilation_h, g.dilation_w)
    k.top, k.left, k.height, k.width = g.pad_top, g.pad_left, g.height, g.width
    k.row, k.rows, k.columns, k.tap = row, rows, g.out_w, images * rows * g.out_w
    for m in range(images):
        for c in range(c0, c1):
            p.kernels.add_columns(
                columns + ((c - c0) * s.taps * k.tap + m * rows * g.out_w) * size, &k,
                p.out + ((n + m) * g.channels + group * p.channels + c) * (
                    g.height * g.width) * size)


cdef void fill_planes(const Columns *s, Py_ssize_t part, Py_ssize_t group, Py_ssize_t n,
                      Py_ssize_t images) noexcept nogil:
    # grad_x starts from the bias, or from zero
    cdef const Problem *p = s.problem
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = p.kernels.itemsize, c0 = part * s.channels_each, m, c, at
    cdef Py_ssize_t pixels = g.height * g.width
    cdef char *plane
    for m in range(images):
        for c in range(c0, smaller(c0 + s.channels_each, p.channels)):
            at = group * p.channels + c
            plane = p.out + ((n + m) * g.channels + at) * pixels * size
            if p.bias == NULL:
                memset(plane, 0, pixels * size)
            else:
                p.kernels.copy(p.bias + at * size, 0, plane, pixels)


cdef void columns_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Columns *s = <const Columns *> context
    cdef const Problem *p = s.problem
    cdef Py_ssize_t part = task % s.channel_parts
    cdef Py_ssize_t group = task // s.channel_parts % p.groups
    cdef Py_ssize_t n = task // (s.channel_parts * p.groups) * s.images_each
    cdef Py_ssize_t images = smaller(s.images_each, p.samples - n), row = 0, rows
    cdef char *columns = workspace + s.panel_bytes
    fill_planes(s, part, group, n, images)
    while row < p.out_h:
        rows = smaller(s.rows_each, p.out_h - row)
        multiply(s, part, group, n, images, row, rows, workspace, columns)
        add_columns(s, part, group, n, images, row, rows, columns)
        row += rows


cdef bint fits_columns(const Geometry *g) noexcept nogil:
    # whether the columns of one row are few enough
    return g.kernel_h * g.kernel_w * g.out_w <= CHANNEL_BYTES // 8


cdef Py_ssize_t plan_columns(Columns *s) noexcept nogil:
    # returns the bytes of workspace a thread needs
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, pixels = p.out_h * p.out_w, block, most
    s.taps = p.kernel_h * p.kernel_w
    s.tile_rows = p.kernels.max_rows
    s.vectors = p.kernels.taps_vectors[s.tile_rows]
    s.depth_blocks = ceil_div(p.filters, p.depth_limit)
    # a block: whole images while they are small, else some rows of one
    most = CHANNEL_BYTES // (s.taps * size)
    s.rows_each = larger(1, smaller(p.out_h, smaller(BLOCK_PIXELS, most) // p.out_w))
    s.images_each = 1
    if s.rows_each == p.out_h:
        s.images_each = smaller(smaller(s.vectors * p.kernels.lanes * 2, most) // pixels,
                                p.samples)
        s.images_each = larger(1, s.images_each)
    s.image_parts = ceil_div(p.samples, s.images_each)
    block = s.images_each * s.rows_each * p.out_w
    s.channels_each = larger(1, smaller(p.channels, COLUMN_BYTES // (s.taps * block * size)))
    if p.threads > 1:
        while (s.channels_each > 8 and s.image_parts * p.groups
               * ceil_div(p.channels, s.channels_each) < 2 * p.threads):
            s.channels_each = ceil_div(s.channels_each, 2)
    s.channel_parts = ceil_div(p.channels, s.channels_each)
    s.tasks = s.image_parts * p.groups * s.channel_parts
    s.panel_bytes = round_up(p.depth_limit * s.vectors * p.kernels.lanes * size
                             + FC_SLACK, 64)
    return s.panel_bytes + s.channels_each * s.taps * block * size


cdef int run_col2im(const Geometry *g, const Problem *problem) noexcept nogil:
    cdef Columns s
    cdef const Problem *p = problem
    cdef Py_ssize_t workspace
    cdef int failed
    s.geometry = g
    s.problem = p
    workspace = plan_columns(&s)
    s.packed = <const char *> fc_workspace_take(
        p.groups * p.channels * s.taps * p.filters * p.kernels.itemsize)
    if s.packed == NULL:
        return -1
    failed = parallel_for(pack_task, &s, p.groups * s.channel_parts, p.threads, 0)
    if not failed:
        failed = parallel_for(columns_task, &s, s.tasks, p.threads, workspace)
    fc_workspace_give(<void *> s.packed)
    return failed
