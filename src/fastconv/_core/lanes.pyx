"""grad_w, lanes over filters: register tiles of (channel, tap) x filters.

A block of pixels of grad is packed (pixel, filter).  x is read along rows of pixels, one pointer a
row of the tile: as it lies, or from a copy where there is padding or channels are last.  A stride
of channels would spread a tile over as many lines of the cache as it has pixels.

Of a 1x1 kernel, whose pixels are one row, x and grad may be exchanged: lanes are then channels.
"""

from fastconv._core.bias_sums cimport begin_bias
from fastconv._core.patch cimport Patch, copy_patch, turn_patch
from fastconv._core.prefetch cimport LINE, ask_read
from fastconv._core.problem cimport (
    Geometry,
    ceil_div,
    exact_length,
    larger,
    round_up,
    share,
    smaller,
)
from fastconv._core.runtime cimport FC_SLACK, fc_epilogue, plain_epilogue, stopped
from fastconv._core.weights cimport (
    Part,
    Weights,
    find_part,
    plan_chunks,
    plan_parts,
    plan_taps,
    split_row,
    sums_of,
)

cdef enum:
    BLOCK_PIXELS = 256          # summed before they are added to the others
    PIXELS_EACH = 8             # packed at a time where channels are last
    AHEAD_BYTES = 1 << 12       # grad is asked for so far ahead
    ROWS_IN_PLACE = 64          # (channel, tap) rows that read grad as it lies, at most
    PANELS_EACH = 8             # panels of filters of one task


# One block of pixels: lines (sample * out_h + row) first..first+lines-1, columns j0..j0+length-1.
cdef struct Block:
    Py_ssize_t first, lines, j0, length


# Where a task's sums go: those of the gradient to `bias`, unless it is NULL.
cdef struct Sums:
    char *first
    char *bias
    Py_ssize_t row              # elements from row to row
    bint accumulate


cdef Block find_block(const Weights *s, Py_ssize_t index) noexcept nogil:
    cdef Block b
    b.first = index // s.column_parts * s.rows_each
    b.lines = smaller(s.rows_each, s.geometry.samples * s.geometry.out_h - b.first)
    b.j0 = index % s.column_parts * s.columns_each
    b.length = smaller(s.columns_each, s.geometry.out_w - b.j0)
    return b


# -------------------------------------------------------------------------------------- x

cdef void copy_rows(const Weights *s, const Part *part, Py_ssize_t n, Py_ssize_t y, Py_ssize_t z,
                    Py_ssize_t rows, Py_ssize_t width, Py_ssize_t plane, char *to) noexcept nogil:
    # rows y.. of the part's channels of one image, from column z on: to[c][row][column], its
    # planes `plane` elements apart
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = s.kernels.itemsize, c, c0 = part.group * s.channels + part.c0
    cdef Patch w
    w.height, w.width, w.y, w.z, w.rows, w.columns = g.height, g.width, y, z, rows, width
    w.step_y = g.stride_h if g.kernel_h == 1 else 1
    w.step_z = g.stride_w if g.kernel_w == 1 else 1
    if g.channels_last:
        w.pixel, w.channels = g.channels, part.c1 - part.c0
        turn_patch(s.kernels, s.x + (n * g.height * g.width * g.channels + c0) * size, &w, to,
                   plane)
        return
    w.pixel = w.channels = 1
    for c in range(part.c1 - part.c0):
        copy_patch(s.kernels, s.x + (n * g.channels + c0 + c) * g.height * g.width * size, &w,
                    to + c * plane * size)


cdef Py_ssize_t runs_in_image(const Weights *s, const Part *part, const Block *b,
                              const char **runs, Py_ssize_t *offsets) noexcept nogil:
    # find_runs where x is read as it lies
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t line, n, i, m, c, r, z, y, plane = g.height * g.width
    for line in range(b.lines):
        n = (b.first + line) // g.out_h
        i = (b.first + line) % g.out_h
        y = i * g.stride_h - g.pad_top
        z = b.j0 * g.stride_w - g.pad_left
        runs[line] = s.x + (n * g.channels * plane + y * g.width + z) * s.kernels.itemsize
    for m in range(part.count):
        split_row(s, part, m, &c, &r, &z)
        offsets[m] = ((part.group * s.channels + c) * plane
                      + r * g.dilation_h * g.width + z * g.dilation_w)
    return g.stride_w


cdef Py_ssize_t find_runs(const Weights *s, const Part *part, const Block *b, char *band,
                          const char **runs, Py_ssize_t *offsets) noexcept nogil:
    # runs[line]: where the block's lines begin for tile row 0; offsets[m]: what tile row m adds.
    # Returns the step from pixel to pixel.  Fills the band if x cannot be read as it lies.
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = s.kernels.itemsize, line = 0, n, i, m, c, r, z, rows, total = 0, last, q
    cdef Py_ssize_t width = (b.length - 1) * s.step_w + (g.kernel_w - 1) * g.dilation_w + 1
    cdef Py_ssize_t plane = band_rows(s, b, part.r1 - part.r0) * width
    if s.in_place:
        return runs_in_image(s, part, b, runs, offsets)
    # band[c][row][column], the rows of one image after those of the one before
    while line < b.lines:
        n = (b.first + line) // g.out_h
        i = (b.first + line) % g.out_h
        last = smaller(b.lines, line + g.out_h - i)
        rows = (last - line - 1) * s.step_h + (part.r1 - part.r0 - 1) * g.dilation_h + 1
        copy_rows(s, part, n, i * g.stride_h - g.pad_top + part.r0 * g.dilation_h,
                  b.j0 * g.stride_w - g.pad_left, rows, width, plane,
                  band + total * width * size)
        for q in range(line, last):
            runs[q] = band + (total + (q - line) * s.step_h) * width * size
        total += rows
        line = last
    for m in range(part.count):
        split_row(s, part, m, &c, &r, &z)
        offsets[m] = (c - part.c0) * plane + (r - part.r0) * g.dilation_h * width + z * g.dilation_w
    return s.step_w


cdef Py_ssize_t band_rows(const Weights *s, const Block *b, Py_ssize_t taps) noexcept nogil:
    # rows of the band: every image that the block touches brings its own rim
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t first = b.first % g.out_h
    cdef Py_ssize_t images = ceil_div(first + b.lines, g.out_h)
    return (b.lines - images) * s.step_h + images * ((taps - 1) * g.dilation_h + 1)


# ----------------------------------------------------------------------------------- grad

cdef void pack_pixels(const Weights *s, Py_ssize_t panel0, Py_ssize_t panel1, const char *grad,
                      Py_ssize_t done, Py_ssize_t count, Py_ssize_t pixels,
                      char *to) noexcept nogil:
    # pixels done.. of a block's, all panels of a few at a time: memory is read in its order
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = s.kernels.itemsize, lanes = s.kernels.lanes, first, wide, panel, some
    cdef Py_ssize_t start = share(s.vectors, s.panels, panel0) * lanes, q = 0, line
    while q < count:
        some = smaller(PIXELS_EACH, count - q)
        # of 1x1 kernels tiles have asked for it
        for line in range(ceil_div(some * g.filters * size, LINE) if s.taps > 1 else 0):
            ask_read(grad + q * g.filters * size + AHEAD_BYTES + line * LINE)
        for panel in range(panel0, panel1):
            first = share(s.vectors, s.panels, panel) * lanes
            wide = share(s.vectors, s.panels, panel + 1) * lanes - first
            s.kernels.copy_padded(
                grad + (q * g.filters + first) * size, g.filters, 1, some,
                to + ((first - start) * pixels + (done + q) * wide) * size, wide, wide, 0,
                smaller(wide, s.filters - first))
        q += some


cdef inline bint grad_in_place(const Weights *s, const Part *part) noexcept nogil:
    # Whether a block of grad, one run of memory, is what packing would make of it.  Many tiles are
    # faster with whole lines of a copy.
    return (s.geometry.channels_last and s.geometry.groups == 1 and s.panels == 1
            and s.filters == s.padded_filters and part.count <= ROWS_IN_PLACE)


cdef void pack_grad(const Weights *s, const Part *part, const Block *b, Py_ssize_t panel0,
                    Py_ssize_t panel1, char *to) noexcept nogil:
    # to[panel][pixel][lane] = grad[pixel, filter], zeros beyond the last filter
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = s.kernels.itemsize, plane = g.out_h * g.out_w, line = 0, n, i, last, q
    cdef Py_ssize_t pixels = b.lines * b.length, lanes = s.kernels.lanes, done = 0, first, wide
    cdef Py_ssize_t start = share(s.vectors, s.panels, panel0) * lanes, panel
    cdef const char *grad
    while line < b.lines:
        n = (b.first + line) // g.out_h
        i = (b.first + line) % g.out_h
        last = smaller(b.lines, line + g.out_h - i)
        if b.length < g.out_w:
            last = line + 1
        q = (last - line) * b.length
        if g.channels_last:
            grad = s.grad + ((n * plane + i * g.out_w + b.j0) * g.filters
                             + part.group * s.filters) * size
            pack_pixels(s, panel0, panel1, grad, done, q, pixels, to)
        else:
            for panel in range(panel0, panel1):
                first = share(s.vectors, s.panels, panel) * lanes
                wide = share(s.vectors, s.panels, panel + 1) * lanes - first
                grad = s.grad + ((n * g.filters + part.group * s.filters + first) * plane
                                 + i * g.out_w + b.j0) * size
                s.kernels.transpose(grad, plane, smaller(wide, s.filters - first), q,
                                    to + ((first - start) * pixels + done * wide) * size, wide,
                                    wide)
        done += q
        line = last


cdef Py_ssize_t next_block(const Weights *s, const Block *b, const char *band) noexcept nogil:
    # how far behind the band the next block of grad lies where it is one run of memory, else 0:
    # the tiles of each panel, rows of the band all, ask for as much of it as they read
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t pixel = b.first * g.out_w + b.j0 + b.lines * b.length
    if (not g.channels_last or g.groups > 1 or s.panel_parts > 1
            or pixel >= g.samples * g.out_h * g.out_w):
        return 0
    return (<Py_ssize_t> s.grad - <Py_ssize_t> band) // s.kernels.itemsize + pixel * g.filters


cdef void add_lanes(const Weights *s, Py_ssize_t panel0, Py_ssize_t panel1, Py_ssize_t pixels,
                    const char *packed, char *bias) noexcept nogil:
    # bias[filter] += the sum of a block of packed panels
    cdef Py_ssize_t size = s.kernels.itemsize, lanes = s.kernels.lanes, panel, first, wide
    for panel in range(panel0, panel1):
        first = share(s.vectors, s.panels, panel) * lanes
        wide = share(s.vectors, s.panels, panel + 1) * lanes - first
        s.kernels.sum_rows(packed, wide, pixels, smaller(wide, s.filters - first), bias)
        packed += wide * pixels * size
        bias += wide * size


cdef void lanes_block(const Weights *s, const Part *part, const Block *b, Py_ssize_t panel0,
                      Py_ssize_t panel1, const Sums *to, char *workspace) noexcept nogil:
    cdef Py_ssize_t size = s.kernels.itemsize, lanes = s.kernels.lanes
    cdef Py_ssize_t tiles = ceil_div(part.count, s.height), tile, first, height, panel, i, line
    cdef Py_ssize_t start, vectors, step, pixels = b.lines * b.length
    cdef char *band = workspace + s.pointer_bytes + s.packed_bytes
    cdef const char *packed = workspace + s.pointer_bytes
    cdef const char **runs = <const char **> workspace
    cdef const void **rows = <const void **> (runs + s.rows_each)
    cdef Py_ssize_t *offsets = <Py_ssize_t *> (rows + s.rows_each * s.height)
    cdef Py_ssize_t later = next_block(s, b, band)
    cdef fc_epilogue e = plain_epilogue(to.accumulate)
    step = find_runs(s, part, b, band, runs, offsets)
    start = share(s.vectors, s.panels, panel0) * lanes
    if grad_in_place(s, part):
        packed = s.grad + (b.first * s.geometry.out_w + b.j0) * s.filters * size
    else:
        pack_grad(s, part, b, panel0, panel1, <char *> packed)
    if to.bias != NULL and not s.exchanged:
        add_lanes(s, panel0, panel1, pixels, packed, to.bias)
    for tile in range(tiles):
        first = share(part.count, tiles, tile)
        height = share(part.count, tiles, tile + 1) - first
        for line in range(b.lines):
            for i in range(height):
                rows[line * height + i] = runs[line] + offsets[first + i] * size
                if to.bias != NULL and s.exchanged:
                    s.kernels.sum(rows[line * height + i], b.length, to.bias + (first + i) * size)
        for panel in range(panel0, panel1):
            e.ahead = 0
            if s.taps > 1:
                pass
            elif s.in_place and panel == panel0:  # few pixels of many planes: the next tile's
                e.ahead = height * s.geometry.height * s.geometry.width
            elif later and (panel - panel0) * part.count < s.filters:
                e.ahead = later + (panel - panel0) * part.count * pixels
            i = share(s.vectors, s.panels, panel) * lanes
            vectors = share(s.vectors, s.panels, panel + 1) - i // lanes
            s.kernels.rows[height][vectors](
                rows, b.lines, b.length, step, packed + (i - start) * pixels * size,
                to.first + (first * to.row + i) * size, to.row, vectors * lanes, &e)


cdef void lanes_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Weights *s = <const Weights *> context
    cdef Py_ssize_t size = s.kernels.itemsize, lanes = s.kernels.lanes
    cdef Py_ssize_t piece = task % s.panel_parts, rest = task // s.panel_parts, index, start
    cdef Py_ssize_t parts = s.geometry.groups * s.channel_parts * s.tap_parts
    cdef Py_ssize_t chunk = rest // parts
    cdef Py_ssize_t panel0 = share(s.panels, s.panel_parts, piece)
    cdef Py_ssize_t panel1 = share(s.panels, s.panel_parts, piece + 1)
    cdef Py_ssize_t f0 = share(s.vectors, s.panels, panel0) * lanes
    cdef Py_ssize_t f1 = smaller(share(s.vectors, s.panels, panel1) * lanes, s.filters)
    cdef Part part = find_part(s, rest % parts)
    cdef Sums to
    cdef Block b
    to.bias = NULL
    if s.sums == NULL:
        to.row = s.out_channel
        to.first = s.out + (part.group * s.out_group + part.c0 * to.row) * size
    else:
        to.first, to.row = sums_of(s, chunk, &part), s.padded_filters
    if s.bias.out != NULL and (piece == 0 if s.exchanged else part.start == 0):
        if s.exchanged:
            f0, f1 = part.c0, part.c1
        to.bias = begin_bias(&s.bias, s.kernels, chunk,
                             part.group * (s.channels if s.exchanged else s.filters) + f0, f1 - f0)
    start = share(s.blocks, s.chunks, chunk)
    for index in range(start, share(s.blocks, s.chunks, chunk + 1)):
        if stopped():
            return
        b = find_block(s, index)
        to.accumulate = index > start
        lanes_block(s, &part, &b, panel0, panel1, &to, workspace)


# ----------------------------------------------------------------------------------- plan

cdef Py_ssize_t plan_lanes(Weights *s, int threads) noexcept nogil:
    # returns the bytes of workspace a thread needs
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = s.kernels.itemsize, channel_bytes, images, pixels = BLOCK_PIXELS
    if s.highest:
        pixels = exact_length(g.samples * g.out_h * g.out_w)
    s.in_place = s.in_place and not g.channels_last
    s.step_h = 1 if g.kernel_h == 1 else g.stride_h
    s.step_w = 1 if g.kernel_w == 1 else g.stride_w
    s.vectors = ceil_div(s.filters, s.kernels.lanes)
    s.padded_filters = s.vectors * s.kernels.lanes
    s.panels = ceil_div(s.vectors, s.kernels.rows_vectors[1])
    s.height = s.kernels.max_rows
    while s.kernels.rows_vectors[s.height] < ceil_div(s.vectors, s.panels):
        s.height -= 1
    s.column_parts = ceil_div(g.out_w, pixels)
    s.columns_each = ceil_div(g.out_w, s.column_parts)
    s.rows_each = 1 if s.column_parts > 1 else larger(1, pixels // g.out_w)
    s.rows_each = smaller(s.rows_each, g.samples * g.out_h)
    s.blocks = ceil_div(g.samples * g.out_h, s.rows_each) * s.column_parts
    s.panel_parts = ceil_div(s.panels, PANELS_EACH)
    # at the most, a block touches this many images
    images = smaller(g.samples, (s.rows_each - 2) // g.out_h + 2 if s.rows_each > 1 else 1)
    channel_bytes = plan_taps(s, s.rows_each, s.columns_each, images)
    plan_chunks(s, g.groups * ceil_div(s.depth, s.height) * s.panels)
    plan_parts(s, channel_bytes, s.chunks * s.panel_parts, threads)
    if threads > 1 and (s.chunks * s.panel_parts * g.groups * s.channel_parts * s.tap_parts
                        < 2 * threads):
        s.panel_parts = s.panels
    s.band_bytes = channel_bytes * s.channels_each
    s.packed_bytes = round_up(s.rows_each * s.columns_each * s.kernels.lanes * size
                              * ceil_div(s.vectors, s.panels)
                              * ceil_div(s.panels, s.panel_parts), 64)
    s.pointer_bytes = round_up((s.rows_each * (s.height + 1)
                                + s.channels_each * s.tap_rows_each * g.kernel_w) * 8, 64)
    return s.band_bytes + s.packed_bytes + s.pointer_bytes + FC_SLACK
