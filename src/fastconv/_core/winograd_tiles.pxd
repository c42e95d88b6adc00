"""Minimal filtering F(4x4, 3x3): tiles of images, and what the drivers of it share.

V are the transformed tiles of 6 x 6 pixels, four apart: V[piece][position][tile][channel], a piece
some channels, a position one of 36.  See kernels/winograd.h.
"""

from fastconv._core.problem cimport Problem, round_up

cdef enum:
    POSITIONS = 36
    TILE = 4                    # outputs a side
    PATCH = 6                   # pixels a side
    PIECE = 64                  # channels whose V lie together
    LINE = 64                   # bytes of a cache line


# A problem and how its filters, channels and tiles are cut.
cdef struct Winograd:
    const Problem *problem
    Py_ssize_t vectors, panels, height      # of the filters; tiles of a register tile
    Py_ssize_t pieces                       # of the channels
    Py_ssize_t tile_rows, tile_columns      # of an image
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


cdef void cut_weights(Winograd *s, const Problem *p) noexcept nogil
cdef void cut_tiles(Winograd *s, Py_ssize_t tiles) noexcept nogil
cdef Block find_block(const Winograd *s, Py_ssize_t index) noexcept nogil

# band[row][column][lane] = up to one vector of channels, zeros outside of the image
cdef void fill_band(const Problem *p, const char *plane, Py_ssize_t height, Py_ssize_t width,
                    Py_ssize_t y, Py_ssize_t z, Py_ssize_t rows, Py_ssize_t columns,
                    Py_ssize_t channels, char *band) noexcept nogil

# V of a block, of pieces piece0..piece1-1
cdef void make_v(const Winograd *s, Py_ssize_t group, const Block *b, Py_ssize_t piece0,
                 Py_ssize_t piece1, char *v, char *band) noexcept nogil
