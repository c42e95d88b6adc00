"""Convolution of channels-first images: register tiles of filters x pixels, lanes over pixels.

Two ways to bring the pixels under the tile, both on the `taps` kernel:

  direct   A padded band of rows is copied once, its columns and rows split by stride so that every
           tap reads neighbours; the kernel takes tap k from offsets[k].  Rows are multiplied one by
           one, or, where that wastes fewer lanes, flattened over the padded width.
  panels   The pixels of all images stand in one line; a panel of them is gathered for one block of
           depth, then multiplied with all filters (implicit GEMM; Goto & van de Geijn 2008).

Every output is the sum over (channel, tap) in the same order and the same depth blocks, wherever
its pixel falls in a tile: results depend neither on threads nor on the rest of the batch.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from fastconv._core.problem cimport (
    Blocking,
    Depth,
    Problem,
    after_inside,
    ceil_div,
    depth_block,
    depth_limit,
    first_inside,
    larger,
    make_blocking,
    round_up,
    share,
    smaller,
    tile_start,
)
from fastconv._core.runtime cimport (
    FC_SLACK,
    fc_copy,
    fc_epilogue,
    fc_workspace_give,
    fc_workspace_take,
    parallel_for,
)

cdef enum:
    MAX_DEPTH = 384
    MAX_COLUMNS = 128           # of a panel: eight vectors of sixteen lanes
    TILE_BYTES = 8 * 8 * 64
    BAND_BYTES = 1 << 19        # a band of the direct way, kept in the second-level cache
    FEW_PIXELS = 300            # fewer do not pay for packing the weights
    LARGE_WEIGHTS = 1200 * 1024  # more leave the cache between two panels


cdef struct Taps:
    const Problem *problem
    const char *packed
    Blocking blocking
    Py_ssize_t units, tasks
    # direct
    Py_ssize_t phases_h, phases_w, shift_h, bands, tile_parts, width, plane, by_row
    # panels
    Py_ssize_t pixels, vectors, panels, panel_parts, segments, items_bytes


# ---------------------------------------------------------------------------------- weights

cdef void pack_tile(const Problem *p, const Blocking *b, Py_ssize_t group, Py_ssize_t tile,
                    char *packed) noexcept nogil:
    # to[k][i] = w[group, first + i, k], one depth block after the other
    cdef Py_ssize_t size = p.kernels.itemsize, first = tile_start(b, tile)
    cdef Py_ssize_t height = tile_start(b, tile + 1) - first
    cdef Py_ssize_t whole = p.channels * p.kernel_h * p.kernel_w, block, c, t, i, k
    cdef const char *w = p.w + (group * p.w_group + first * p.w_filter) * size
    cdef const char *tap
    cdef char *to
    cdef Depth d
    for block in range(b.blocks):
        d = depth_block(p, b, block)
        to = packed + (group * p.filters * whole + d.before * p.filters + first * d.depth) * size
        if contiguous_filters(p):
            p.kernels.transpose(w + d.before * size, p.w_filter, height, d.depth, to, height,
                                height)
            continue
        k = 0
        for c in range(d.c0, d.c1):
            for t in range(d.t0, d.t1):
                tap = w + (c * p.w_channel + t // p.kernel_w * p.w_row
                           + t % p.kernel_w * p.w_column) * size
                if size == 4:
                    for i in range(height):
                        (<uint32_t *> to)[k + i] = (<const uint32_t *> tap)[i * p.w_filter]
                else:
                    for i in range(height):
                        (<uint64_t *> to)[k + i] = (<const uint64_t *> tap)[i * p.w_filter]
                k += height


cdef inline bint contiguous_filters(const Problem *p) noexcept nogil:
    return (p.w_column == 1 and p.w_row == p.kernel_w
            and p.w_channel == p.kernel_h * p.kernel_w)


cdef void pack_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef Taps *s = <Taps *> context
    pack_tile(s.problem, &s.blocking, task // s.blocking.tiles, task % s.blocking.tiles,
              <char *> s.packed)


cdef int pack_weights(Taps *s) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef Py_ssize_t count = p.groups * p.filters * p.channels * p.kernel_h * p.kernel_w
    cdef int threads = p.threads if count > (1 << 16) else 1
    s.packed = <const char *> fc_workspace_take(count * p.kernels.itemsize)
    if s.packed == NULL:
        return -1
    return parallel_for(pack_task, s, p.groups * s.blocking.tiles, threads, 0)


cdef inline fc_epilogue epilogue_of(const Problem *p, const Blocking *b, Py_ssize_t block,
                                    Py_ssize_t group, Py_ssize_t first) noexcept nogil:
    cdef fc_epilogue e
    cdef bint last = block == b.blocks - 1
    e.accumulate = block > 0
    e.relu = last and p.relu
    e.column_bias = NULL
    e.row_bias = NULL
    if last and p.bias != NULL:
        e.row_bias = p.bias + (group * p.filters + first) * p.kernels.itemsize
    return e


# ----------------------------------------------------------------------------------- direct

cdef void fill_band(const Taps *s, Py_ssize_t n, Py_ssize_t group, const Depth *d,
                    Py_ssize_t row, Py_ssize_t rows, char *band) noexcept nogil:
    # band[c, phase_w, phase_h, q, m] = x[c, (row + q) * stride + phase - pad, ...], zero outside
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, c, v, h, q, y, low, high, shift
    cdef const char *image
    cdef char *to
    for c in range(d.c1 - d.c0):
        image = p.x + (((n * p.groups + group) * p.channels + d.c0 + c)
                       * p.height * p.width) * size
        for v in range(s.phases_w):
            shift = v * p.dilation_w % p.stride_w - p.pad_left
            low = smaller(s.width, first_inside(shift, p.stride_w, 0))
            high = larger(low, after_inside(shift, p.stride_w, p.width, s.width))
            for h in range(s.phases_h):
                to = band + (c * s.plane + (v * s.phases_h + h) * rows * s.width) * size
                for q in range(rows):
                    y = (row + q) * p.stride_h + h * p.dilation_h % p.stride_h - p.pad_top
                    if y < 0 or y >= p.height or high == low:
                        memset(to, 0, s.width * size)
                    else:
                        if low:
                            memset(to, 0, low * size)
                        p.kernels.copy(image + (y * p.width + low * p.stride_w + shift) * size,
                                       p.stride_w, to + low * size, high - low)
                        if high < s.width:
                            memset(to + high * size, 0, (s.width - high) * size)
                    to += s.width * size


cdef void direct_panel(const Taps *s, const Depth *d, Py_ssize_t block, Py_ssize_t group,
                       Py_ssize_t part, const char *x, const Py_ssize_t *offsets, char *out,
                       const fc_copy *segments, Py_ssize_t count, Py_ssize_t columns,
                       Py_ssize_t vectors) noexcept nogil:
    # All filters of one panel.  One segment of neighbours is written where it belongs at once.
    cdef const Problem *p = s.problem
    cdef const Blocking *b = &s.blocking
    cdef Py_ssize_t size = p.kernels.itemsize, tile, first, height
    cdef char held[TILE_BYTES]
    cdef fc_epilogue e, plain
    cdef const char *a = s.packed + p.filters * size * (
        group * p.channels * p.kernel_h * p.kernel_w + d.before)
    plain.accumulate = plain.relu = 0
    plain.row_bias = plain.column_bias = NULL
    for tile in range(share(b.tiles, s.tile_parts, part), share(b.tiles, s.tile_parts, part + 1)):
        first = tile_start(b, tile)
        height = tile_start(b, tile + 1) - first
        e = epilogue_of(p, b, block, group, first)
        if count == 1 and segments[0].source == 0 and p.out_column == 1:
            p.kernels.taps[height][vectors](
                a + first * d.depth * size, d.depth, x, offsets,
                out + (first * p.out_filter + segments[0].to) * size, p.out_filter,
                segments[0].count, &e)
        else:
            p.kernels.taps[height][vectors](
                a + first * d.depth * size, d.depth, x, offsets, held,
                vectors * p.kernels.lanes, columns, &plain)
            p.kernels.scatter(held, vectors * p.kernels.lanes, height, segments, count,
                              out + first * p.out_filter * size, p.out_filter, p.out_column, &e)


cdef void direct_unit(const Taps *s, Py_ssize_t unit, char *band) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef const Blocking *b = &s.blocking
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes
    cdef Py_ssize_t part = unit % s.tile_parts, strip = unit // s.tile_parts % s.bands
    cdef Py_ssize_t image = unit // (s.tile_parts * s.bands)
    cdef Py_ssize_t n = image // p.groups, group = image % p.groups
    cdef Py_ssize_t row = share(p.out_h, s.bands, strip)
    cdef Py_ssize_t rows = share(p.out_h, s.bands, strip + 1) - row
    cdef Py_ssize_t line, lines, length, block, c, t, r, z, k, panel, panels, vectors, start, stop
    cdef Py_ssize_t offsets[MAX_DEPTH]
    cdef fc_copy segments[MAX_COLUMNS + 1]
    cdef Py_ssize_t count
    cdef char *out = p.out + (n * p.out_sample + group * p.out_group + row * p.out_row) * size
    cdef Depth d
    for block in range(b.blocks):
        d = depth_block(p, b, block)
        fill_band(s, n, group, &d, row, rows + s.shift_h, band)
        k = 0
        for c in range(d.c1 - d.c0):
            for t in range(d.t0, d.t1):
                r = t // p.kernel_w
                z = t % p.kernel_w
                offsets[k] = c * s.plane + z * p.dilation_w // p.stride_w + (
                    (z % s.phases_w * s.phases_h + r % s.phases_h) * (rows + s.shift_h)
                    + r * p.dilation_h // p.stride_h) * s.width
                k += 1
        lines = rows if s.by_row else 1
        length = p.out_w if s.by_row else (rows - 1) * s.width + p.out_w
        vectors = ceil_div(length, lanes)
        panels = ceil_div(vectors, b.vectors)
        for line in range(lines):
            for panel in range(panels):
                start = share(vectors, panels, panel) * lanes
                stop = smaller(length, share(vectors, panels, panel + 1) * lanes)
                count = find_segments(s, line * s.width + start, line * s.width + stop, segments)
                direct_panel(s, &d, block, group, part,
                             band + (line * s.width + start) * size, offsets, out, segments,
                             count, stop - start, ceil_div(stop - start, lanes))


cdef Py_ssize_t find_segments(const Taps *s, Py_ssize_t start, Py_ssize_t stop,
                              fc_copy *segments) noexcept nogil:
    # the flattened positions start..stop-1 that are outputs, row by row
    cdef const Problem *p = s.problem
    cdef Py_ssize_t at = start, i, j, count = 0
    while at < stop:
        i = at // s.width
        j = at % s.width
        if j < p.out_w:
            segments[count].to = i * p.out_row + j * p.out_column
            segments[count].source = at - start
            segments[count].count = smaller(p.out_w - j, stop - at)
            count += 1
        at += s.width - j
    return count


cdef void direct_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Taps *s = <const Taps *> context
    cdef Py_ssize_t unit
    for unit in range(share(s.units, s.tasks, task), share(s.units, s.tasks, task + 1)):
        direct_unit(s, unit, workspace)


cdef inline Py_ssize_t phase_count(Py_ssize_t kernel, Py_ssize_t stride,
                                   Py_ssize_t dilation) noexcept nogil:
    cdef Py_ssize_t a = stride, b = dilation, rest
    while b:
        rest = a % b
        a = b
        b = rest
    return smaller(kernel, stride // a)


cdef Py_ssize_t plan_direct(Taps *s) noexcept nogil:
    # returns the bytes of workspace a thread needs
    cdef const Problem *p = s.problem
    cdef const Blocking *b = &s.blocking
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, rows, wanted, flat, lined
    cdef Py_ssize_t depth = b.channels_each * b.taps_each, images = p.samples * p.groups
    s.phases_h = phase_count(p.kernel_h, p.stride_h, p.dilation_h)
    s.phases_w = phase_count(p.kernel_w, p.stride_w, p.dilation_w)
    s.shift_h = (p.kernel_h - 1) * p.dilation_h // p.stride_h
    s.width = p.out_w + (p.kernel_w - 1) * p.dilation_w // p.stride_w
    wanted = BAND_BYTES // (b.channels_each * s.phases_h * s.phases_w * s.width * size)
    rows = larger(4, smaller(p.out_h, wanted - s.shift_h))
    if p.threads > 1:  # a few pieces for each thread
        rows = larger(4, smaller(rows, ceil_div(p.out_h * images, 4 * p.threads)))
    s.bands = ceil_div(p.out_h, rows)
    rows = ceil_div(p.out_h, s.bands)
    s.tile_parts = 1
    if images * s.bands < p.threads:
        s.tile_parts = smaller(b.tiles, ceil_div(2 * p.threads, images * s.bands))
    s.plane = round_up(s.phases_h * s.phases_w * (rows + s.shift_h) * s.width, 64 // size)
    if s.plane * size % 4096 < 256:  # planes a page apart would share cache sets
        s.plane += 320 // size
    flat = ceil_div((rows - 1) * s.width + p.out_w, lanes)
    lined = rows * ceil_div(p.out_w, lanes)
    s.by_row = lined * depth <= flat * (depth + 12)
    s.units = images * s.bands * s.tile_parts
    s.tasks = smaller(s.units, 8 * p.threads)
    return s.plane * b.channels_each * size + 8 * FC_SLACK


# ----------------------------------------------------------------------------------- panels

cdef Py_ssize_t find_pixels(const Taps *s, Py_ssize_t start, Py_ssize_t stop, fc_copy *runs,
                            fc_copy *segments) noexcept nogil:
    # The pixels start..stop-1 of all images, as runs of neighbours in one row of one image:
    # runs[m].to = image, .source = row * out_w + column; segments[m] = where they go.
    cdef const Problem *p = s.problem
    cdef Py_ssize_t at = start, n, rest, i, j, count = 0, length
    while at < stop:
        n = at // (p.out_h * p.out_w)
        rest = at % (p.out_h * p.out_w)
        i = rest // p.out_w
        j = rest % p.out_w
        length = smaller(p.out_w - j, stop - at)
        runs[count].to = n
        runs[count].source = rest
        runs[count].count = length
        segments[count].to = n * p.out_sample + i * p.out_row + j * p.out_column
        segments[count].source = at - start
        segments[count].count = length
        count += 1
        at += length
    return count


cdef Py_ssize_t join_segments(const Problem *p, fc_copy *segments, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t m, kept = 0
    if p.out_column != 1:
        return count
    for m in range(1, count):
        if segments[m].to == segments[kept].to + segments[kept].count:
            segments[kept].count += segments[m].count
        else:
            kept += 1
            segments[kept] = segments[m]
    return kept + 1


cdef inline void add_item(fc_copy *items, Py_ssize_t *count, Py_ssize_t to, Py_ssize_t source,
                          Py_ssize_t length) noexcept nogil:
    cdef fc_copy *last = &items[count[0] - 1]
    if length <= 0:
        return
    if count[0] and source < 0 and last.source < 0 and last.to + last.count == to:
        last.count += length
        return
    items[count[0]].to = to
    items[count[0]].source = source
    items[count[0]].count = length
    count[0] += 1


cdef Py_ssize_t list_items(const Taps *s, const Depth *d, const fc_copy *runs, Py_ssize_t count,
                           Py_ssize_t wide, fc_copy *items) noexcept nogil:
    # what to copy, and where zeros go, for every tap of the block and every run of pixels
    cdef const Problem *p = s.problem
    cdef Py_ssize_t t, m, i, j, y, low, high, shift, to, made = 0
    cdef Py_ssize_t image = p.groups * p.channels * p.height * p.width
    for t in range(d.t0, d.t1):
        to = (t - d.t0) * wide
        shift = t % p.kernel_w * p.dilation_w - p.pad_left
        for m in range(count):
            i = runs[m].source // p.out_w
            j = runs[m].source % p.out_w
            y = i * p.stride_h - p.pad_top + t // p.kernel_w * p.dilation_h
            low = j
            high = j
            if 0 <= y < p.height:
                low = smaller(j + runs[m].count, first_inside(shift, p.stride_w, j))
                high = larger(low, after_inside(shift, p.stride_w, p.width, j + runs[m].count))
            add_item(items, &made, to, -1, low - j)
            add_item(items, &made, to + low - j,
                     runs[m].to * image + y * p.width + low * p.stride_w + shift, high - low)
            add_item(items, &made, to + high - j, -1, j + runs[m].count - high)
            to += runs[m].count
    return made


cdef void panel_unit(const Taps *s, Py_ssize_t group, Py_ssize_t panel, Py_ssize_t block,
                     Py_ssize_t part, char *workspace) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef const Blocking *b = &s.blocking
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, c, k, count, made
    cdef Py_ssize_t first_vector = share(s.vectors, s.panels, panel)
    cdef Py_ssize_t vectors = share(s.vectors, s.panels, panel + 1) - first_vector
    cdef Py_ssize_t start = first_vector * lanes, stop = smaller(s.pixels, start + vectors * lanes)
    cdef Py_ssize_t offsets[MAX_DEPTH]
    cdef fc_copy runs[MAX_COLUMNS + 1]
    cdef fc_copy segments[MAX_COLUMNS + 1]
    cdef fc_copy *items = <fc_copy *> workspace
    cdef char *packed = workspace + s.items_bytes
    cdef const char *x
    cdef Depth d = depth_block(p, b, block)
    count = find_pixels(s, start, stop, runs, segments)
    made = list_items(s, &d, runs, count, vectors * lanes, items)
    count = join_segments(p, segments, count)
    for c in range(d.c0, d.c1):
        x = p.x + (group * p.channels + c) * p.height * p.width * size
        p.kernels.pack_pixels(items, made, p.stride_w, x, p.x_end,
                              packed + (c - d.c0) * (d.t1 - d.t0) * vectors * lanes * size)
    for k in range(d.depth):
        offsets[k] = k * vectors * lanes
    if s.packed == NULL:
        unpacked_panel(s, &d, block, group, part, packed, segments, count, stop - start, vectors)
    else:
        direct_panel(s, &d, block, group, part, packed, offsets,
                     p.out + group * p.out_group * size, segments, count, stop - start, vectors)


cdef void unpacked_panel(const Taps *s, const Depth *d, Py_ssize_t block, Py_ssize_t group,
                         Py_ssize_t part, const char *packed, const fc_copy *segments,
                         Py_ssize_t count, Py_ssize_t columns, Py_ssize_t vectors) noexcept nogil:
    # The filters' own rows serve as they lie: too few pixels to pay for packing them.
    cdef const Problem *p = s.problem
    cdef const Blocking *b = &s.blocking
    cdef Py_ssize_t size = p.kernels.itemsize, tile, first, height, i
    cdef const void *rows[8]
    cdef char held[TILE_BYTES]
    cdef fc_epilogue e, plain
    plain.accumulate = plain.relu = 0
    plain.row_bias = plain.column_bias = NULL
    for tile in range(share(b.tiles, s.tile_parts, part), share(b.tiles, s.tile_parts, part + 1)):
        first = tile_start(b, tile)
        height = tile_start(b, tile + 1) - first
        e = epilogue_of(p, b, block, group, first)
        for i in range(height):
            rows[i] = p.w + (group * p.w_group + (first + i) * p.w_filter + d.before) * size
        p.kernels.rows[height][vectors](rows, 1, d.depth, 1, packed, held,
                                        vectors * p.kernels.lanes, columns, &plain)
        p.kernels.scatter(held, vectors * p.kernels.lanes, height, segments, count,
                          p.out + (group * p.out_group + first * p.out_filter) * size,
                          p.out_filter, p.out_column, &e)


cdef void panel_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # a range of panels; the depth outside, so that a block's weights serve them all from the cache
    cdef const Taps *s = <const Taps *> context
    cdef Py_ssize_t part = task % s.tile_parts, piece = task // s.tile_parts % s.panel_parts
    cdef Py_ssize_t group = task // (s.tile_parts * s.panel_parts), block, panel
    for block in range(s.blocking.blocks):
        for panel in range(share(s.panels, s.panel_parts, piece),
                           share(s.panels, s.panel_parts, piece + 1)):
            panel_unit(s, group, panel, block, part, workspace)


cdef Py_ssize_t plan_panels(Taps *s) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef const Blocking *b = &s.blocking
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes
    cdef Py_ssize_t weights = p.filters * p.channels * p.kernel_h * p.kernel_w * size
    s.pixels = p.samples * p.out_h * p.out_w
    s.vectors = ceil_div(s.pixels, lanes)
    s.panels = ceil_div(s.vectors, b.vectors)
    if weights > LARGE_WEIGHTS:
        s.panel_parts = smaller(s.panels, p.threads)
    else:
        s.panel_parts = smaller(s.panels, larger(8 * p.threads, ceil_div(s.panels, 16)))
    s.tile_parts = 1
    if p.groups * s.panel_parts < 2 * p.threads:
        s.tile_parts = smaller(b.tiles, ceil_div(2 * p.threads, p.groups * s.panel_parts))
    if p.threads == 1:
        s.tile_parts = 1
    s.tasks = p.groups * s.panel_parts * s.tile_parts
    s.segments = smaller(b.vectors * lanes, b.vectors * lanes // p.out_w + 2)
    s.items_bytes = round_up(b.taps_each * s.segments * 3 * sizeof(fc_copy), 64)
    return s.items_bytes + depth_limit(p.kernels) * b.vectors * lanes * size + FC_SLACK


# ------------------------------------------------------------------------------------ entry

cdef Problem flatten(const Problem *p) noexcept nogil:
    # 1x1 with nothing around it: the image is one long row
    cdef Problem q = p[0]
    if (p.kernel_h == 1 and p.kernel_w == 1 and p.stride_h == 1 and p.stride_w == 1
            and p.pad_top == 0 and p.pad_left == 0 and p.out_h == p.height
            and p.out_w == p.width and p.out_column == 1 and p.out_row == p.out_w):
        q.height = q.out_h = 1
        q.width = q.out_w = p.height * p.width
        q.out_row = q.out_w
    return q


cdef int run_direct(const Problem *problem) noexcept nogil:
    cdef Taps s
    cdef Problem p = flatten(problem)
    cdef int failed
    s.problem = &p
    s.blocking = make_blocking(&p, 8)
    failed = pack_weights(&s)
    if not failed:
        workspace = plan_direct(&s)
        failed = parallel_for(direct_task, &s, s.tasks, p.threads, workspace)
    fc_workspace_give(<void *> s.packed)
    return failed


cdef int run_panels(const Problem *problem) noexcept nogil:
    cdef Taps s
    cdef Problem p = flatten(problem)
    cdef int failed = 0
    s.problem = &p
    s.packed = NULL
    if p.samples * p.out_h * p.out_w <= FEW_PIXELS and contiguous_filters(&p):
        s.blocking = make_blocking(&p, 3)
    else:
        s.blocking = make_blocking(&p, 8)
        failed = pack_weights(&s)
    if not failed:
        workspace = plan_panels(&s)
        failed = parallel_for(panel_task, &s, s.tasks, p.threads, workspace)
    fc_workspace_give(<void *> s.packed)
    return failed


cdef bint fits_direct(const Problem *p) noexcept nogil:
    # whether a band of four rows stays small
    cdef Blocking b = make_blocking(p, 8)
    cdef Py_ssize_t width = p.out_w + (p.kernel_w - 1) * p.dilation_w // p.stride_w
    cdef Py_ssize_t rows = 4 + (p.kernel_h - 1) * p.dilation_h // p.stride_h
    return (b.channels_each * rows * width * p.kernels.itemsize
            * phase_count(p.kernel_h, p.stride_h, p.dilation_h)
            * phase_count(p.kernel_w, p.stride_w, p.dilation_w)) <= 4 * BAND_BYTES
