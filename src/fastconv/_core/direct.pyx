"""The direct way of convolution: no panel is packed.

A padded band of rows is copied once, its columns and rows split by stride so that every tap reads
neighbours; the kernel takes tap k from offsets[k].  Rows are multiplied one by one, or, where that
wastes fewer lanes, flattened over the padded width.

Images with their channels last have them split on the way into the band, and the results of a
panel joined on the way out: with few channels or filters that costs less than the idle lanes of a
tile over filters.
"""

from libc.string cimport memset

from fastconv._core.packing cimport give_packed, take_packed
from fastconv._core.patch cimport Patch, copy_patch
from fastconv._core.problem cimport (
    Blocking,
    Depth,
    Problem,
    after_inside,
    ceil_div,
    common_divisor,
    count_tasks,
    depth_block,
    first_inside,
    larger,
    make_blocking,
    round_up,
    share,
    smaller,
)
from fastconv._core.runtime cimport FC_SLACK, fc_copy, parallel_for
from fastconv._core.taps cimport (
    MAX_DEPTH,
    Panel,
    Taps,
    flatten,
    held_bytes,
    multiply,
    multiply_last,
    pack_taps,
    taps_bytes,
)

cdef enum:
    BAND_BYTES = 1 << 19        # kept in the second-level cache
    BAND_ROWS = 4096            # more do not pay for the lists that describe them


# A thread's workspace: the table of panels and their segments, then the band; with channels last
# a row of the image, its channels split, and what multiply_last holds.
cdef struct Direct:
    Taps taps
    Py_ssize_t units, tasks, bands
    Py_ssize_t phases_h, phases_w, shift_h, width, plane, by_row
    Py_ssize_t most_panels, table_bytes, band_bytes, split_bytes


# What a thread keeps from one band to the next of the same height.
cdef struct Listed:
    Py_ssize_t rows, panels
    Py_ssize_t offsets[MAX_DEPTH]


cdef void fill_band(const Direct *s, Py_ssize_t n, Py_ssize_t group, const Depth *d,
                    Py_ssize_t row, Py_ssize_t rows, char *band) noexcept nogil:
    # band[c, phase_w, phase_h, q, m] = x[c, (row + q) * stride + phase - pad, ...], zero outside
    cdef const Problem *p = s.taps.problem
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


cdef void fill_band_last(const Direct *s, Py_ssize_t n, const Depth *d, Py_ssize_t row,
                         Py_ssize_t rows, char *band) noexcept nogil:
    # the same from x[..., c]; the band holds zeros beside the image, which no row writes to
    cdef const Problem *p = s.taps.problem
    cdef Py_ssize_t size = p.kernels.itemsize, h, q, y, c, v
    cdef const char *image = p.x + (n * p.height * p.width * p.channels + d.c0) * size
    cdef char *to
    for h in range(s.phases_h):
        for q in range(rows):
            y = (row + q) * p.stride_h + h * p.dilation_h % p.stride_h - p.pad_top
            to = band + (h * rows + q) * s.width * size
            if 0 <= y < p.height:
                fill_row_last(s, image + y * p.width * p.channels * size, d.c1 - d.c0,
                              rows, band + s.band_bytes, to)
                continue
            for c in range(d.c1 - d.c0):
                for v in range(s.phases_w):
                    memset(to + (c * s.plane + v * s.phases_h * rows * s.width) * size, 0,
                           s.width * size)


cdef inline void fill_row_last(const Direct *s, const char *pixels, Py_ssize_t channels,
                               Py_ssize_t rows, char *split, char *to) noexcept nogil:
    # one row of the image to the band, `to` for channel 0 and the first phase of the columns
    cdef const Problem *p = s.taps.problem
    cdef Py_ssize_t size = p.kernels.itemsize, c, v, shift, low, count
    if p.stride_w > 1:
        p.kernels.transpose(pixels, p.channels, p.width, channels, split, p.width, p.width)
    for v in range(s.phases_w):
        shift = v * p.dilation_w % p.stride_w - p.pad_left
        low = first_inside(shift, p.stride_w, 0)
        count = after_inside(shift, p.stride_w, p.width, s.width) - low
        if count <= 0:
            continue
        if p.stride_w == 1:
            p.kernels.transpose(pixels + (low + shift) * p.channels * size, p.channels, count,
                                channels, to + low * size, s.plane, count)
            continue
        for c in range(channels):
            p.kernels.copy(split + (c * p.width + low * p.stride_w + shift) * size, p.stride_w,
                           to + (c * s.plane + v * s.phases_h * rows * s.width + low) * size,
                           count)


cdef Py_ssize_t find_segments(const Direct *s, Py_ssize_t start, Py_ssize_t stop,
                              fc_copy *segments) noexcept nogil:
    # the flattened positions start..stop-1 that are outputs, row by row
    cdef const Problem *p = s.taps.problem
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


cdef Py_ssize_t list_band_panels(const Direct *s, Py_ssize_t rows, const char *band,
                                 char *table) noexcept nogil:
    # the panels of a band of `rows` output rows: row by row, or flattened over the padded width
    cdef const Problem *p = s.taps.problem
    cdef Py_ssize_t lanes = p.kernels.lanes, line, lines, length, panels, vectors, start, stop, i
    cdef Panel *made = <Panel *> table
    cdef fc_copy *segments = <fc_copy *> (made + s.most_panels)
    lines = rows if s.by_row else 1
    length = p.out_w if s.by_row else (rows - 1) * s.width + p.out_w
    vectors = ceil_div(length, lanes)
    panels = ceil_div(vectors, s.taps.blocking.vectors)
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


cdef void list_band_offsets(const Direct *s, const Depth *d, Py_ssize_t rows,
                            Py_ssize_t *offsets) noexcept nogil:
    # where the band of `rows` output rows holds the first pixel of each (channel, tap) of a block
    cdef const Problem *p = s.taps.problem
    cdef Py_ssize_t c, t, r, z, k = 0
    for c in range(d.c1 - d.c0):
        for t in range(d.t0, d.t1):
            r = t // p.kernel_w
            z = t % p.kernel_w
            offsets[k] = c * s.plane + z * p.dilation_w // p.stride_w + (
                (z % s.phases_w * s.phases_h + r % s.phases_h) * (rows + s.shift_h)
                + r * p.dilation_h // p.stride_h) * s.width
            k += 1


cdef void direct_unit(const Direct *s, Py_ssize_t unit, Listed *listed,
                      char *workspace) noexcept nogil:
    cdef const Problem *p = s.taps.problem
    cdef Py_ssize_t part = unit % s.taps.tile_parts, strip = unit // s.taps.tile_parts % s.bands
    cdef Py_ssize_t image = unit // (s.taps.tile_parts * s.bands)
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
        if p.channels_last:
            memset(band, 0, s.band_bytes)
    for block in range(s.taps.blocking.blocks):
        d = depth_block(p, &s.taps.blocking, block)
        if rows != listed.rows or s.taps.blocking.blocks > 1:
            list_band_offsets(s, &d, rows, listed.offsets)
        if p.channels_last:
            fill_band_last(s, n, &d, row, rows + s.shift_h, band)
            multiply_last(&s.taps, &d, block, part, <const Panel *> workspace, listed.panels,
                          listed.offsets, band + s.band_bytes + s.split_bytes, out)
            continue
        fill_band(s, n, group, &d, row, rows + s.shift_h, band)
        multiply(&s.taps, &d, block, group, part, <const Panel *> workspace, listed.panels,
                 listed.offsets, out)
    listed.rows = rows


cdef void direct_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Direct *s = <const Direct *> context
    cdef Py_ssize_t unit
    cdef Listed listed
    listed.rows = 0
    for unit in range(share(s.units, s.tasks, task), share(s.units, s.tasks, task + 1)):
        direct_unit(s, unit, &listed, workspace)


# ----------------------------------------------------------------------------------- plan

cdef inline Py_ssize_t phase_count(Py_ssize_t kernel, Py_ssize_t stride,
                                   Py_ssize_t dilation) noexcept nogil:
    return smaller(kernel, stride // common_divisor(stride, dilation))


cdef Py_ssize_t plan_direct(Direct *s) noexcept nogil:
    # returns the bytes of workspace a thread needs
    cdef const Problem *p = s.taps.problem
    cdef const Blocking *b = &s.taps.blocking
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
    if p.channels_last and b.blocks > 1:  # all sums of the rows are held, as much as a band
        wanted = BAND_BYTES // (p.filters * round_up(s.width, lanes) * size)
        rows = larger(1, smaller(rows, wanted))
    s.bands = ceil_div(p.out_h, rows)
    rows = ceil_div(p.out_h, s.bands)
    s.taps.tile_parts = 1
    if images * s.bands < p.threads:
        s.taps.tile_parts = smaller(b.tiles, ceil_div(2 * p.threads, images * s.bands))
    s.plane = round_up(s.phases_h * s.phases_w * (rows + s.shift_h) * s.width, 64 // size)
    if s.plane * size % 4096 < 256:  # planes a page apart would share cache sets
        s.plane += 320 // size
    flat = ceil_div((rows - 1) * s.width + p.out_w, lanes)
    lined = rows * ceil_div(p.out_w, lanes)
    s.by_row = lined * depth <= flat * (depth + 12)
    s.units = images * s.bands * s.taps.tile_parts
    s.tasks = count_tasks(p, s.units)
    s.most_panels = ceil_div(ceil_div(p.out_w, lanes), b.vectors) * rows
    if not s.by_row:
        s.most_panels = ceil_div(flat, b.vectors)
    s.table_bytes = round_up(s.most_panels * sizeof(Panel)
                             + (s.most_panels + rows) * sizeof(fc_copy), 64)
    s.band_bytes = s.plane * b.channels_each * size + 8 * FC_SLACK
    s.split_bytes = 0
    if not p.channels_last:
        return s.table_bytes + s.band_bytes
    if p.stride_w > 1:
        s.split_bytes = round_up(b.channels_each * p.width * size, 64)
    return s.table_bytes + s.band_bytes + s.split_bytes + (
        held_bytes(&s.taps, lined if s.by_row else flat))


cdef bint fits_direct(const Problem *problem) noexcept nogil:
    # whether a band of four rows stays small
    cdef Problem p = flatten(problem)
    cdef Blocking b = make_blocking(&p, 8)
    cdef Py_ssize_t width = p.out_w + (p.kernel_w - 1) * p.dilation_w // p.stride_w
    cdef Py_ssize_t rows = (smaller(4, p.out_h)
                            + (p.kernel_h - 1) * p.dilation_h // p.stride_h)
    if rows > BAND_BYTES or width > BAND_BYTES:
        return False
    if p.channels_last and p.filters * width * p.kernels.itemsize > 2 * BAND_BYTES:
        return False
    return (b.channels_each * rows * width * p.kernels.itemsize
            * phase_count(p.kernel_h, p.stride_h, p.dilation_h)
            * phase_count(p.kernel_w, p.stride_w, p.dilation_w)) <= 2 * BAND_BYTES


cdef int run_direct(const Problem *problem) noexcept nogil:
    cdef Direct s
    cdef Problem p = flatten(problem)
    cdef int failed = -1
    s.taps.problem = &p
    s.taps.blocking = make_blocking(&p, 8)
    s.taps.packed = take_packed(&p, taps_bytes(&p), pack_taps)
    if s.taps.packed != NULL:
        workspace = plan_direct(&s)
        failed = parallel_for(direct_task, &s, s.tasks, p.threads, workspace)
        give_packed(&p, s.taps.packed)
    return failed
