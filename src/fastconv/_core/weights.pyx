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
from fastconv._core.problem cimport (
    Geometry,
    ceil_div,
    larger,
    round_up,
    share,
    smaller,
)
from fastconv._core.runtime cimport (
    FC_FLOAT64,
    FC_SLACK,
    conv_kernels,
    fc_copy,
    fc_epilogue,
    fc_kernels,
    fc_workspace_give,
    fc_workspace_take,
    parallel_for,
    plain_epilogue,
)
from fastconv._core.patch cimport Patch, copy_patch

cnp.import_array()

cdef enum:
    BLOCK_PIXELS = 256
    BAND_BYTES = 1 << 18
    MOST_BAND_BYTES = 1 << 22   # a band larger than this for one channel is not this driver's work
    TILE_ROWS = 512             # (channel, tap) rows of one task, about
    CHUNKS = 8
    CHUNK_BYTES = 1 << 20
    PANELS_EACH = 8             # panels of filters of one task


cdef struct Weights:
    const Geometry *geometry
    const fc_kernels *kernels
    const char *x
    const char *grad
    char *out
    char *sums                   # [chunk][group][(channel, tap)][filter], filters padded to lanes
    Py_ssize_t out_filter, out_channel, out_row, out_column
    Py_ssize_t channels, filters, taps, depth, inside
    Py_ssize_t vectors, panels, height, padded_filters
    Py_ssize_t rows_each, columns_each, column_parts, blocks, chunks
    Py_ssize_t channels_each, channel_parts, tap_rows_each, tap_parts, panel_parts
    Py_ssize_t band_bytes, packed_bytes, pointer_bytes


# One task's share of the tile rows: channels c0..c1-1, kernel rows r0..r1-1, stored at `start`.
cdef struct Part:
    Py_ssize_t group, c0, c1, r0, r1, start, count


# One block of pixels: lines (sample * out_h + row) first..first+lines-1, columns j0..j0+length-1.
cdef struct Block:
    Py_ssize_t first, lines, j0, length


cdef Part find_part(const Weights *s, Py_ssize_t index) noexcept nogil:
    cdef Part part
    cdef Py_ssize_t rest = index // s.tap_parts
    cdef const Geometry *g = s.geometry
    part.r0 = index % s.tap_parts * s.tap_rows_each
    part.r1 = smaller(part.r0 + s.tap_rows_each, g.kernel_h)
    part.c0 = rest % s.channel_parts * s.channels_each
    part.c1 = smaller(part.c0 + s.channels_each, s.channels)
    part.group = rest // s.channel_parts
    part.start = part.c0 * s.taps + (part.c1 - part.c0) * part.r0 * g.kernel_w
    part.count = (part.c1 - part.c0) * (part.r1 - part.r0) * g.kernel_w
    return part


cdef Block find_block(const Weights *s, Py_ssize_t index) noexcept nogil:
    cdef Block b
    b.first = index // s.column_parts * s.rows_each
    b.lines = smaller(s.rows_each, s.geometry.samples * s.geometry.out_h - b.first)
    b.j0 = index % s.column_parts * s.columns_each
    b.length = smaller(s.columns_each, s.geometry.out_w - b.j0)
    return b


cdef inline void split_row(const Weights *s, const Part *part, Py_ssize_t m, Py_ssize_t *c,
                           Py_ssize_t *r, Py_ssize_t *z) noexcept nogil:
    # row m of a part: (c, r, s) in the order in which neighbours lie close in x
    cdef Py_ssize_t kw = s.geometry.kernel_w, taps = (part.r1 - part.r0) * kw, t
    if s.geometry.channels_last:
        c[0] = m % (part.c1 - part.c0)
        t = m // (part.c1 - part.c0)
    else:
        c[0] = m // taps
        t = m % taps
    c[0] += part.c0
    r[0] = part.r0 + t // kw
    z[0] = t % kw


cdef inline char *sums_of(const Weights *s, Py_ssize_t chunk, const Part *part) noexcept nogil:
    return s.sums + ((chunk * s.geometry.groups + part.group) * s.depth + part.start) * (
        s.padded_filters * s.kernels.itemsize)


# ------------------------------------------------------------------------------------- x

cdef void copy_rows(const Weights *s, const Part *part, Py_ssize_t n, Py_ssize_t y, Py_ssize_t z,
                    Py_ssize_t rows, Py_ssize_t width, Py_ssize_t plane, char *to) noexcept nogil:
    # rows y.. of the part's channels of one image, from column z on: to[c][row][column], its
    # planes `plane` elements apart, or to[row][column][c]
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = s.kernels.itemsize, c, c0 = part.group * s.channels + part.c0
    cdef Patch w
    w.height, w.width, w.y, w.z, w.step_y, w.step_z = g.height, g.width, y, z, 1, 1
    w.rows, w.columns = rows, width
    if g.channels_last:
        w.pixel, w.channels = g.channels, part.c1 - part.c0
        copy_patch(s.kernels, s.x + (n * g.height * g.width * g.channels + c0) * size, &w, to)
        return
    w.pixel = w.channels = 1
    for c in range(part.c1 - part.c0):
        copy_patch(s.kernels, s.x + (n * g.channels + c0 + c) * g.height * g.width * size, &w,
                    to + c * plane * size)


cdef Py_ssize_t find_runs(const Weights *s, const Part *part, const Block *b, char *band,
                          const char **runs, Py_ssize_t *offsets) noexcept nogil:
    # runs[line]: where the block's lines begin for tile row 0; offsets[m]: what tile row m adds.
    # Returns the step from pixel to pixel.  Fills the band if x cannot be read as it lies.
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = s.kernels.itemsize, line, n, i, m, c, r, z, y, width, rows, total, plane
    cdef Py_ssize_t last, q, each = g.channels if g.channels_last else 1
    if s.inside:
        for line in range(b.lines):
            n = (b.first + line) // g.out_h
            i = (b.first + line) % g.out_h
            y = i * g.stride_h - g.pad_top
            z = b.j0 * g.stride_w - g.pad_left
            if g.channels_last:
                runs[line] = s.x + ((n * g.height + y) * g.width + z) * g.channels * size
            else:
                runs[line] = s.x + ((n * g.channels * g.height + y) * g.width + z) * size
        for m in range(part.count):
            split_row(s, part, m, &c, &r, &z)
            c += part.group * s.channels
            if g.channels_last:
                offsets[m] = (r * g.dilation_h * g.width + z * g.dilation_w) * g.channels + c
            else:
                offsets[m] = (c * g.height + r * g.dilation_h) * g.width + z * g.dilation_w
        return g.stride_w * each
    # band[c][row][column], or [row][column][c], the rows of one image after those of the one before
    if g.channels_last:
        each = part.c1 - part.c0
    width = (b.length - 1) * g.stride_w + (g.kernel_w - 1) * g.dilation_w + 1
    plane = band_rows(s, b, part.r1 - part.r0) * width
    line = total = 0
    while line < b.lines:
        n = (b.first + line) // g.out_h
        i = (b.first + line) % g.out_h
        last = smaller(b.lines, line + g.out_h - i)
        rows = (last - line - 1) * g.stride_h + (part.r1 - part.r0 - 1) * g.dilation_h + 1
        copy_rows(s, part, n, i * g.stride_h - g.pad_top + part.r0 * g.dilation_h,
                  b.j0 * g.stride_w - g.pad_left, rows, width, plane,
                  band + total * width * each * size)
        for q in range(line, last):
            runs[q] = band + (total + (q - line) * g.stride_h) * width * each * size
        total += rows
        line = last
    for m in range(part.count):
        split_row(s, part, m, &c, &r, &z)
        r = (r - part.r0) * g.dilation_h * width + z * g.dilation_w
        offsets[m] = r * each + c - part.c0 if g.channels_last else (c - part.c0) * plane + r
    return g.stride_w * each


cdef Py_ssize_t band_rows(const Weights *s, const Block *b, Py_ssize_t taps) noexcept nogil:
    # rows of the band: every image that the block touches brings its own rim
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t first = b.first % g.out_h
    cdef Py_ssize_t images = ceil_div(first + b.lines, g.out_h)
    return (b.lines - images) * g.stride_h + images * ((taps - 1) * g.dilation_h + 1)


# ---------------------------------------------------------------------------------- grad

cdef void pack_grad(const Weights *s, const Part *part, const Block *b, Py_ssize_t panel,
                    char *to) noexcept nogil:
    # to[pixel][lane] = grad[pixel, filter], zeros beyond the last filter
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = s.kernels.itemsize, plane = g.out_h * g.out_w, line = 0, n, i, last, q
    cdef Py_ssize_t first = share(s.vectors, s.panels, panel) * s.kernels.lanes
    cdef Py_ssize_t wide = share(s.vectors, s.panels, panel + 1) * s.kernels.lanes - first
    cdef Py_ssize_t filters = smaller(wide, s.filters - first)
    cdef Py_ssize_t filter = part.group * s.filters + first
    cdef const char *grad
    while line < b.lines:
        n = (b.first + line) // g.out_h
        i = (b.first + line) % g.out_h
        last = smaller(b.lines, line + g.out_h - i)
        if b.length < g.out_w:
            last = line + 1
        q = (last - line) * b.length
        if g.channels_last:
            grad = s.grad + ((n * plane + i * g.out_w + b.j0) * g.filters + filter) * size
            while q > 0:
                s.kernels.copy(grad, 1, to, filters)
                memset(to + filters * size, 0, (wide - filters) * size)
                grad += g.filters * size
                to += wide * size
                q -= 1
        else:
            grad = s.grad + ((n * g.filters + filter) * plane + i * g.out_w + b.j0) * size
            s.kernels.transpose(grad, plane, filters, q, to, wide, wide)
            to += q * wide * size
        line = last


cdef void lanes_block(const Weights *s, const Part *part, const Block *b, Py_ssize_t panel0,
                      Py_ssize_t panel1, char *sums, char *workspace) noexcept nogil:
    cdef Py_ssize_t size = s.kernels.itemsize, lanes = s.kernels.lanes
    cdef Py_ssize_t tiles = ceil_div(part.count, s.height), tile, first, height, panel, i, line
    cdef Py_ssize_t start, vectors, step, pixels = b.lines * b.length
    cdef char *band = workspace + s.pointer_bytes + s.packed_bytes
    cdef char *packed = workspace + s.pointer_bytes
    cdef const char **runs = <const char **> workspace
    cdef const void **rows = <const void **> (runs + s.rows_each)
    cdef Py_ssize_t *offsets = <Py_ssize_t *> (rows + s.rows_each * s.height)
    cdef fc_epilogue e = plain_epilogue(True)
    step = find_runs(s, part, b, band, runs, offsets)
    start = share(s.vectors, s.panels, panel0) * lanes
    for panel in range(panel0, panel1):
        pack_grad(s, part, b, panel,
                  packed + (share(s.vectors, s.panels, panel) * lanes - start) * pixels * size)
    for tile in range(tiles):
        first = share(part.count, tiles, tile)
        height = share(part.count, tiles, tile + 1) - first
        for line in range(b.lines):
            for i in range(height):
                rows[line * height + i] = runs[line] + offsets[first + i] * size
        for panel in range(panel0, panel1):
            i = share(s.vectors, s.panels, panel) * lanes
            vectors = share(s.vectors, s.panels, panel + 1) - i // lanes
            s.kernels.rows[height][vectors](
                rows, b.lines, b.length, step, packed + (i - start) * pixels * size,
                sums + (first * s.padded_filters + i) * size, s.padded_filters, vectors * lanes, &e)


cdef void lanes_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Weights *s = <const Weights *> context
    cdef Py_ssize_t size = s.kernels.itemsize, lanes = s.kernels.lanes
    cdef Py_ssize_t piece = task % s.panel_parts, rest = task // s.panel_parts, m, index
    cdef Py_ssize_t parts = s.geometry.groups * s.channel_parts * s.tap_parts
    cdef Py_ssize_t chunk = rest // parts
    cdef Py_ssize_t panel0 = share(s.panels, s.panel_parts, piece)
    cdef Py_ssize_t panel1 = share(s.panels, s.panel_parts, piece + 1)
    cdef Py_ssize_t f0 = share(s.vectors, s.panels, panel0) * lanes
    cdef Py_ssize_t f1 = share(s.vectors, s.panels, panel1) * lanes
    cdef Part part = find_part(s, rest % parts)
    cdef char *sums = sums_of(s, chunk, &part)
    cdef Block b
    for m in range(part.count):
        memset(sums + (m * s.padded_filters + f0) * size, 0, (f1 - f0) * size)
    for index in range(share(s.blocks, s.chunks, chunk), share(s.blocks, s.chunks, chunk + 1)):
        b = find_block(s, index)
        lanes_block(s, &part, &b, panel0, panel1, sums, workspace)


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
            and s.out_channel == s.taps):
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


# ----------------------------------------------------------------------------------- dot

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


cdef void dot_block(const Weights *s, const Part *part, Py_ssize_t n, Py_ssize_t row,
                    Py_ssize_t rows, char *sums, char *workspace) noexcept nogil:
    # `rows` rows of one image; x from a band whose columns are split by stride
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = s.kernels.itemsize, c, r, z, i, f
    cdef Py_ssize_t phases = smaller(g.kernel_w, g.stride_w), first, height, tiles, few, tile
    cdef Py_ssize_t width = g.out_w + (g.kernel_w - 1) * g.dilation_w // g.stride_w
    cdef Py_ssize_t tall = (rows - 1) * g.stride_h + (part.r1 - part.r0 - 1) * g.dilation_h + 1
    cdef Py_ssize_t plane = phases * tall * width
    cdef bint direct = s.inside and g.stride_w == 1
    cdef const void *x_rows[8]
    cdef const void *grads[4]
    if not direct:
        fill_phases(s, part, n, row * g.stride_h - g.pad_top + part.r0 * g.dilation_h, tall, width,
                    workspace)
    f = 0
    while f < s.filters:
        few = smaller(s.filters - f, 4)
        while s.kernels.dot_rows[few] == 0:
            few -= 1
        for i in range(few):
            grads[i] = s.grad + ((n * g.filters + part.group * s.filters + f + i) * g.out_h
                                 + row) * g.out_w * size
        tiles = ceil_div(part.count, s.kernels.dot_rows[few])
        for tile in range(tiles):
            first = share(part.count, tiles, tile)
            height = share(part.count, tiles, tile + 1) - first
            for i in range(height):
                split_row(s, part, first + i, &c, &r, &z)
                if direct:
                    x_rows[i] = s.x + (
                        ((n * g.channels + part.group * s.channels + c) * g.height
                         + row * g.stride_h - g.pad_top + r * g.dilation_h) * g.width
                        + z * g.dilation_w - g.pad_left) * size
                else:
                    x_rows[i] = workspace + (
                        (c - part.c0) * plane
                        + (z % phases * tall + (r - part.r0) * g.dilation_h) * width
                        + z * g.dilation_w // g.stride_w) * size
            s.kernels.dot[height][few](
                x_rows, (g.width if direct else width) * g.stride_h, grads, g.out_w, rows, g.out_w,
                sums + (first * s.padded_filters + f) * size, s.padded_filters)
        f += few


cdef void dot_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # the blocks of this way are s.column_parts strips of rows an image
    cdef const Weights *s = <const Weights *> context
    cdef Py_ssize_t parts = s.geometry.groups * s.channel_parts * s.tap_parts
    cdef Py_ssize_t chunk = task // parts, index, strip, row
    cdef Part part = find_part(s, task % parts)
    cdef char *sums = sums_of(s, chunk, &part)
    memset(sums, 0, part.count * s.padded_filters * s.kernels.itemsize)
    for index in range(share(s.blocks, s.chunks, chunk), share(s.blocks, s.chunks, chunk + 1)):
        strip = index % s.column_parts
        row = share(s.geometry.out_h, s.column_parts, strip)
        dot_block(s, &part, index // s.column_parts, row,
                  share(s.geometry.out_h, s.column_parts, strip + 1) - row, sums, workspace)


# ---------------------------------------------------------------------------------- plans

cdef void plan_common(Weights *s) noexcept nogil:
    cdef const Geometry *g = s.geometry
    s.channels = g.channels // g.groups
    s.filters = g.filters // g.groups
    s.taps = g.kernel_h * g.kernel_w
    s.depth = s.channels * s.taps
    s.inside = (g.pad_top <= 0 and g.pad_left <= 0
                and ((g.out_h - 1) * g.stride_h - g.pad_top
                     + (g.kernel_h - 1) * g.dilation_h < g.height)
                and ((g.out_w - 1) * g.stride_w - g.pad_left
                     + (g.kernel_w - 1) * g.dilation_w < g.width))


cdef Py_ssize_t padded_bytes(const Weights *s, Py_ssize_t lines, Py_ssize_t columns,
                             Py_ssize_t images, Py_ssize_t tap_rows) noexcept nogil:
    # of a padded copy of one channel: `lines` output rows of `columns` columns, of `images` images
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t width = (columns - 1) * g.stride_w + (g.kernel_w - 1) * g.dilation_w + 1
    cdef Py_ssize_t rows = (lines - 1) * g.stride_h + images * ((tap_rows - 1) * g.dilation_h + 1)
    if width > MOST_BAND_BYTES or rows > MOST_BAND_BYTES:
        return MOST_BAND_BYTES + 1
    return width * rows * s.kernels.itemsize


cdef void plan_parts(Weights *s, Py_ssize_t channel_bytes, Py_ssize_t pieces,
                     int threads) noexcept nogil:
    # cut the channels so that a part's band and tiles fit, and every thread has work
    cdef Py_ssize_t rows = TILE_ROWS
    if threads > 1:
        while rows > 64 and pieces * s.geometry.groups * ceil_div(s.depth, rows) < 3 * threads:
            rows //= 2
    s.channels_each = larger(1, smaller(rows // (s.tap_rows_each * s.geometry.kernel_w),
                                        BAND_BYTES // larger(1, channel_bytes)))
    s.channels_each = 1 if s.tap_parts > 1 else smaller(s.channels_each, s.channels)
    s.channel_parts = ceil_div(s.channels, s.channels_each)


cdef Py_ssize_t plan_taps(Weights *s, Py_ssize_t lines, Py_ssize_t columns,
                          Py_ssize_t images) noexcept nogil:
    # cut the kernel's rows if it is large; returns the bytes of one channel's band
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t needed = padded_bytes(s, lines, columns, images, g.kernel_h)
    s.tap_rows_each = g.kernel_h
    if s.taps > TILE_ROWS:
        s.tap_rows_each = larger(1, TILE_ROWS // g.kernel_w)
    if not s.inside and needed > MOST_BAND_BYTES:
        s.tap_rows_each = 1
    s.tap_parts = ceil_div(g.kernel_h, s.tap_rows_each)
    return 0 if s.inside else padded_bytes(s, lines, columns, images, s.tap_rows_each)


cdef void plan_chunks(Weights *s, Py_ssize_t tiles) noexcept nogil:
    # decided by the geometry alone: it fixes the order of the sums
    cdef Py_ssize_t whole = s.geometry.groups * s.depth * s.padded_filters * s.kernels.itemsize
    s.chunks = 1
    if tiles < 64:
        s.chunks = larger(1, smaller(smaller(s.blocks, CHUNKS), CHUNK_BYTES // whole))


cdef Py_ssize_t plan_lanes(Weights *s, int threads) noexcept nogil:
    # returns the bytes of workspace a thread needs
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = s.kernels.itemsize, channel_bytes, images
    s.vectors = ceil_div(s.filters, s.kernels.lanes)
    s.padded_filters = s.vectors * s.kernels.lanes
    s.panels = ceil_div(s.vectors, s.kernels.rows_vectors[1])
    s.height = s.kernels.max_rows
    while s.kernels.rows_vectors[s.height] < ceil_div(s.vectors, s.panels):
        s.height -= 1
    s.column_parts = ceil_div(g.out_w, BLOCK_PIXELS)
    s.columns_each = ceil_div(g.out_w, s.column_parts)
    s.rows_each = 1 if s.column_parts > 1 else larger(1, BLOCK_PIXELS // g.out_w)
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


cdef Py_ssize_t plan_dot(Weights *s, int threads) noexcept nogil:
    # returns the bytes of workspace a thread needs
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t size = s.kernels.itemsize, rows, channel_bytes
    s.padded_filters = s.filters
    rows = larger(1, smaller(g.out_h, BAND_BYTES // 4 // g.stride_h // g.stride_w // size
                             // (g.out_w + g.kernel_w)))
    s.column_parts = ceil_div(g.out_h, rows)
    rows = ceil_div(g.out_h, s.column_parts)
    s.blocks = g.samples * s.column_parts
    # a row split by stride has a column more for each phase
    channel_bytes = plan_taps(s, rows, g.out_w + smaller(g.kernel_w, g.stride_w), 1)
    if s.inside and g.stride_w > 1:
        channel_bytes = padded_bytes(s, rows, g.out_w + smaller(g.kernel_w, g.stride_w), 1,
                                     s.tap_rows_each)
    plan_chunks(s, g.groups * ceil_div(s.depth, 8))
    plan_parts(s, channel_bytes, s.chunks, threads)
    return channel_bytes * s.channels_each + FC_SLACK


# ------------------------------------------------------------------------------------ entry

def band_fits(cnp.ndarray numbers, str algorithm):
    """Whether the padded copy of one channel that the algorithm may need stays small."""
    cdef Weights s
    s.geometry = geometry_of(numbers)
    s.kernels = conv_kernels(FC_FLOAT64)
    plan_common(&s)
    if algorithm == "dot":
        return plan_dot(&s, 1) <= MOST_BAND_BYTES + FC_SLACK
    plan_lanes(&s, 1)
    return s.band_bytes <= MOST_BAND_BYTES


def grad_w(cnp.ndarray numbers, cnp.ndarray grad, cnp.ndarray x, cnp.ndarray out, int threads,
           str algorithm):
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
        plan_common(&s)
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


# ------------------------------------------------------------------------------------- bias

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
        raise MemoryError("no memory for the workspace of a gradient")
