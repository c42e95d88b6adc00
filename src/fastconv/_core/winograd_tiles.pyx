"""Tiles of images for minimal filtering: how they are cut, and their transform V.

Images whose channels come first are transposed on the way, a band of rows at a time.
"""

from libc.string cimport memset

from fastconv._core.patch cimport Patch, copy_patch
from fastconv._core.problem cimport Problem, ceil_div, larger, round_up, share, smaller

cdef enum:
    WIDEST = 31                 # tiles in a row of a block: few rows share little of their patches


cdef void cut_weights(Winograd *s, const Problem *p) noexcept nogil:
    # panels of filters, pieces of channels
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, widest
    s.problem = p
    s.vectors = ceil_div(p.filters, lanes)
    s.panels = ceil_div(s.vectors, p.kernels.rows_vectors[1])
    widest = ceil_div(s.vectors, s.panels)
    s.pieces = ceil_div(p.channels, PIECE)
    s.v_pitch = round_up(smaller(PIECE, p.channels), lanes)
    s.m_pitch = widest * lanes
    s.u_plane = off_pages(smaller(PIECE, p.channels) * s.m_pitch, size)
    s.u_bytes = POSITIONS * s.u_plane * size
    s.height = p.kernels.max_rows
    while p.kernels.rows_vectors[s.height] < widest:
        s.height -= 1


cdef void cut_tiles(Winograd *s, Py_ssize_t tiles) noexcept nogil:
    # blocks of so many tiles, or fewer, or one row of them
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lines
    s.tile_rows, s.tile_columns = ceil_div(p.out_h, TILE), ceil_div(p.out_w, TILE)
    lines = p.samples * s.tile_rows
    s.column_parts = ceil_div(s.tile_columns, smaller(tiles, WIDEST))
    s.columns_each = ceil_div(s.tile_columns, s.column_parts)
    s.line_blocks = ceil_div(lines, larger(1, tiles // s.columns_each))
    s.lines_each = ceil_div(lines, s.line_blocks)
    s.blocks = s.line_blocks * s.column_parts
    tiles = s.lines_each * s.columns_each
    s.v_plane = off_pages(tiles * s.v_pitch, size)
    s.m_plane = off_pages(tiles * s.m_pitch, size)
    s.v_bytes, s.m_bytes = POSITIONS * s.v_plane * size, POSITIONS * s.m_plane * size
    if p.channels_last:
        s.band_bytes = PATCH * PATCH * p.channels * size
    else:
        s.band_bytes = (smaller(s.lines_each, s.tile_rows) * TILE + PATCH - TILE) * (
            s.columns_each * TILE + PATCH - TILE) * p.kernels.lanes * size


cdef Block find_block(const Winograd *s, Py_ssize_t index) noexcept nogil:
    cdef Block b
    cdef Py_ssize_t lines = s.problem.samples * s.tile_rows, part = index % s.column_parts
    b.first = share(lines, s.line_blocks, index // s.column_parts)
    b.lines = share(lines, s.line_blocks, index // s.column_parts + 1) - b.first
    b.j0 = share(s.tile_columns, s.column_parts, part)
    b.length = share(s.tile_columns, s.column_parts, part + 1) - b.j0
    return b


cdef void fill_band(const Problem *p, const char *plane, Py_ssize_t height, Py_ssize_t width,
                    Py_ssize_t y, Py_ssize_t z, Py_ssize_t rows, Py_ssize_t columns,
                    Py_ssize_t channels, char *band) noexcept nogil:
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, i, line
    cdef Py_ssize_t low = smaller(columns, larger(0, -z))
    cdef Py_ssize_t high = larger(low, smaller(columns, width - z))
    for i in range(rows):
        line = i * columns * lanes
        if y + i < 0 or y + i >= height:
            memset(band + line * size, 0, columns * lanes * size)
            continue
        memset(band + line * size, 0, low * lanes * size)
        p.kernels.transpose(plane + ((y + i) * width + z + low) * size, height * width, channels,
                            high - low, band + (line + low * lanes) * size, lanes, lanes)
        memset(band + (line + high * lanes) * size, 0, (columns - high) * lanes * size)


cdef void tiles_first(const Winograd *s, Py_ssize_t n, Py_ssize_t group, Py_ssize_t row,
                      Py_ssize_t lines, const Block *b, Py_ssize_t piece0, Py_ssize_t piece1,
                      char *v, char *band) noexcept nogil:
    # V of some lines of one image whose channels come first
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, c, i, j, k
    cdef Py_ssize_t width = b.length * TILE + PATCH - TILE
    cdef Py_ssize_t first = piece0 * PIECE, channels = smaller(p.channels, piece1 * PIECE) - first
    cdef char *to
    for k in range(ceil_div(channels, lanes)):
        c = k * lanes
        to = v + c // PIECE * s.v_bytes + c % PIECE * size
        fill_band(p, p.x + ((n * p.groups + group) * p.channels + first + c) * p.height * p.width
                  * size, p.height, p.width, row * TILE - p.pad_top, b.j0 * TILE - p.pad_left,
                  lines * TILE + PATCH - TILE, width, smaller(lanes, channels - c), band)
        for i in range(lines):
            for j in range(b.length):
                p.kernels.winograd_input(
                    band + (i * width + j) * TILE * lanes * size, width * lanes, lanes, lanes,
                    to + (i * b.length + j) * s.v_pitch * size, s.v_plane)


cdef void tiles_last(const Winograd *s, Py_ssize_t n, Py_ssize_t group, Py_ssize_t row,
                     Py_ssize_t lines, const Block *b, Py_ssize_t piece0, Py_ssize_t piece1,
                     char *v, char *band) noexcept nogil:
    # the same where they come last: read as they lie, but for tiles that reach beyond the image
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, i, j, pixel = p.groups * p.channels
    cdef Py_ssize_t channels = smaller(p.channels, piece1 * PIECE) - piece0 * PIECE
    cdef const char *image = p.x + (n * p.height * p.width * pixel + group * p.channels
                                    + piece0 * PIECE) * size
    cdef Patch w
    w.height, w.width, w.pixel, w.channels = p.height, p.width, pixel, channels
    w.step_y, w.step_z, w.rows, w.columns = 1, 1, PATCH, PATCH
    for i in range(lines):
        w.y = (row + i) * TILE - p.pad_top
        for j in range(b.length):
            w.z = (b.j0 + j) * TILE - p.pad_left
            if w.y >= 0 and w.z >= 0 and w.y + PATCH <= p.height and w.z + PATCH <= p.width:
                tile_last(s, image + (w.y * p.width + w.z) * pixel * size, p.width * pixel, pixel,
                          channels, v)
            else:
                copy_patch(p.kernels, image, &w, band)
                tile_last(s, band, PATCH * channels, channels, channels, v)
            v += s.v_pitch * size


cdef inline void tile_last(const Winograd *s, const char *x, Py_ssize_t row, Py_ssize_t pixel,
                           Py_ssize_t channels, char *v) noexcept nogil:
    cdef Py_ssize_t size = s.problem.kernels.itemsize, piece
    for piece in range(ceil_div(channels, PIECE)):
        s.problem.kernels.winograd_input(x + piece * PIECE * size, row, pixel,
                                         smaller(PIECE, channels - piece * PIECE),
                                         v + piece * s.v_bytes, s.v_plane)


cdef void make_v(const Winograd *s, Py_ssize_t group, const Block *b, Py_ssize_t piece0,
                 Py_ssize_t piece1, char *v, char *band) noexcept nogil:
    # the lines of one image after those of the one before
    cdef Py_ssize_t line = b.first, lines, n, row
    while line < b.first + b.lines:
        n, row = line // s.tile_rows, line % s.tile_rows
        lines = smaller(b.first + b.lines - line, s.tile_rows - row)
        if s.problem.channels_last:
            tiles_last(s, n, group, row, lines, b, piece0, piece1, v, band)
        else:
            tiles_first(s, n, group, row, lines, b, piece0, piece1, v, band)
        v += lines * b.length * s.v_pitch * s.problem.kernels.itemsize
        line += lines
