"""Convolution of channels-first images: register tiles of filters x pixels, lanes over pixels.

Two ways to bring the pixels under the tile, both on the `taps` kernel:

  direct   A padded band of rows is copied once, its columns and rows split by stride so that every
           tap reads neighbours; the kernel takes tap k from offsets[k].  Rows are multiplied one by
           one, or, where that wastes fewer lanes, flattened over the padded width.
  panels   The pixels of all images stand in one line; a few panels of them are gathered for one
           block of depth, then multiplied with all filters (implicit GEMM; Goto & van de Geijn
           2008, the filters' tiles outside, the panels inside).

Every output is the sum over (channel, tap) in the same order and the same depth blocks, wherever
its pixel falls in a tile: results depend neither on threads nor on the rest of the batch.
"""

from libc.string cimport memset

from fastconv._core.problem cimport (
    Blocking,
    Depth,
    Problem,
    after_inside,
    ceil_div,
    common_divisor,
    depth_block,
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
    fc_kernels,
    fc_workspace_give,
    fc_workspace_take,
    parallel_for,
    plain_epilogue,
)
from fastconv._core.patch cimport Patch, copy_patch

cdef enum:
    MAX_DEPTH = 384
    TILE_BYTES = 8 * 8 * 64
    BAND_BYTES = 1 << 19        # a band of the direct way, kept in the second-level cache
    BAND_ROWS = 4096            # more do not pay for the lists that describe them
    GROUP_BYTES = 400 * 1024    # panels, or sums, of one group: they share the cache with weights
    ITEMS_BYTES = 1 << 20       # lists of what to gather for a group: long where rows are short
    FEW_PIXELS = 300            # fewer do not pay for packing the weights


# Some neighbouring columns of the product: where the kernel finds their pixels, and where they go.
cdef struct Panel:
    const char *x
    Py_ssize_t start, columns, vectors, count
    fc_copy *segments


cdef struct Taps:
    const Problem *problem
    const char *packed
    Blocking blocking
    Py_ssize_t units, tasks
    # direct
    Py_ssize_t phases_h, phases_w, shift_h, bands, tile_parts, width, plane, by_row
    # panels
    Py_ssize_t pixels, vectors, panels, panel_parts, together, items_bytes
    # both: the workspace begins with a table of panels and their segments
    Py_ssize_t most_panels, table_bytes


# What a thread keeps from one band to the next of the same height.
cdef struct Listed:
    Py_ssize_t rows, panels
    Py_ssize_t offsets[MAX_DEPTH]


# ---------------------------------------------------------------------------------- weights

cdef void pack_tile(const Problem *p, const Blocking *b, Py_ssize_t group, Py_ssize_t tile,
                    char *packed) noexcept nogil:
    # to[k][i] = w[group, first + i, k], one depth block after the other
    cdef Py_ssize_t size = p.kernels.itemsize, first = tile_start(b, tile)
    cdef Py_ssize_t height = tile_start(b, tile + 1) - first
    cdef Py_ssize_t taps = p.kernel_h * p.kernel_w, whole = p.channels * taps, block, c, t, k
    cdef const char *at
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
        if d.t1 - d.t0 == taps and p.w_row == p.kernel_w * p.w_column and (
                p.w_column == 1 or p.w_column == -1):
            # each channel's taps are neighbours, forwards or backwards
            at = w if p.w_column == 1 else w - (taps - 1) * size
            for c in range(d.c0, d.c1):
                k = (c - d.c0) * taps * height
                if p.w_column == 1:
                    p.kernels.transpose(at + c * p.w_channel * size, p.w_filter, height, taps,
                                        to + k * size, height, height)
                else:
                    p.kernels.transpose(at + c * p.w_channel * size, p.w_filter, height, taps,
                                        to + (k + (taps - 1) * height) * size, -height, height)
            continue
        k = 0
        for c in range(d.c0, d.c1):
            for t in range(d.t0, d.t1):
                tap = w + (c * p.w_channel + t // p.kernel_w * p.w_row
                           + t % p.kernel_w * p.w_column) * size
                p.kernels.copy(tap, p.w_filter, to + k * size, height)
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
    cdef fc_epilogue e = plain_epilogue(block > 0)
    cdef bint last = block == b.blocks - 1
    e.relu = last and p.relu
    if last and p.bias != NULL:
        e.row_bias = p.bias + (group * p.filters + first) * p.kernels.itemsize
    return e


# ----------------------------------------------------------------------------------- direct

cdef void fill_band(const Taps *s, Py_ssize_t n, Py_ssize_t group, const Depth *d,
                    Py_ssize_t row, Py_ssize_t rows, char *band) noexcept nogil:
    # band[c, phase_w, phase_h, q, m] = x[c, (row + q) * stride + phase - pad, ...], zero outside
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, c, v, h
    cdef const char *image = p.x + ((n * p.groups + group) * p.channels + d.c0) * (
        p.height * p.width) * size
    cdef char *to = band
    cdef Patch w
    w.height, w.width, w.pixel, w.channels = p.height, p.width, 1, 1
    w.step_y, w.step_z, w.rows, w.columns = p.stride_h, p.stride_w, rows, s.width
    for c in range(d.c1 - d.c0):
        to = band + c * s.plane * size
        for v in range(s.phases_w):
            w.z = v * p.dilation_w % p.stride_w - p.pad_left
            for h in range(s.phases_h):
                w.y = row * p.stride_h + h * p.dilation_h % p.stride_h - p.pad_top
                copy_patch(p.kernels, image, &w, to)
                to += rows * s.width * size
        # what unused lanes read: no number, but left as it was it might be a slow denormal one
        memset(to, 0, band + ((c + 1) * s.plane) * size - to)
        image += p.height * p.width * size
    memset(band + (d.c1 - d.c0) * s.plane * size, 0, 8 * FC_SLACK)


cdef void multiply(const Taps *s, const Depth *d, Py_ssize_t block, Py_ssize_t group,
                   Py_ssize_t part, const Panel *panels, Py_ssize_t count,
                   const Py_ssize_t *offsets, char *out) noexcept nogil:
    # Tile after tile of the filters, each over all panels: its weights stay in the first cache.
    cdef const Problem *p = s.problem
    cdef const Blocking *b = &s.blocking
    cdef Py_ssize_t size = p.kernels.itemsize, tile, first, height, wide, i
    cdef char held[TILE_BYTES]
    cdef fc_epilogue e, plain = plain_epilogue(False)
    cdef const Panel *panel
    for tile in range(share(b.tiles, s.tile_parts, part), share(b.tiles, s.tile_parts, part + 1)):
        first = tile_start(b, tile)
        height = tile_start(b, tile + 1) - first
        e = epilogue_of(p, b, block, group, first)
        for i in range(count):
            panel = &panels[i]
            if panel.count == 1 and panel.segments[0].source == 0 and p.out_column == 1:
                # neighbours in out too: written where they belong at once
                one_tile(s, d, group, first, height, panel, offsets,
                         out + (first * p.out_filter + panel.segments[0].to) * size,
                         p.out_filter, panel.segments[0].count, &e)
                continue
            wide = panel.vectors * p.kernels.lanes
            one_tile(s, d, group, first, height, panel, offsets, held, wide, wide, &plain)
            p.kernels.scatter(held, wide, height, panel.segments, panel.count,
                              out + first * p.out_filter * size, p.out_filter, p.out_column, &e)


cdef inline void one_tile(const Taps *s, const Depth *d, Py_ssize_t group, Py_ssize_t first,
                          Py_ssize_t height, const Panel *panel, const Py_ssize_t *offsets,
                          void *c, Py_ssize_t ldc, Py_ssize_t columns,
                          const fc_epilogue *e) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, whole = p.channels * p.kernel_h * p.kernel_w, i
    cdef const void *rows[8]
    if s.packed != NULL:
        p.kernels.taps[height][panel.vectors](
            s.packed + (p.filters * (group * whole + d.before) + first * d.depth) * size, d.depth,
            panel.x, offsets, c, ldc, columns, e)
        return
    # too few pixels to pay for packing the weights: the filters' own rows serve as they lie
    for i in range(height):
        rows[i] = p.w + (group * p.w_group + (first + i) * p.w_filter + d.before) * size
    p.kernels.rows[height][panel.vectors](rows, 1, d.depth, 1, panel.x, c, ldc, columns, e)


cdef Py_ssize_t list_band_panels(const Taps *s, Py_ssize_t rows, const char *band,
                                 char *table) noexcept nogil:
    # the panels of a band of `rows` output rows: row by row, or flattened over the padded width
    cdef const Problem *p = s.problem
    cdef Py_ssize_t lanes = p.kernels.lanes, line, lines, length, panels, vectors, start, stop, i
    cdef Panel *made = <Panel *> table
    cdef fc_copy *segments = <fc_copy *> (made + s.most_panels)
    lines = rows if s.by_row else 1
    length = p.out_w if s.by_row else (rows - 1) * s.width + p.out_w
    vectors = ceil_div(length, lanes)
    panels = ceil_div(vectors, s.blocking.vectors)
    for line in range(lines):
        for i in range(panels):
            start = line * s.width + share(vectors, panels, i) * lanes
            stop = line * s.width + smaller(length, share(vectors, panels, i + 1) * lanes)
            made.x = band + start * p.kernels.itemsize
            made.columns = stop - start
            made.vectors = ceil_div(stop - start, lanes)
            made.segments = segments
            made.count = find_segments(s, start, stop, segments)
            segments += made.count
            made += 1
    return lines * panels


cdef void list_band_offsets(const Taps *s, const Depth *d, Py_ssize_t rows,
                            Py_ssize_t *offsets) noexcept nogil:
    # where the band of `rows` output rows holds the first pixel of each (channel, tap) of a block
    cdef const Problem *p = s.problem
    cdef Py_ssize_t c, t, r, z, k = 0
    for c in range(d.c1 - d.c0):
        for t in range(d.t0, d.t1):
            r = t // p.kernel_w
            z = t % p.kernel_w
            offsets[k] = c * s.plane + z * p.dilation_w // p.stride_w + (
                (z % s.phases_w * s.phases_h + r % s.phases_h) * (rows + s.shift_h)
                + r * p.dilation_h // p.stride_h) * s.width
            k += 1


cdef void direct_unit(const Taps *s, Py_ssize_t unit, Listed *listed,
                      char *workspace) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef Py_ssize_t part = unit % s.tile_parts, strip = unit // s.tile_parts % s.bands
    cdef Py_ssize_t image = unit // (s.tile_parts * s.bands)
    cdef Py_ssize_t n = image // p.groups, group = image % p.groups, block
    cdef Py_ssize_t row = share(p.out_h, s.bands, strip)
    cdef Py_ssize_t rows = share(p.out_h, s.bands, strip + 1) - row
    cdef char *band = workspace + s.table_bytes
    cdef char *out = p.out + (n * p.out_sample + group * p.out_group
                              + row * p.out_row) * p.kernels.itemsize
    cdef Depth d
    # the lists are the last unit's as long as it was as high, which with small images counts
    if rows != listed.rows:
        listed.panels = list_band_panels(s, rows, band, workspace)
    for block in range(s.blocking.blocks):
        d = depth_block(p, &s.blocking, block)
        if rows != listed.rows or s.blocking.blocks > 1:
            list_band_offsets(s, &d, rows, listed.offsets)
        fill_band(s, n, group, &d, row, rows + s.shift_h, band)
        multiply(s, &d, block, group, part, <const Panel *> workspace, listed.panels,
                 listed.offsets, out)
    listed.rows = rows


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
    cdef Listed listed
    listed.rows = 0
    for unit in range(share(s.units, s.tasks, task), share(s.units, s.tasks, task + 1)):
        direct_unit(s, unit, &listed, workspace)


cdef inline Py_ssize_t phase_count(Py_ssize_t kernel, Py_ssize_t stride,
                                   Py_ssize_t dilation) noexcept nogil:
    return smaller(kernel, stride // common_divisor(stride, dilation))


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
    rows = larger(4, smaller(smaller(p.out_h, BAND_ROWS), wanted - s.shift_h))
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
    s.most_panels = ceil_div(ceil_div(p.out_w, lanes), b.vectors) * rows
    if not s.by_row:
        s.most_panels = ceil_div(flat, b.vectors)
    s.table_bytes = bytes_of_table(s, s.most_panels + rows)
    return s.table_bytes + s.plane * b.channels_each * size + 8 * FC_SLACK


cdef inline Py_ssize_t bytes_of_table(const Taps *s, Py_ssize_t segments) noexcept nogil:
    return round_up(s.most_panels * sizeof(Panel) + segments * sizeof(fc_copy), 64)


# ----------------------------------------------------------------------------------- panels

cdef Py_ssize_t find_targets(const Taps *s, Py_ssize_t start, Py_ssize_t stop,
                             fc_copy *segments) noexcept nogil:
    # where the pixels start..stop-1 of all images go: runs of neighbours in out
    cdef const Problem *p = s.problem
    cdef Py_ssize_t at = start, rest, to, length, count = 0
    while at < stop:
        rest = at % (p.out_h * p.out_w)
        length = smaller(p.out_w - rest % p.out_w, stop - at)
        to = (at // (p.out_h * p.out_w) * p.out_sample + rest // p.out_w * p.out_row
              + rest % p.out_w * p.out_column)
        if count and p.out_column == 1 and (
                to == segments[count - 1].to + segments[count - 1].count):
            segments[count - 1].count += length
        else:
            segments[count].to = to
            segments[count].source = at - start
            segments[count].count = length
            count += 1
        at += length
    return count


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


cdef Py_ssize_t list_items(const Taps *s, const Depth *d, const Panel *panel, Py_ssize_t pitch,
                           Py_ssize_t to, fc_copy *items) noexcept nogil:
    # what to copy, and where zeros go, for every tap of the block and every row of pixels
    cdef const Problem *p = s.problem
    cdef Py_ssize_t t, at, n, i, j, y, low, high, stop, shift, made = 0
    cdef Py_ssize_t image = p.groups * p.channels * p.height * p.width
    for t in range(d.t0, d.t1):
        shift = t % p.kernel_w * p.dilation_w - p.pad_left
        at = panel.start
        while at < panel.start + panel.columns:
            n = at // (p.out_h * p.out_w)
            i = at % (p.out_h * p.out_w) // p.out_w
            j = at % p.out_w
            stop = smaller(p.out_w, j + panel.start + panel.columns - at)
            y = i * p.stride_h - p.pad_top + t // p.kernel_w * p.dilation_h
            low = j
            high = j
            if 0 <= y < p.height:
                low = smaller(stop, first_inside(shift, p.stride_w, j))
                high = larger(low, after_inside(shift, p.stride_w, p.width, stop))
            add_item(items, &made, to, -1, low - j)
            add_item(items, &made, to + low - j,
                     n * image + y * p.width + low * p.stride_w + shift, high - low)
            add_item(items, &made, to + high - j, -1, stop - high)
            to += stop - j
            at += stop - j
        to += pitch - panel.columns
    return made


cdef void panel_group(const Taps *s, Py_ssize_t group, Py_ssize_t first, Py_ssize_t count,
                      Py_ssize_t part, char *workspace) noexcept nogil:
    # gather `count` panels from `first` on, one depth block after the other, and multiply
    cdef const Problem *p = s.problem
    cdef const Blocking *b = &s.blocking
    cdef Py_ssize_t size = p.kernels.itemsize, pitch = b.vectors * p.kernels.lanes, block, i, k
    cdef Py_ssize_t made
    cdef Py_ssize_t offsets[MAX_DEPTH]
    cdef Panel *panels = <Panel *> workspace
    cdef fc_copy *segments = <fc_copy *> (panels + s.most_panels)
    cdef fc_copy *items = <fc_copy *> (workspace + s.table_bytes)
    cdef char *packed = workspace + s.table_bytes + s.items_bytes
    cdef Depth d
    if s.packed == NULL:  # that kernel takes its panel without gaps
        pitch = (share(s.vectors, s.panels, first + 1) - share(s.vectors, s.panels, first)) * (
            p.kernels.lanes)
    for k in range(p.depth_limit):
        offsets[k] = k * pitch
    for i in range(count):
        panels[i].x = packed + i * panel_bytes(s)
        panels[i].segments = segments
        describe_panel(s, first + i, &panels[i])
        segments += panels[i].count
    for block in range(b.blocks):
        d = depth_block(p, b, block)
        made = 0
        for i in range(count):
            made += list_items(s, &d, &panels[i], pitch,
                               i * panel_bytes(s) // size, items + made)
            if panels[i].columns < panels[i].vectors * p.kernels.lanes:
                # lanes without a pixel; see fill_band
                memset(<char *> panels[i].x, 0, d.depth * pitch * size)
        p.kernels.pack_pixels(
            items, made, p.stride_w,
            p.x + (group * p.channels + d.c0) * p.height * p.width * size, p.height * p.width,
            d.c1 - d.c0, p.x_end, packed, (d.t1 - d.t0) * pitch)
        multiply(s, &d, block, group, part, panels, count, offsets,
                 p.out + group * p.out_group * size)


# one panel's pixels, a whole depth block, and what packing may write past it
cdef inline Py_ssize_t panel_bytes(const Taps *s) noexcept nogil:
    cdef const fc_kernels *k = s.problem.kernels
    cdef Py_ssize_t depth = s.blocking.channels_each * s.blocking.taps_each
    return depth * s.blocking.vectors * k.lanes * k.itemsize + FC_SLACK


cdef void describe_panel(const Taps *s, Py_ssize_t number, Panel *panel) noexcept nogil:
    cdef Py_ssize_t lanes = s.problem.kernels.lanes
    panel.start = share(s.vectors, s.panels, number) * lanes
    panel.vectors = share(s.vectors, s.panels, number + 1) - panel.start // lanes
    panel.columns = smaller(s.pixels - panel.start, panel.vectors * lanes)
    panel.count = find_targets(s, panel.start, panel.start + panel.columns, panel.segments)


cdef void panel_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Taps *s = <const Taps *> context
    cdef Py_ssize_t part = task % s.tile_parts, piece = task // s.tile_parts % s.panel_parts
    cdef Py_ssize_t group = task // (s.tile_parts * s.panel_parts), i
    cdef Py_ssize_t first = share(s.panels, s.panel_parts, piece)
    cdef Py_ssize_t count = share(s.panels, s.panel_parts, piece + 1) - first
    cdef Py_ssize_t groups = ceil_div(count, s.together)
    for i in range(groups):
        panel_group(s, group, first + share(count, groups, i),
                    share(count, groups, i + 1) - share(count, groups, i), part, workspace)


cdef Py_ssize_t plan_panels(Taps *s) noexcept nogil:
    # returns the bytes of workspace a thread needs
    cdef const Problem *p = s.problem
    cdef const Blocking *b = &s.blocking
    cdef Py_ssize_t size = p.kernels.itemsize, pitch = b.vectors * p.kernels.lanes, items, segments
    s.pixels = p.samples * p.out_h * p.out_w
    s.vectors = ceil_div(s.pixels, p.kernels.lanes)
    s.panels = ceil_div(s.vectors, b.vectors)
    # as many panels together as leave their pixels and sums in the second-level cache
    s.together = smaller(GROUP_BYTES // panel_bytes(s), GROUP_BYTES // (p.filters * pitch * size))
    segments = smaller(pitch, pitch // p.out_w + 2)
    items = b.taps_each * segments * 3 * sizeof(fc_copy)
    s.together = larger(1, smaller(s.together, ITEMS_BYTES // items))
    if s.packed == NULL:
        s.together = 1
    s.panel_parts = ceil_div(s.panels, s.together)
    if p.threads > 1:
        s.panel_parts = smaller(s.panels, round_up(s.panel_parts, 4 * p.threads))
    s.together = smaller(s.together, ceil_div(s.panels, s.panel_parts))
    s.tile_parts = 1
    if p.threads > 1 and p.groups * s.panel_parts < 2 * p.threads:
        s.tile_parts = smaller(b.tiles, ceil_div(2 * p.threads, p.groups * s.panel_parts))
    s.tasks = p.groups * s.panel_parts * s.tile_parts
    s.most_panels = s.together
    s.table_bytes = bytes_of_table(s, segments * s.together)
    s.items_bytes = round_up(s.together * items, 64)
    return s.table_bytes + s.items_bytes + s.together * panel_bytes(s)


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


cdef bint fits_direct(const Problem *problem) noexcept nogil:
    # whether a band of four rows stays small
    cdef Problem p = flatten(problem)
    cdef Blocking b = make_blocking(&p, 8)
    cdef Py_ssize_t width = p.out_w + (p.kernel_w - 1) * p.dilation_w // p.stride_w
    cdef Py_ssize_t rows = (smaller(4, p.out_h)
                            + (p.kernel_h - 1) * p.dilation_h // p.stride_h)
    if rows > BAND_BYTES or width > BAND_BYTES:
        return False
    return (b.channels_each * rows * width * p.kernels.itemsize
            * phase_count(p.kernel_h, p.stride_h, p.dilation_h)
            * phase_count(p.kernel_w, p.stride_w, p.dilation_w)) <= 2 * BAND_BYTES
