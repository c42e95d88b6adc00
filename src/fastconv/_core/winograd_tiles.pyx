"""Tiles of images for minimal filtering: how they are cut, and their transform V.

Images whose channels come first are transposed on the way, a band of rows at a time.
"""

from libc.string cimport memset

from fastconv._core.problem cimport Problem, ceil_div, larger, round_up, share, smaller

cdef extern from "string.h" nogil:
    void *copy_bytes "memcpy"(void *, const void *, size_t)

cdef extern from *:
    """
    #define ask_for(at, written) \\
        ((written) ? __builtin_prefetch((at), 1, 2) : __builtin_prefetch((at), 0, 2))
    """
    void ask_for(const void *at, bint written) nogil

cdef enum:
    WIDEST = 31                 # tiles in a row of a block: few rows share little of their patches


cdef void cut_weights(Winograd *s, const Problem *p) noexcept nogil:
    # panels of filters, pieces of channels and of the kernel
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, widest
    s.problem = p
    s.vectors = ceil_div(p.filters, lanes)
    s.panels = ceil_div(s.vectors, p.kernels.rows_vectors[1])
    widest = ceil_div(s.vectors, s.panels)
    s.parts_h, s.parts_w = ceil_div(p.kernel_h, PART), ceil_div(p.kernel_w, PART)
    s.parts = s.parts_h * s.parts_w
    s.channel_pieces = ceil_div(p.channels, PIECE)
    s.pieces = s.channel_pieces * s.parts
    s.v_pitch = round_up(smaller(PIECE, p.channels), lanes)
    s.m_pitch = widest * lanes
    s.u_plane = off_pages(smaller(PIECE, p.channels) * s.m_pitch, size)
    s.u_bytes = POSITIONS * s.u_plane * size
    s.height = p.kernels.max_rows
    while p.kernels.rows_vectors[s.height] < widest:
        s.height -= 1


cdef Runs find_weights(const Winograd *s, Py_ssize_t group, Py_ssize_t panel,
                       Py_ssize_t q) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, first, count, bytes, i
    cdef Piece piece = find_piece(s, q)
    cdef Runs runs = no_runs()
    if panel >= s.panels:
        return runs
    first = share(s.vectors, s.panels, panel) * p.kernels.lanes
    count = smaller(p.filters, share(s.vectors, s.panels, panel + 1) * p.kernels.lanes) - first
    runs.n[0] = smaller(PART, p.kernel_w - piece.column)
    runs.n[1] = smaller(PART, p.kernel_h - piece.row)
    runs.step[0], runs.step[1] = p.w_column * size, p.w_row * size
    runs.at = tap_of(p, group, first, piece.c0, piece.row, piece.column)
    for i in range(2):
        if runs.step[i] < 0:  # of a gradient: backwards
            runs.at += (runs.n[i] - 1) * runs.step[i]
            runs.step[i] = -runs.step[i]
    bytes = size
    if p.w_filter != 1 and p.w_channel != 1:  # taps are neighbours
        bytes *= runs.n[0] * runs.n[1]
        runs.n[0] = runs.n[1] = 1
    if p.w_filter > p.w_channel:
        bytes *= piece.channels
        runs.n[2], runs.step[2] = count, p.w_filter * size
    else:
        bytes *= count
        runs.n[2], runs.step[2] = piece.channels, p.w_channel * size
    runs.each = bytes // LINE + 1  # runs begin within a line
    runs.lines = runs.n[0] * runs.n[1] * runs.n[2] * runs.each
    return runs


cdef void ask_ahead(Runs *runs, Py_ssize_t lines, bint written) noexcept nogil:
    cdef Py_ssize_t axis
    lines = smaller(lines, runs.lines)
    runs.lines -= lines
    while lines > 0:
        while lines > 0 and runs.line < runs.each:
            ask_for(runs.at + runs.line * LINE, written)
            runs.line += 1
            lines -= 1
        if runs.line < runs.each:
            return
        runs.line = 0
        for axis in range(3):
            runs.at += runs.step[axis]
            runs.i[axis] += 1
            if runs.i[axis] < runs.n[axis]:
                break
            runs.at -= runs.n[axis] * runs.step[axis]
            runs.i[axis] = 0


cdef void cut_tiles(Winograd *s, Py_ssize_t tiles) noexcept nogil:
    # blocks of so many tiles, or fewer, or one row of them
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lines, rows, columns
    s.phase_rows = ceil_div(ceil_div(p.out_h, p.dilation_h), TILE)
    s.phase_columns = ceil_div(ceil_div(p.out_w, p.dilation_w), TILE)
    s.tile_rows = smaller(p.dilation_h, p.out_h) * s.phase_rows
    s.tile_columns = smaller(p.dilation_w, p.out_w) * s.phase_columns
    lines = p.samples * s.tile_rows
    # all phases of the columns, or a part of the only one
    s.column_parts = 1
    if p.dilation_w == 1:
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
        s.band_bytes = PATCH * PATCH * smaller(PIECE, p.channels) * size
    else:
        rows = smaller(s.lines_each, s.phase_rows) * TILE + PART * s.parts_h - 1
        columns = smaller(s.columns_each, s.phase_columns) * TILE + PART * s.parts_w
        columns *= p.dilation_w
        s.band_bytes = rows * columns * p.kernels.lanes * size


cdef Block find_block(const Winograd *s, Py_ssize_t index) noexcept nogil:
    cdef Block b
    cdef Py_ssize_t lines = s.problem.samples * s.tile_rows, part = index % s.column_parts
    b.first = share(lines, s.line_blocks, index // s.column_parts)
    b.lines = share(lines, s.line_blocks, index // s.column_parts + 1) - b.first
    b.j0 = share(s.tile_columns, s.column_parts, part)
    b.length = share(s.tile_columns, s.column_parts, part + 1) - b.j0
    return b


cdef void fill_band(const Problem *p, const char *plane, Py_ssize_t height, Py_ssize_t width,
                    Py_ssize_t y, Py_ssize_t z, Py_ssize_t step, Py_ssize_t rows,
                    Py_ssize_t columns, Py_ssize_t channels, char *band) noexcept nogil:
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, _
    cdef Py_ssize_t low = smaller(columns, larger(0, -z))
    cdef Py_ssize_t high = larger(low, smaller(columns, width - z))
    for _ in range(rows):
        if y < 0 or y >= height:
            memset(band, 0, columns * lanes * size)
        else:
            memset(band, 0, low * lanes * size)
            p.kernels.transpose(plane + (y * width + z + low) * size, height * width, channels,
                                high - low, band + low * lanes * size, lanes, lanes)
            memset(band + high * lanes * size, 0, (columns - high) * lanes * size)
        band += columns * lanes * size
        y += step


cdef void tiles_first(const Winograd *s, Py_ssize_t n, Py_ssize_t group, Py_ssize_t row,
                      Py_ssize_t lines, const Block *b, Py_ssize_t first, Py_ssize_t stop, char *v,
                      char *band) noexcept nogil:
    # V of some lines of one phase of one image whose channels come first
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, c, i, j, k, q
    cdef Py_ssize_t c0 = first * PIECE, channels = smaller(p.channels, stop * PIECE) - c0
    cdef Py_ssize_t z0 = first_column(s, b.j0), width = span(s, b, PART * s.parts_w - 1)
    cdef const char *image = p.x + ((n * p.groups + group) * p.channels + c0) * (
        p.height * p.width * size)
    cdef const char *at
    cdef Piece piece
    for k in range(ceil_div(channels, lanes)):
        c = k * lanes
        fill_band(p, image + c * p.height * p.width * size, p.height, p.width,
                  first_row(s, row) - p.pad_top, z0 - p.pad_left, p.dilation_h,
                  lines * TILE + PART * s.parts_h - 1, width, smaller(lanes, channels - c), band)
        for q in range(s.parts):
            piece = find_piece(s, q)
            for i in range(lines):
                for j in range(b.length):
                    at = band + ((i * TILE + piece.row) * width + first_column(s, b.j0 + j) - z0
                                 + piece.column * p.dilation_w) * lanes * size
                    p.kernels.winograd_input(
                        at, width * lanes, p.dilation_w * lanes, lanes,
                        v + (c // PIECE * s.parts + q) * s.v_bytes
                        + ((i * b.length + j) * s.v_pitch + c % PIECE) * size, s.v_plane)


cdef void tiles_last(const Winograd *s, Py_ssize_t n, Py_ssize_t group, Py_ssize_t row,
                     Py_ssize_t lines, const Block *b, Py_ssize_t first, Py_ssize_t stop, char *v,
                     char *band) noexcept nogil:
    # the same where they come last: read as they lie, but for tiles that reach beyond the image
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, i, j, q, y, z, pixel = p.groups * p.channels
    cdef Py_ssize_t down = (PATCH - 1) * p.dilation_h, across = (PATCH - 1) * p.dilation_w
    cdef const char *image = p.x + (n * p.height * p.width * pixel + group * p.channels) * size
    cdef Piece piece
    for i in range(lines):
        for j in range(b.length):
            for q in range(first * s.parts, stop * s.parts):
                piece = find_piece(s, q)
                y = first_row(s, row + i) - p.pad_top + piece.row * p.dilation_h
                z = first_column(s, b.j0 + j) - p.pad_left + piece.column * p.dilation_w
                if y >= 0 and z >= 0 and y + down < p.height and z + across < p.width:
                    p.kernels.winograd_input(
                        image + ((y * p.width + z) * pixel + piece.c0) * size,
                        p.dilation_h * p.width * pixel, p.dilation_w * pixel, piece.channels,
                        v + (q - first * s.parts) * s.v_bytes, s.v_plane)
                else:
                    copy_tile(p, image + piece.c0 * size, y, z, piece.channels, band)
                    p.kernels.winograd_input(band, PATCH * piece.channels, piece.channels,
                                             piece.channels,
                                             v + (q - first * s.parts) * s.v_bytes, s.v_plane)
            v += s.v_pitch * size


cdef void copy_tile(const Problem *p, const char *image, Py_ssize_t y, Py_ssize_t z,
                    Py_ssize_t channels, char *to) noexcept nogil:
    # 6 x 6 pixels with zeros outside of the image
    cdef Py_ssize_t bytes = channels * p.kernels.itemsize, i, j, row, column
    cdef Py_ssize_t pixel = p.groups * p.channels * p.kernels.itemsize
    for i in range(PATCH):
        row = y + i * p.dilation_h
        for j in range(PATCH):
            column = z + j * p.dilation_w
            if row < 0 or column < 0 or row >= p.height or column >= p.width:
                memset(to, 0, bytes)
            else:
                copy_bytes(to, image + (row * p.width + column) * pixel, bytes)
            to += bytes


cdef void make_v(const Winograd *s, Py_ssize_t group, const Block *b, Py_ssize_t first,
                 Py_ssize_t stop, char *v, char *band) noexcept nogil:
    cdef Py_ssize_t line = b.first, lines, n, row
    while line < b.first + b.lines:
        n, row = line // s.tile_rows, line % s.tile_rows
        lines = lines_together(s, line, b.first + b.lines)
        if s.problem.channels_last:
            tiles_last(s, n, group, row, lines, b, first, stop, v, band)
        else:
            tiles_first(s, n, group, row, lines, b, first, stop, v, band)
        v += lines * b.length * s.v_pitch * s.problem.kernels.itemsize
        line += lines
