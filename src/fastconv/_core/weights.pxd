"""The gradient for the kernel as its two ways, lanes.pyx and dot.pyx, see it.

What is cut: the rows of the tiles, (channel, tap), into parts; the pixels into blocks, and these
into chunks, each with sums of its own.
"""

cimport numpy as cnp

from fastconv._core.bias_sums cimport BiasSums
from fastconv._core.problem cimport Geometry, ceil_div, larger, share, smaller
from fastconv._core.runtime cimport fc_kernels

cdef enum:
    BAND_BYTES = 1 << 18
    MOST_BAND_BYTES = 1 << 22   # a band larger than this for one channel is not this driver's work
    TILE_ROWS = 512             # (channel, tap) rows of one task, about
    MOST_TILE_ROWS = 2048       # where they are read as they lie
    CHUNKS = 8
    CHUNK_BYTES = 1 << 20


# Where `exchanged` x stands for the gradient, channels for filters, and the other way round.
cdef struct Weights:
    Geometry flat                # a 1x1 kernel's, whose pixels are one row
    const Geometry *geometry
    const fc_kernels *kernels
    const char *x
    const char *grad
    char *out
    BiasSums bias
    # [chunk][group][(channel, tap)][filter], filters padded to lanes; NULL: tiles are stored in out
    char *sums
    Py_ssize_t out_group, out_filter, out_channel, out_row, out_column
    Py_ssize_t channels, filters, taps, depth, highest
    Py_ssize_t step_h, step_w    # from pixel to pixel that a tap reads, in a copy of x
    bint exchanged, in_place     # x is read as it lies
    Py_ssize_t vectors, panels, height, padded_filters
    Py_ssize_t rows_each, columns_each, column_parts, blocks, chunks
    Py_ssize_t channels_each, channel_parts, tap_rows_each, tap_parts, panel_parts
    Py_ssize_t band_bytes, packed_bytes, pointer_bytes


# One task's share of the tile rows: channels c0..c1-1, kernel rows r0..r1-1, stored at `start`.
cdef struct Part:
    Py_ssize_t group, c0, c1, r0, r1, start, count


cdef inline Part find_part(const Weights *s, Py_ssize_t index) noexcept nogil:
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


cdef inline void split_row(const Weights *s, const Part *part, Py_ssize_t m, Py_ssize_t *c,
                           Py_ssize_t *r, Py_ssize_t *z) noexcept nogil:
    # row m of a part: (c, r, s) in the order in which neighbours lie close in x
    cdef Py_ssize_t kw = s.geometry.kernel_w, taps = (part.r1 - part.r0) * kw, t
    if s.taps == 1:  # no divisions, which would take longer than short sums
        c[0], r[0], z[0] = part.c0 + m, 0, 0
        return
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


# ----------------------------------------------------------------------------------- plan

cdef inline Py_ssize_t padded_bytes(const Weights *s, Py_ssize_t lines, Py_ssize_t columns,
                                    Py_ssize_t images, Py_ssize_t tap_rows) noexcept nogil:
    # of a padded copy of one channel: `lines` output rows of `columns` columns, of `images` images
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t width = (columns - 1) * s.step_w + (g.kernel_w - 1) * g.dilation_w + 1
    cdef Py_ssize_t rows = (lines - 1) * s.step_h + images * ((tap_rows - 1) * g.dilation_h + 1)
    if width > MOST_BAND_BYTES or rows > MOST_BAND_BYTES:
        return MOST_BAND_BYTES + 1
    return width * rows * s.kernels.itemsize


cdef inline Py_ssize_t plan_taps(Weights *s, Py_ssize_t lines, Py_ssize_t columns,
                                 Py_ssize_t images) noexcept nogil:
    # cut the kernel's rows if it is large; returns the bytes of one channel's band
    cdef const Geometry *g = s.geometry
    cdef Py_ssize_t needed = padded_bytes(s, lines, columns, images, g.kernel_h)
    s.tap_rows_each = g.kernel_h
    if s.taps > TILE_ROWS:
        s.tap_rows_each = larger(1, TILE_ROWS // g.kernel_w)
    if not s.in_place and needed > MOST_BAND_BYTES:
        s.tap_rows_each = 1
    s.tap_parts = ceil_div(g.kernel_h, s.tap_rows_each)
    return 0 if s.in_place else padded_bytes(s, lines, columns, images, s.tap_rows_each)


cdef inline void plan_chunks(Weights *s, Py_ssize_t tiles) noexcept nogil:
    # decided by the geometry alone: it fixes the order of the sums
    cdef Py_ssize_t whole = s.geometry.groups * s.depth * s.padded_filters * s.kernels.itemsize
    s.chunks = 1
    if tiles < 64:
        s.chunks = larger(1, smaller(smaller(s.blocks, CHUNKS), CHUNK_BYTES // whole))


cdef inline void plan_parts(Weights *s, Py_ssize_t channel_bytes, Py_ssize_t pieces,
                            int threads) noexcept nogil:
    # cut the channels so that a part's band and tiles fit, and every thread has work
    cdef Py_ssize_t rows = TILE_ROWS if channel_bytes else MOST_TILE_ROWS
    if threads > 1:
        while rows > 64 and pieces * s.geometry.groups * ceil_div(s.depth, rows) < 3 * threads:
            rows //= 2
    s.channels_each = larger(1, smaller(rows // (s.tap_rows_each * s.geometry.kernel_w),
                                        BAND_BYTES // larger(1, channel_bytes)))
    s.channels_each = 1 if s.tap_parts > 1 else smaller(s.channels_each, s.channels)
    s.channel_parts = ceil_div(s.channels, s.channels_each)


cpdef grad_w(cnp.ndarray numbers, cnp.ndarray grad, cnp.ndarray x, cnp.ndarray out, int threads,
             bint highest, str algorithm, object grad_bias=*)
