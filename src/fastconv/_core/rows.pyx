"""Convolution of channels-last images: register tiles of pixels x filters, lanes over filters.

The weights are packed as (panel of filters, depth, lanes); the pixels are not packed at all: for
every tap a tile holds one pointer a pixel to its channels, as they lie (the indirect convolution of
Dukhan 2019), or to a row of zeros outside of the image.  With few channels the taps of one kernel
row are neighbours in memory and are taken in one run, from a padded copy where there is padding.
"""

from libc.string cimport memcpy, memset

from fastconv._core.packing cimport PARALLEL_BYTES, give_packed, take_packed
from fastconv._core.patch cimport Patch, copy_patch
from fastconv._core.problem cimport (
    Blocking,
    Depth,
    Geometry,
    Problem,
    ceil_div,
    count_tasks,
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
    stopped,
)

cdef enum:
    AHEAD_BYTES = 1 << 11      # lines of out are asked for so far ahead
    GROUP_POINTERS = 4096      # of the tiles that are multiplied with one panel in turn
    STRIP_BYTES = 1 << 18
    FEW_CHANNELS = 32
    TURNED_CHANNELS = 16
    TURNED_BYTES = 1 << 22     # of an image and its sums, in float64: more would leave the cache


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
    cdef const char *w = p.w + (group * p.w_group + first * p.w_filter) * size
    cdef Depth d
    for block in range(s.blocking.blocks):
        d = depth_block(p, &s.blocking, block)
        if together(p):
            pack_block(p, &d, w, filters, wide, workspace, to)
            to += d.depth * wide * size
            continue
        for t in range(d.t0, d.t1):
            for c in range(d.c0, d.c1):
                p.kernels.copy(w + (c * p.w_channel + t // p.kernel_w * p.w_row
                                    + t % p.kernel_w * p.w_column) * size,
                               p.w_filter, to, filters)
                memset(to + filters * size, 0, (wide - filters) * size)
                to += wide * size


cdef inline bint together(const Problem *p) noexcept nogil:
    # whether a filter's weights are neighbours, channel by channel
    return (p.w_column == 1 and p.w_row == p.kernel_w
            and p.w_channel == p.kernel_h * p.kernel_w)


cdef void pack_block(const Problem *p, const Depth *d, const char *w, Py_ssize_t filters,
                     Py_ssize_t wide, char *turned, char *to) noexcept nogil:
    # a few channels at a time: [filter][channel][tap] is turned, then its rows are put in order
    cdef Py_ssize_t size = p.kernels.itemsize, taps = d.t1 - d.t0, c = d.c0, count, i, t
    while c < d.c1:
        count = smaller(TURNED_CHANNELS, d.c1 - c)
        for i in range(count if taps < p.kernel_h * p.kernel_w else 1):
            p.kernels.transpose(w + ((c + i) * p.w_channel + d.t0) * size, p.w_filter, filters,
                                taps if taps < p.kernel_h * p.kernel_w else count * taps,
                                turned + i * taps * wide * size, wide, wide)
        for t in range(taps):
            for i in range(count):
                memcpy(to + (t * (d.c1 - d.c0) + c - d.c0 + i) * wide * size,
                       turned + (i * taps + t) * wide * size, wide * size)
        c += count


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
                    Py_ssize_t row, Py_ssize_t i, Py_ssize_t j, Py_ssize_t count,
                    const char *strip, const char *zeros, const void **rows) noexcept nogil:
    # what `count` pixels read, from column j of row i on of the strip at `row`
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, pixel = p.channels * p.groups * size
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
    # pixels first..first+count-1 of a strip, all in one row unless rows follow each other in out;
    # what they read is found for the first panel, and kept if there are others
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, tile, panel, start, wide
    cdef Py_ssize_t tiles = ceil_div(count, s.height), height, vectors, i, j
    cdef Py_ssize_t low = count // tiles, higher = count % tiles  # divided once: tiles are small
    cdef Py_ssize_t runs = p.kernel_h if s.merged else d.t1 - d.t0
    cdef Py_ssize_t length = p.kernel_w * p.channels if s.merged else d.c1 - d.c0
    cdef Py_ssize_t panel0 = share(s.panels, s.panel_parts, part)
    cdef Py_ssize_t panel1 = share(s.panels, s.panel_parts, part + 1)
    cdef const void **rows
    cdef const char *zeros = workspace + s.pointer_bytes
    cdef const char *b
    cdef char *out
    cdef char *pixels = p.out + (n * p.out_sample + (row + first // p.out_w) * p.out_row
                                 + first % p.out_w * p.out_column + group * p.out_group) * size
    cdef bint last = block == s.blocking.blocks - 1
    cdef fc_epilogue e = plain_epilogue(block > 0)
    e.relu = last and p.relu
    e.out_ahead = ceil_div(AHEAD_BYTES, s.height * p.out_column * size) * s.height * p.out_column
    for panel in range(panel0, panel1):
        if stopped():
            return
        start = share(s.vectors, s.panels, panel)
        vectors = share(s.vectors, s.panels, panel + 1) - start
        start *= lanes
        wide = smaller(vectors * lanes, p.filters - start)
        b = s.packed + (panel_offset(s, group, panel) + d.before * vectors * lanes) * size
        if last and p.bias != NULL:
            e.column_bias = p.bias + (group * p.filters + start) * size
        rows, out = <const void **> workspace, pixels + start * size
        i, j = first // p.out_w, first % p.out_w
        for tile in range(tiles):
            height = low + (1 if tile < higher else 0)
            if panel == panel0:
                find_rows(s, d, n, group, row, i, j, height, zeros + s.zero_bytes, zeros, rows)
                j += height
                while j >= p.out_w:
                    j -= p.out_w
                    i += 1
            p.kernels.rows[height][vectors](rows, runs, length, 1, b, out, p.out_column, wide, &e)
            out += height * p.out_column * size
            if panel1 - panel0 > 1:
                rows += height * runs


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
    s.tasks = count_tasks(p, s.units)
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
                        p.threads if rows_bytes(p) > PARALLEL_BYTES else 1,
                        TURNED_CHANNELS * s.blocking.taps_each * p.kernels.rows_vectors[1]
                        * p.kernels.lanes * p.kernels.itemsize)


cdef int run_rows(const Problem *problem) noexcept nogil:
    cdef Rows s
    cdef int failed
    s.problem = problem
    plan_filters(&s)
    s.packed = take_packed(problem, rows_bytes(problem), pack_rows)
    if s.packed == NULL:
        return -1
    if problem.channels_last:
        workspace = plan_rows(&s)
        failed = parallel_for(rows_task, &s, s.tasks, problem.threads, workspace)
    else:
        failed = run_turned(&s)
    give_packed(problem, s.packed)
    return failed


# --------------------------------------------------------------------------- channels first

# Each image is transposed on the way in, and its sums on the way out: to the tiles it is one whose
# channels are last.
cdef struct Turned:
    Rows rows
    Problem image               # as rows sees one group of one image; x and out in workspace
    const Problem *problem
    Py_ssize_t image_bytes, sums_bytes


cdef void turned_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Turned *s = <const Turned *> context
    cdef const Problem *p = s.problem
    cdef Problem image = s.image
    cdef Rows rows = s.rows
    cdef Py_ssize_t part = task % rows.panel_parts, index = task // rows.panel_parts, strip
    cdef Py_ssize_t n = index // p.groups, group = index % p.groups, size = p.kernels.itemsize
    cdef Py_ssize_t plane = p.height * p.width, lanes = p.kernels.lanes
    cdef Py_ssize_t f0 = share(rows.panels, rows.panel_parts, part)
    cdef Py_ssize_t f1 = share(rows.panels, rows.panel_parts, part + 1)
    image.x, image.out = workspace, workspace + s.image_bytes
    if p.bias != NULL:
        image.bias = p.bias + group * p.filters * size
    rows.problem = &image
    rows.packed += panel_offset(&s.rows, group, 0) * size
    p.kernels.transpose(p.x + index * p.channels * plane * size, plane, p.channels, plane,
                        workspace, p.channels, p.channels)
    workspace += s.image_bytes + s.sums_bytes
    memset(workspace + rows.pointer_bytes, 0, rows.zero_bytes)
    for strip in range(rows.strips):
        rows_unit(&rows, strip * rows.panel_parts + part, workspace)
    f0 = share(rows.vectors, rows.panels, f0) * lanes
    f1 = smaller(share(rows.vectors, rows.panels, f1) * lanes, p.filters)
    p.kernels.transpose(image.out + f0 * size, p.filters, p.out_h * p.out_w, f1 - f0,
                        p.out + (n * p.out_sample + group * p.out_group
                                 + f0 * p.out_filter) * size,
                        p.out_filter, p.out_h * p.out_w)


cdef int run_turned(const Rows *rows) noexcept nogil:
    cdef Turned s
    cdef const Problem *p = rows.problem
    cdef Py_ssize_t images = p.samples * p.groups, size = p.kernels.itemsize, workspace
    s.problem, s.rows, s.image = p, rows[0], p[0]
    s.image.samples, s.image.groups, s.image.channels_last, s.image.threads = 1, 1, True, 1
    s.image.out_filter, s.image.out_column = 1, p.filters
    s.image.out_row, s.image.out_sample, s.image.out_group = p.out_w * p.filters, 0, 0
    s.rows.problem = &s.image
    workspace = plan_rows(&s.rows)
    s.rows.panel_parts = 1
    if p.threads > 1 and images < 2 * p.threads:
        s.rows.panel_parts = smaller(rows.panels, ceil_div(2 * p.threads, images))
    s.image_bytes = round_up(p.height * p.width * p.channels * size + FC_SLACK, 64)
    s.sums_bytes = round_up(p.out_h * p.out_w * p.filters * size + FC_SLACK, 64)
    return parallel_for(turned_task, &s, images * s.rows.panel_parts, p.threads,
                        s.image_bytes + s.sums_bytes + workspace)


cdef bint fits_turned(const Geometry *g) noexcept nogil:
    # whether an image and its sums stay in the cache
    return (g.height * g.width * (g.channels // g.groups)
            + g.out_h * g.out_w * (g.filters // g.groups)) <= TURNED_BYTES // 8
