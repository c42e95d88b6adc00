"""Minimal filtering F(4x4, 3x3): tiles of images, and what the drivers of it share.

V are the transformed tiles of 6 x 6 pixels, four apart: V[piece][position][tile][channel], a
position one of 36.  A larger kernel is a sum of 3 x 3 ones, with zeros where they pass its edge: a
piece is some channels and one of these.  A dilated convolution is a dense one of every phase of the
rows and columns, whose tiles come one phase after the other.  See kernels/winograd.h.
"""

from libc.string cimport memset

from fastconv._core.problem cimport Problem, ceil_div, round_up, smaller

cdef enum:
    POSITIONS = 36
    TILE = 4                    # outputs a side
    PATCH = 6                   # pixels a side
    PIECE = 64                  # channels of a piece
    PART = 3                    # rows and columns of a kernel's part
    LINE = 64                   # bytes of a cache line


# A problem and how its filters, channels and tiles are cut.
cdef struct Winograd:
    const Problem *problem
    Py_ssize_t vectors, panels, height      # of the filters; tiles of a register tile
    Py_ssize_t parts_h, parts_w, parts      # of the kernel
    Py_ssize_t channel_pieces, pieces       # of the channels; of channels and kernel
    Py_ssize_t tile_rows, tile_columns      # of an image,
    Py_ssize_t phase_rows, phase_columns    # and of one of its phases
    Py_ssize_t lines_each, columns_each     # of a block: rows of tiles, and tiles of each
    Py_ssize_t column_parts, line_blocks, blocks
    # elements from tile to tile and from position to position: V, and what has filters for lanes
    Py_ssize_t v_pitch, m_pitch, u_plane, v_plane, m_plane
    Py_ssize_t u_bytes, v_bytes, m_bytes    # of a piece and a panel; of a piece; of a panel
    Py_ssize_t band_bytes


# Some tiles: lines (sample * tile_rows + row) first..first+lines-1, `length` of each from j0 on.
cdef struct Block:
    Py_ssize_t first, lines, j0, length


cdef inline Py_ssize_t off_pages(Py_ssize_t elements, Py_ssize_t size) noexcept nogil:
    # positions a multiple of 4 kB apart would share the same few lines of the first cache
    return round_up(elements * size, LINE) // size + LINE // size


cdef inline const char *tap_of(const Problem *p, Py_ssize_t group, Py_ssize_t filter,
                               Py_ssize_t channel, Py_ssize_t r, Py_ssize_t s) noexcept nogil:
    return p.w + (group * p.w_group + filter * p.w_filter + channel * p.w_channel + r * p.w_row
                  + s * p.w_column) * p.kernels.itemsize


# whether the nine taps of a channel are equally far apart
cdef inline bint as_they_lie(const Problem *p) noexcept nogil:
    return p.kernel_h == p.kernel_w == PART and p.w_row == PART * p.w_column


# Weights of a panel and a piece lie in runs of neighbours, n[0] * n[1] * n[2] of them, each of so
# many cache lines: too short, and too far from each other, for processors to ask for them in time.
# `lines` are left to be asked for, the next of them at `at` + `line` lines.
cdef struct Runs:
    Py_ssize_t lines, each, line
    Py_ssize_t n[3]
    Py_ssize_t step[3]
    Py_ssize_t i[3]
    const char *at


cdef inline Runs no_runs() noexcept nogil:
    cdef Runs runs
    memset(&runs, 0, sizeof(Runs))
    return runs


# Piece number q: channels c0..c0+channels-1, the kernel's rows and columns from (row, column) on.
cdef struct Piece:
    Py_ssize_t c0, channels, row, column


cdef inline Piece find_piece(const Winograd *s, Py_ssize_t q) noexcept nogil:
    cdef Piece piece
    piece.c0 = q // s.parts * PIECE
    piece.channels = smaller(PIECE, s.problem.channels - piece.c0)
    piece.row = q % s.parts // s.parts_w * PART
    piece.column = q % s.parts % s.parts_w * PART
    return piece


# where a tile's outputs begin; the next is a dilation further on
cdef inline Py_ssize_t first_row(const Winograd *s, Py_ssize_t row) noexcept nogil:
    return row // s.phase_rows + row % s.phase_rows * TILE * s.problem.dilation_h


cdef inline Py_ssize_t first_column(const Winograd *s, Py_ssize_t column) noexcept nogil:
    return column // s.phase_columns + column % s.phase_columns * TILE * s.problem.dilation_w


# how many of a tile's outputs there are, from `first` on
cdef inline Py_ssize_t outputs_from(Py_ssize_t first, Py_ssize_t step,
                                    Py_ssize_t size) noexcept nogil:
    return 0 if first >= size else smaller(TILE, ceil_div(size - first, step))


# how many lines from `line` on, below `stop`, belong to one phase of one image
cdef inline Py_ssize_t lines_together(const Winograd *s, Py_ssize_t line,
                                      Py_ssize_t stop) noexcept nogil:
    return smaller(stop - line, s.phase_rows - line % s.tile_rows % s.phase_rows)


# the columns that a block's tiles take, from the first one's first on; `reach` past the last output
cdef inline Py_ssize_t span(const Winograd *s, const Block *b, Py_ssize_t reach) noexcept nogil:
    return (first_column(s, b.j0 + b.length - 1) - first_column(s, b.j0)
            + (TILE - 1 + reach) * s.problem.dilation_w + 1)


# where the weights of a panel of filters and a piece are; none are left beyond the last panel
cdef Runs find_weights(const Winograd *s, Py_ssize_t group, Py_ssize_t panel,
                       Py_ssize_t q) noexcept nogil

# ask for that many lines more, to be read or to be written
cdef void ask_ahead(Runs *runs, Py_ssize_t lines, bint written) noexcept nogil

cdef void cut_weights(Winograd *s, const Problem *p) noexcept nogil
cdef void cut_tiles(Winograd *s, Py_ssize_t tiles) noexcept nogil
cdef Block find_block(const Winograd *s, Py_ssize_t index) noexcept nogil

# band[row][column][lane] = up to one vector of channels, zeros outside of the image; rows step on
cdef void fill_band(const Problem *p, const char *plane, Py_ssize_t height, Py_ssize_t width,
                    Py_ssize_t y, Py_ssize_t z, Py_ssize_t step, Py_ssize_t rows,
                    Py_ssize_t columns, Py_ssize_t channels, char *band) noexcept nogil

# V of a block, of all parts of the kernel and pieces first..stop-1 of the channels
cdef void make_v(const Winograd *s, Py_ssize_t group, const Block *b, Py_ssize_t first,
                 Py_ssize_t stop, char *v, char *band) noexcept nogil
