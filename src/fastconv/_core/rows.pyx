"""Convolution of channels-last images: register tiles of pixels x filters, lanes over filters.

The weights are packed as (panel of filters, depth, lanes); the pixels are not packed at all: for
every tap a tile holds one pointer a pixel to its channels, as they lie (the indirect convolution of
Dukhan 2019), or to a row of zeros outside of the image.  With few channels the taps of one kernel
row are neighbours in memory and are taken in one run, from a padded copy where there is padding.
"""

from libc.string cimport memset

from fastconv._core.packing cimport PARALLEL_BYTES, give_packed, take_packed
from fastconv._core.patch cimport Patch, copy_patch
from fastconv._core.problem cimport (
    Blocking,
    Depth,
    Problem,
    ceil_div,
    depth_block,
    larger,
    make_blocking,
    round_up,
    share,
    smaller,
)
from fastconv._core.runtime cimport (
    FC_SLACK,
    fc_epilogue,
    parallel_for,
    plain_epilogue,
)

cdef enum:
    GROUP_POINTERS = 4096      # of the tiles that are multiplied with one panel in turn
    STRIP_BYTES = 1 << 18
    FEW_CHANNELS = 32


cdef struct Rows:
    const Problem *problem
    const char *packed
    Blocking blocking
    Py_ssize_t vectors, panels, height       # of the filters; pixels a tile
    Py_ssize_t strips, panel_parts, units, tasks
    Py_ssize_t merged, inside, width, group_tiles, pointer_bytes, zero_bytes


cdef void pack_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # to[block][tap][channel][lane] = w[group, filter, channel, tap] for one panel of filters
    cdef const Rows *s = <const Rows *> context
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, group = task // s.panels, panel = task % s.panels
    cdef Py_ssize_t first = share(s.vectors, s.panels, panel) * p.kernels.lanes
    cdef Py_ssize_t wide = share(s.vectors, s.panels, panel + 1) * p.kernels.lanes - first
    cdef Py_ssize_t filters = smaller(wide, p.filters - first), block, t, c
    cdef char *to = <char *> s.packed + panel_offset(s, group, panel) * size
    cdef const char *tap
    cdef Depth d
    for block in range(s.blocking.blocks):
        d = depth_block(p, &s.blocking, block)
        for t in range(d.t0, d.t1):
            for c in range(d.c0, d.c1):
                tap = p.w + (group * p.w_group + first * p.w_filter + c * p.w_channel
                             + t // p.kernel_w * p.w_row + t % p.kernel_w * p.w_column) * size
                p.kernels.copy(tap, p.w_filter, to, filters)
                memset(to + filters * size, 0, (wide - filters) * size)
                to += wide * size


cdef inline Py_ssize_t panel_offset(const Rows *s, Py_ssize_t group,
                                    Py_ssize_t panel) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef Py_ssize_t depth = p.channels * p.kernel_h * p.kernel_w
    return depth * p.kernels.lanes * (group * s.vectors + share(s.vectors, s.panels, panel))


cdef void fill_strip(const Rows *s, Py_ssize_t n, Py_ssize_t row, Py_ssize_t rows,
                     char *strip) noexcept nogil:
    # the padded rows that `rows` output rows from `row` on read, merged taps only
    cdef const Problem *p = s.problem
    cdef Patch w
    w.height, w.width, w.pixel, w.channels = p.height, p.width, p.channels, p.channels
    w.y, w.z, w.step_y, w.step_z = row * p.stride_h - p.pad_top, -p.pad_left, 1, 1
    w.rows = (rows - 1) * p.stride_h + (p.kernel_h - 1) * p.dilation_h + 1
    w.columns = s.width
    copy_patch(p.kernels, p.x + n * p.height * p.width * p.channels * p.kernels.itemsize, &w,
                strip)


cdef void find_runs(const Rows *s, const char *first, Py_ssize_t width, Py_ssize_t j,
                    Py_ssize_t count, const void **rows) noexcept nogil:
    # rows[run * count + q]: where pixel q finds kernel row `run`; pixel 0, which is in column j,
    # at `first`, in an image or strip of this width
    cdef const Problem *p = s.problem
    cdef Py_ssize_t pixel = p.channels * p.kernels.itemsize, at = 0, some, q, t
    cdef Py_ssize_t tap = p.dilation_h * width * pixel, step = p.stride_w * pixel
    cdef Py_ssize_t wrap = p.stride_h * width * pixel - p.out_w * step
    while at < count:  # row by row: short loops without branches
        some = smaller(count - at, p.out_w - j)
        for t in range(p.kernel_h):
            for q in range(some):
                rows[t * count + at + q] = first + t * tap + q * step
        first += some * step + wrap
        at += some
        j = 0


cdef void find_taps(const Rows *s, const Depth *d, const char *x, Py_ssize_t row, Py_ssize_t j,
                    Py_ssize_t count, const char *zeros, const void **rows) noexcept nogil:
    # rows[tap * count + q]: where pixel q finds its channels for a tap, from (row, j) on
    cdef const Problem *p = s.problem
    cdef Py_ssize_t pixel = p.channels * p.groups * p.kernels.itemsize, q, t, c, y, z, at
    for q in range(count):
        at = q
        c = d.t0 % p.kernel_w
        y = row * p.stride_h - p.pad_top + d.t0 // p.kernel_w * p.dilation_h
        t = d.t0
        while t < d.t1:
            z = j * p.stride_w - p.pad_left + c * p.dilation_w
            if 0 <= y < p.height and 0 <= z < p.width:
                rows[at] = x + (y * p.width + z) * pixel
            else:
                rows[at] = zeros
            at += count
            t += 1
            c += 1
            if c == p.kernel_w:
                c = 0
                y += p.dilation_h
        j += 1
        if j == p.out_w:
            j = 0
            row += 1


cdef void find_rows(const Rows *s, const Depth *d, Py_ssize_t n, Py_ssize_t group,
                    Py_ssize_t row, Py_ssize_t first, Py_ssize_t count, const char *strip,
                    const char *zeros, const void **rows) noexcept nogil:
    # what the `count` pixels from `first` on of the strip at `row` read
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, pixel = p.channels * p.groups * size
    cdef Py_ssize_t i = first // p.out_w, j = first % p.out_w
    cdef const char *x = p.x + n * p.height * p.width * pixel + (group * p.channels + d.c0) * size
    if not s.merged:
        find_taps(s, d, x, row + i, j, count, zeros, rows)
    elif s.inside:
        x += (((row + i) * p.stride_h - p.pad_top) * p.width + j * p.stride_w - p.pad_left) * pixel
        find_runs(s, x, p.width, j, count, rows)
    else:
        strip += (i * p.stride_h * s.width + j * p.stride_w) * pixel
        find_runs(s, strip, s.width, j, count, rows)


cdef void tile_group(const Rows *s, const Depth *d, Py_ssize_t block, Py_ssize_t n,
                     Py_ssize_t group, Py_ssize_t part, Py_ssize_t row, Py_ssize_t first,
                     Py_ssize_t count, char *workspace) noexcept nogil:
    # pixels first..first+count-1 of a strip, all in one row unless rows follow each other in out
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, tile, panel, start, wide
    cdef Py_ssize_t tiles = ceil_div(count, s.height), height, at, vectors
    cdef Py_ssize_t runs = p.kernel_h if s.merged else d.t1 - d.t0
    cdef Py_ssize_t length = p.kernel_w * p.channels if s.merged else d.c1 - d.c0
    cdef const void **rows = <const void **> workspace
    cdef const char *zeros = workspace + s.pointer_bytes
    cdef const char *b
    cdef char *out = p.out + (n * p.out_sample + (row + first // p.out_w) * p.out_row
                              + first % p.out_w * p.out_column + group * p.out_group) * size
    cdef bint last = block == s.blocking.blocks - 1
    cdef fc_epilogue e = plain_epilogue(block > 0)
    e.relu = last and p.relu
    for tile in range(tiles):
        at = share(count, tiles, tile)
        find_rows(s, d, n, group, row, first + at, share(count, tiles, tile + 1) - at,
                  zeros + s.zero_bytes, zeros, rows + at * runs)
    for panel in range(share(s.panels, s.panel_parts, part),
                       share(s.panels, s.panel_parts, part + 1)):
        start = share(s.vectors, s.panels, panel)
        vectors = share(s.vectors, s.panels, panel + 1) - start
        start *= lanes
        wide = smaller(vectors * lanes, p.filters - start)
        b = s.packed + (panel_offset(s, group, panel) + d.before * vectors * lanes) * size
        if last and p.bias != NULL:
            e.column_bias = p.bias + (group * p.filters + start) * size
        for tile in range(tiles):
            at = share(count, tiles, tile)
            height = share(count, tiles, tile + 1) - at
            p.kernels.rows[height][vectors](rows + at * runs, runs, length, 1, b,
                                            out + (at * p.out_column + start) * size,
                                            p.out_column, wide, &e)


cdef void rows_unit(const Rows *s, Py_ssize_t unit, char *workspace) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef Py_ssize_t part = unit % s.panel_parts, strip = unit // s.panel_parts % s.strips
    cdef Py_ssize_t image = unit // (s.panel_parts * s.strips), block, line, at
    cdef Py_ssize_t n = image // p.groups, group = image % p.groups
    cdef Py_ssize_t row = share(p.out_h, s.strips, strip)
    cdef Py_ssize_t rows = share(p.out_h, s.strips, strip + 1) - row
    cdef Py_ssize_t lines = 1 if p.out_row == p.out_w * p.out_column else rows
    cdef Py_ssize_t pixels = rows * p.out_w // lines, pieces
    cdef Depth d
    pieces = ceil_div(pixels, s.group_tiles * s.height)
    if s.merged and not s.inside:
        fill_strip(s, n, row, rows, workspace + s.pointer_bytes + s.zero_bytes)
    for block in range(s.blocking.blocks):
        d = depth_block(p, &s.blocking, block)
        for line in range(lines):
            for at in range(pieces):
                tile_group(s, &d, block, n, group, part, row,
                           line * p.out_w + share(pixels, pieces, at),
                           share(pixels, pieces, at + 1) - share(pixels, pieces, at), workspace)


cdef void rows_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Rows *s = <const Rows *> context
    cdef Py_ssize_t unit
    memset(workspace + s.pointer_bytes, 0, s.zero_bytes)
    for unit in range(share(s.units, s.tasks, task), share(s.units, s.tasks, task + 1)):
        rows_unit(s, unit, workspace)


cdef void plan_filters(Rows *s) noexcept nogil:
    # the panels of filters, which decide how the weights are packed
    cdef const Problem *p = s.problem
    s.blocking = make_blocking(p, 8)
    s.vectors = ceil_div(p.filters, p.kernels.lanes)
    s.panels = ceil_div(s.vectors, p.kernels.rows_vectors[1])


cdef Py_ssize_t plan_rows(Rows *s) noexcept nogil:
    # returns the bytes of workspace a thread needs
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, rows, reach, runs, strip_bytes = 0
    cdef Py_ssize_t images = p.samples * p.groups
    s.height = p.kernels.max_rows
    while p.kernels.rows_vectors[s.height] < ceil_div(s.vectors, s.panels):
        s.height -= 1
    reach = (p.kernel_h - 1) * p.dilation_h + 1
    s.inside = (p.pad_top <= 0 and p.pad_left <= 0
                and (p.out_h - 1) * p.stride_h - p.pad_top + reach <= p.height
                and ((p.out_w - 1) * p.stride_w - p.pad_left
                     + (p.kernel_w - 1) * p.dilation_w < p.width))
    s.width = (p.out_w - 1) * p.stride_w + p.kernel_w
    s.merged = (p.groups == 1 and p.dilation_w == 1 and s.blocking.blocks == 1
                and p.channels <= FEW_CHANNELS
                and (s.inside or reach < STRIP_BYTES and s.width < STRIP_BYTES
                     and ((reach + 3 * p.stride_h) * s.width * p.channels * size
                          <= 4 * STRIP_BYTES)))
    rows = larger(4, STRIP_BYTES // (s.width * p.stride_h * p.channels * size))
    rows = smaller(rows, p.out_h)
    if p.threads > 1:
        rows = smaller(rows, larger(4, ceil_div(p.out_h * images, 4 * p.threads)))
    s.strips = ceil_div(p.out_h, rows)
    rows = ceil_div(p.out_h, s.strips)
    s.panel_parts = 1
    if images * s.strips < p.threads:
        s.panel_parts = smaller(s.panels, ceil_div(2 * p.threads, images * s.strips))
    s.units = images * s.strips * s.panel_parts
    s.tasks = smaller(s.units, 8 * p.threads)
    runs = p.kernel_h if s.merged else s.blocking.taps_each
    s.group_tiles = larger(1, GROUP_POINTERS // (runs * s.height))
    s.pointer_bytes = round_up(runs * s.height * s.group_tiles * sizeof(void *), 64)
    s.zero_bytes = round_up(s.blocking.channels_each * size, 64)
    if s.merged and not s.inside:
        strip_bytes = ((rows - 1) * p.stride_h + reach) * s.width * p.channels * size
    return s.pointer_bytes + s.zero_bytes + strip_bytes + FC_SLACK


cdef Py_ssize_t rows_bytes(const Problem *p) noexcept nogil:
    cdef Py_ssize_t padded = round_up(p.filters, p.kernels.lanes)
    return p.groups * padded * p.channels * p.kernel_h * p.kernel_w * p.kernels.itemsize


cdef int pack_rows(const Problem *p, char *to) noexcept nogil:
    cdef Rows s
    s.problem = p
    s.packed = to
    plan_filters(&s)
    return parallel_for(pack_task, &s, p.groups * s.panels,
                        p.threads if rows_bytes(p) > PARALLEL_BYTES else 1, 0)


cdef int run_rows(const Problem *problem) noexcept nogil:
    cdef Rows s
    cdef int failed
    s.problem = problem
    plan_filters(&s)
    s.packed = take_packed(problem, rows_bytes(problem), pack_rows)
    if s.packed == NULL:
        return -1
    workspace = plan_rows(&s)
    failed = parallel_for(rows_task, &s, s.tasks, problem.threads, workspace)
    give_packed(problem, s.packed)
    return failed
