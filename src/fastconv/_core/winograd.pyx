"""Convolution with 3 x 3 kernels, stride 1, by minimal filtering: kernels/winograd.h.

    out[tile] = A' [ sum_c U[., c, f] * V[., tile, c] ] A

U are the transformed weights, V the tiles of 6 x 6 pixels, four apart.  A block of tiles goes
through all three steps in one thread: V is made, multiplied with U, a panel of filters at a time,
and transformed back.  Lanes are channels of V, and filters of U and the products; images whose
channels come first are transposed on the way in and out, a band of rows at a time.

A sum over channels is cut into pieces, for the sake of its error and of the caches: the U, V and
products of one piece and panel fit in the second one.  U is made once, or by those who need it where
that costs less than to write it all to memory.

What is not finite would spread over a tile: an image in which that happened is computed again,
without tiles.
"""

from libc.string cimport memset

from fastconv._core.packing cimport PARALLEL_BYTES, give_packed, take_packed
from fastconv._core.panels cimport run_panels
from fastconv._core.patch cimport Patch, copy_patch
from fastconv._core.problem cimport Problem, ceil_div, larger, round_up, share, smaller
from fastconv._core.rows cimport run_rows
from fastconv._core.runtime cimport (
    FC_MAX_LANES,
    FC_MAX_ROWS,
    FC_SLACK,
    fc_epilogue,
    fc_workspace_give,
    fc_workspace_take,
    parallel_for,
    plain_epilogue,
)

cdef enum:
    POSITIONS = 36
    TILE = 4                    # outputs a side
    PATCH = 6                   # pixels a side
    PIECE = 64                  # channels that are summed before they are added to the others
    GATHERED = FC_MAX_LANES     # channels whose weights are gathered at a time
    BLOCK_BYTES = 9 << 17       # of the V and the products of one piece of channels, and panel
    V_BYTES = 8 << 20           # of the V of all channels
    MOST = 96                   # tiles of a block
    WIDEST = 31                 # of them in a row: wider ones would share less of their patches
    FEW_BLOCKS = 4              # so few make U for themselves,
    LARGE_BYTES = 1 << 20       # if it is so large
    LINE = 64                   # bytes of a cache line


cdef struct Winograd:
    const Problem *problem
    const char *packed                      # U, or NULL
    char *wild                              # a byte an image: whether something is not finite
    Py_ssize_t vectors, panels, height      # of the filters; tiles of a register tile
    Py_ssize_t pieces                       # of the channels
    Py_ssize_t tile_rows, tile_columns      # of an image
    Py_ssize_t lines_each, columns_each     # of a block: rows of tiles, and tiles of each
    Py_ssize_t column_parts, line_blocks, panel_parts, tasks
    Py_ssize_t u_plane, v_plane, m_plane, v_pitch, m_pitch
    Py_ssize_t u_bytes, v_bytes, m_bytes, band_bytes     # of a piece; of all; of a panel


# Some tiles: lines (sample * tile_rows + row) first..first+lines-1, `length` of each from j0 on.
cdef struct Block:
    Py_ssize_t first, lines, j0, length


# ---------------------------------------------------------------------------------- weights

cdef inline Py_ssize_t off_pages(Py_ssize_t elements, Py_ssize_t size) noexcept nogil:
    # positions a multiple of 4 kB apart would share the same few lines of the first cache
    return round_up(elements * size, LINE) // size + LINE // size


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


cdef Py_ssize_t winograd_bytes(const Problem *p) noexcept nogil:
    cdef Winograd s
    cut_weights(&s, p)
    return p.groups * s.panels * s.pieces * s.u_bytes


cdef inline const char *tap_of(const Problem *p, Py_ssize_t group, Py_ssize_t filter,
                               Py_ssize_t channel, Py_ssize_t r, Py_ssize_t s) noexcept nogil:
    return p.w + (group * p.w_group + filter * p.w_filter + channel * p.w_channel + r * p.w_row
                  + s * p.w_column) * p.kernels.itemsize


cdef void gather_taps(const Problem *p, Py_ssize_t group, Py_ssize_t first, Py_ssize_t wide,
                      Py_ssize_t c0, Py_ssize_t count, char *to) noexcept nogil:
    # to[c][tap][filter] of `count` channels, `wide` filters from `first` on, zeros after the last
    cdef Py_ssize_t size = p.kernels.itemsize, filters = smaller(wide, p.filters - first), c, t, q
    cdef const char *w = tap_of(p, group, first, c0, 0, 0)
    cdef bint backwards = p.w_column < 0
    if p.w_filter == 1:
        for t in range(9):
            p.kernels.copy_padded(tap_of(p, group, first, c0, t // 3, t % 3), p.w_channel, 1, count,
                                  to + t * wide * size, 9 * wide, wide, 0, filters)
    elif p.w_channel == 1:
        for t in range(9):
            p.kernels.transpose(tap_of(p, group, first, c0, t // 3, t % 3), p.w_filter, filters,
                                count, to + t * wide * size, 9 * wide, wide)
    elif p.w_column == 1 and p.w_row == 3 and p.w_channel == 9:
        p.kernels.transpose(w, p.w_filter, filters, 9 * count, to, wide, wide)
    elif p.w_row == 3 * p.w_column and (p.w_column == 1 or p.w_column == -1):
        # the taps of a channel are neighbours, in a gradient backwards
        w = tap_of(p, group, first, c0, 2, 2) if backwards else w
        for c in range(count):
            p.kernels.transpose(w + c * p.w_channel * size, p.w_filter, filters, 9,
                                to + (9 * c + 8 * backwards) * wide * size,
                                -wide if backwards else wide, wide)
    else:
        for q in range(9 * count):
            c, t = q // 9, q % 9
            p.kernels.copy(tap_of(p, group, first, c0 + c, t // 3, t % 3), p.w_filter,
                           to + q * wide * size, filters)
            memset(to + (q * wide + filters) * size, 0, (wide - filters) * size)


cdef void make_u(const Winograd *s, Py_ssize_t group, Py_ssize_t panel, Py_ssize_t piece, char *to,
                 char *taps) noexcept nogil:
    # U[position][channel][filter] of one piece of the channels and one panel of the filters
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, vector, c, c0, i, count
    cdef Py_ssize_t v0 = share(s.vectors, s.panels, panel)
    cdef Py_ssize_t wide = (share(s.vectors, s.panels, panel + 1) - v0) * lanes
    cdef Py_ssize_t depth = smaller(PIECE, p.channels - piece * PIECE)
    for i in range(ceil_div(depth, GATHERED)):
        c0 = i * GATHERED
        count = smaller(GATHERED, depth - c0)
        gather_taps(p, group, v0 * lanes, wide, piece * PIECE + c0, count, taps)
        for c in range(count):
            for vector in range(wide // lanes):
                p.kernels.winograd_weights(
                    taps + (9 * c * wide + vector * lanes) * size, wide,
                    to + ((c0 + c) * wide + vector * lanes) * size, s.u_plane)


cdef inline Py_ssize_t taps_bytes(const Winograd *s) noexcept nogil:
    return 9 * GATHERED * s.m_pitch * s.problem.kernels.itemsize + FC_SLACK


cdef void pack_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Winograd *s = <const Winograd *> context
    make_u(s, task // s.pieces // s.panels, task // s.pieces % s.panels, task % s.pieces,
           <char *> s.packed + task * s.u_bytes, workspace)


cdef int pack_winograd(const Problem *p, char *to) noexcept nogil:
    cdef Winograd s
    cut_weights(&s, p)
    s.packed = <const char *> to
    return parallel_for(pack_task, &s, p.groups * s.panels * s.pieces,
                        p.threads if winograd_bytes(p) > PARALLEL_BYTES else 1, taps_bytes(&s))


# ------------------------------------------------------------------------------------ tiles

cdef Block find_block(const Winograd *s, Py_ssize_t index) noexcept nogil:
    cdef Block b
    cdef Py_ssize_t lines = s.problem.samples * s.tile_rows, part = index % s.column_parts
    b.first = share(lines, s.line_blocks, index // s.column_parts)
    b.lines = share(lines, s.line_blocks, index // s.column_parts + 1) - b.first
    b.j0 = share(s.tile_columns, s.column_parts, part)
    b.length = share(s.tile_columns, s.column_parts, part + 1) - b.j0
    return b


cdef void first_band(const Winograd *s, const char *image, Py_ssize_t row, Py_ssize_t lines,
                     const Block *b, Py_ssize_t channels, char *band) noexcept nogil:
    # band[row][column][lane] = up to one vector of channels, with zeros around the image
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, i, y, line
    cdef Py_ssize_t z = b.j0 * TILE - p.pad_left, width = b.length * TILE + PATCH - TILE
    cdef Py_ssize_t low = smaller(width, larger(0, -z)), high = larger(low, smaller(width,
                                                                                 p.width - z))
    for i in range(lines * TILE + PATCH - TILE):
        y = row * TILE - p.pad_top + i
        line = i * width * lanes
        if y < 0 or y >= p.height:
            memset(band + line * size, 0, width * lanes * size)
            continue
        memset(band + line * size, 0, low * lanes * size)
        p.kernels.transpose(image + (y * p.width + z + low) * size, p.height * p.width, channels,
                            high - low, band + (line + low * lanes) * size, lanes, lanes)
        memset(band + (line + high * lanes) * size, 0, (width - high) * lanes * size)


cdef void tiles_first(const Winograd *s, Py_ssize_t n, Py_ssize_t group, Py_ssize_t row,
                      Py_ssize_t lines, const Block *b, char *v, char *band) noexcept nogil:
    # V of some lines of one image whose channels come first
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, c, i, j, k
    cdef Py_ssize_t width = b.length * TILE + PATCH - TILE
    cdef char *to
    for k in range(ceil_div(p.channels, lanes)):
        c = k * lanes
        to = v + (c // PIECE * POSITIONS * s.v_plane + c % PIECE) * size
        first_band(s, p.x + ((n * p.groups + group) * p.channels + c) * p.height * p.width * size,
                   row, lines, b, smaller(lanes, p.channels - c), band)
        for i in range(lines):
            for j in range(b.length):
                p.kernels.winograd_input(
                    band + (i * width + j) * TILE * lanes * size, width * lanes, lanes, lanes,
                    to + (i * b.length + j) * s.v_pitch * size, s.v_plane)


cdef void tiles_last(const Winograd *s, Py_ssize_t n, Py_ssize_t group, Py_ssize_t row,
                     Py_ssize_t lines, const Block *b, char *v, char *band) noexcept nogil:
    # the same where they come last: read as they lie, but for tiles that reach beyond the image
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, i, j, pixel = p.groups * p.channels
    cdef const char *image = p.x + (n * p.height * p.width * pixel + group * p.channels) * size
    cdef Patch w
    w.height, w.width, w.pixel, w.channels = p.height, p.width, pixel, p.channels
    w.step_y, w.step_z, w.rows, w.columns = 1, 1, PATCH, PATCH
    for i in range(lines):
        w.y = (row + i) * TILE - p.pad_top
        for j in range(b.length):
            w.z = (b.j0 + j) * TILE - p.pad_left
            if w.y >= 0 and w.z >= 0 and w.y + PATCH <= p.height and w.z + PATCH <= p.width:
                tile_last(s, image + (w.y * p.width + w.z) * pixel * size, p.width * pixel, pixel,
                          v)
            else:
                copy_patch(p.kernels, image, &w, band)
                tile_last(s, band, PATCH * p.channels, p.channels, v)
            v += s.v_pitch * size


cdef inline void tile_last(const Winograd *s, const char *x, Py_ssize_t row, Py_ssize_t pixel,
                           char *v) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, piece
    for piece in range(s.pieces):
        p.kernels.winograd_input(x + piece * PIECE * size, row, pixel,
                                 smaller(PIECE, p.channels - piece * PIECE),
                                 v + piece * POSITIONS * s.v_plane * size, s.v_plane)


# --------------------------------------------------------------------------------- products

cdef void multiply(const Winograd *s, Py_ssize_t tiles, Py_ssize_t wide, Py_ssize_t piece,
                   const char *u, const char *v, char *m) noexcept nogil:
    # m[position][tile][filter] (+)= sum_c V[position][tile][c] * U[position][c][filter]
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, groups = ceil_div(tiles, s.height)
    cdef Py_ssize_t depth = smaller(PIECE, p.channels - piece * PIECE), position, i, t, first, high
    cdef const void *rows[FC_MAX_ROWS]
    cdef fc_epilogue e = plain_epilogue(piece > 0)
    for position in range(POSITIONS):
        for i in range(groups):
            first = share(tiles, groups, i)
            high = share(tiles, groups, i + 1) - first
            for t in range(high):
                rows[t] = v + (first + t) * s.v_pitch * size
            p.kernels.rows[high][wide](rows, 1, depth, 1, u, m + first * s.m_pitch * size,
                                       s.m_pitch, wide * p.kernels.lanes, &e)
        u += s.u_plane * size
        v += s.v_plane * size
        m += s.m_plane * size


# ---------------------------------------------------------------------------------- outputs

cdef int outputs_first(const Winograd *s, char *out, Py_ssize_t row, Py_ssize_t lines,
                       const Block *b, const char *m, Py_ssize_t filters, const char *bias,
                       char *band) noexcept nogil:
    # out of some lines of one image whose channels come first, from filter 0 of `out` on
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, f, i, j, k, r, rows, some
    cdef Py_ssize_t width = b.length * TILE, columns = smaller(width, p.out_w - b.j0 * TILE)
    cdef int finite = 1
    cdef const char *shift = NULL
    for i in range(lines):
        rows = smaller(TILE, p.out_h - (row + i) * TILE)
        for j in range(ceil_div(filters, lanes)):
            f = j * lanes
            if bias != NULL:
                shift = bias + f * size
            some = smaller(lanes, filters - f)
            for k in range(b.length):
                finite &= p.kernels.winograd_output(
                    m + ((i * b.length + k) * s.m_pitch + f) * size, s.m_plane, some,
                    shift, p.relu,
                    band + k * TILE * lanes * size, width * lanes, lanes, rows, TILE)
            for r in range(rows):
                p.kernels.transpose(
                    band + r * width * lanes * size, lanes, columns, some,
                    out + (f * p.out_filter + ((row + i) * TILE + r) * p.out_row
                           + b.j0 * TILE) * size, p.out_filter, columns)
    return finite


cdef int outputs_last(const Winograd *s, char *out, Py_ssize_t row, Py_ssize_t lines,
                      const Block *b, const char *m, Py_ssize_t filters,
                      const char *bias) noexcept nogil:
    # the same where they come last
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, i, j, rows, columns
    cdef int finite = 1
    for i in range(lines):
        rows = smaller(TILE, p.out_h - (row + i) * TILE)
        for j in range(b.length):
            columns = smaller(TILE, p.out_w - (b.j0 + j) * TILE)
            finite &= p.kernels.winograd_output(
                m, s.m_plane, filters, bias, p.relu,
                out + ((row + i) * TILE * p.out_row + (b.j0 + j) * TILE * p.out_column) * size,
                p.out_row, p.out_column, rows, columns)
            m += s.m_pitch * size
    return finite


cdef void make_v(const Winograd *s, Py_ssize_t group, const Block *b, char *v,
                 char *band) noexcept nogil:
    # the lines of one image after those of the one before
    cdef Py_ssize_t line = b.first, lines, n, row
    while line < b.first + b.lines:
        n, row = line // s.tile_rows, line % s.tile_rows
        lines = smaller(b.first + b.lines - line, s.tile_rows - row)
        if s.problem.channels_last:
            tiles_last(s, n, group, row, lines, b, v, band)
        else:
            tiles_first(s, n, group, row, lines, b, v, band)
        v += lines * b.length * s.v_pitch * s.problem.kernels.itemsize
        line += lines


cdef void write_outputs(const Winograd *s, Py_ssize_t group, Py_ssize_t first, Py_ssize_t filters,
                        const Block *b, const char *m, char *band) noexcept nogil:
    # of `filters` filters from `first` on
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, line = b.first, lines, n, row
    cdef const char *bias = NULL
    cdef char *out
    cdef int finite
    if p.bias != NULL:
        bias = p.bias + (group * p.filters + first) * size
    while line < b.first + b.lines:
        n, row = line // s.tile_rows, line % s.tile_rows
        lines = smaller(b.first + b.lines - line, s.tile_rows - row)
        out = p.out + (n * p.out_sample + group * p.out_group + first * p.out_filter) * size
        if p.channels_last:
            finite = outputs_last(s, out, row, lines, b, m, filters, bias)
        else:
            finite = outputs_first(s, out, row, lines, b, m, filters, bias, band)
        if not finite:
            s.wild[n] = 1
        m += lines * b.length * s.m_pitch * size
        line += lines


cdef void winograd_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Winograd *s = <const Winograd *> context
    cdef const Problem *p = s.problem
    cdef Py_ssize_t lanes = p.kernels.lanes, part = task % s.panel_parts, panel, piece, v0, v1
    cdef Py_ssize_t blocks = s.line_blocks * s.column_parts, rest = task // s.panel_parts
    cdef Py_ssize_t group = rest // blocks
    cdef Block b = find_block(s, rest % blocks)
    cdef char *v = workspace
    cdef char *m = v + s.v_bytes
    cdef char *made = m + s.m_bytes
    cdef char *band = made + (0 if s.packed != NULL else s.u_bytes)
    cdef const char *u
    make_v(s, group, &b, v, band)
    for panel in range(share(s.panels, s.panel_parts, part), share(s.panels, s.panel_parts,
                                                                   part + 1)):
        v0, v1 = share(s.vectors, s.panels, panel), share(s.vectors, s.panels, panel + 1)
        for piece in range(s.pieces):
            u = s.packed + ((group * s.panels + panel) * s.pieces + piece) * s.u_bytes
            if s.packed == NULL:
                make_u(s, group, panel, piece, made, band)
                u = made
            multiply(s, b.lines * b.length, v1 - v0, piece, u,
                     v + piece * POSITIONS * s.v_plane * p.kernels.itemsize, m)
        write_outputs(s, group, v0 * lanes, smaller(p.filters, v1 * lanes) - v0 * lanes, &b, m,
                      band)


# ------------------------------------------------------------------------------------- plan

cdef Py_ssize_t plan_winograd(Winograd *s) noexcept nogil:
    # returns the bytes of workspace a thread needs but for U
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, tiles, lines, all_tiles
    s.tile_rows, s.tile_columns = ceil_div(p.out_h, TILE), ceil_div(p.out_w, TILE)
    lines = p.samples * s.tile_rows
    all_tiles = lines * s.tile_columns
    tiles = smaller(MOST, BLOCK_BYTES // (POSITIONS * size * (s.v_pitch + s.m_pitch)))
    tiles = smaller(tiles, V_BYTES // (POSITIONS * size * s.v_pitch * s.pieces))
    if p.threads > 1:
        tiles = smaller(tiles, larger(2 * s.height, ceil_div(all_tiles * p.groups, 3 * p.threads)))
    tiles = larger(1, tiles)
    s.column_parts = ceil_div(s.tile_columns, smaller(tiles, WIDEST))
    s.columns_each = ceil_div(s.tile_columns, s.column_parts)
    s.line_blocks = ceil_div(lines, larger(1, tiles // s.columns_each))
    s.lines_each = ceil_div(lines, s.line_blocks)
    s.panel_parts = 1
    s.tasks = p.groups * s.line_blocks * s.column_parts
    if p.threads > 1 and s.tasks < 3 * p.threads:
        s.panel_parts = smaller(s.panels, ceil_div(3 * p.threads, s.tasks))
    s.tasks *= s.panel_parts
    tiles = s.lines_each * s.columns_each
    s.v_plane = off_pages(tiles * s.v_pitch, size)
    s.m_plane = off_pages(tiles * s.m_pitch, size)
    s.v_bytes = s.pieces * POSITIONS * s.v_plane * size
    s.m_bytes = POSITIONS * s.m_plane * size
    if p.channels_last:
        s.band_bytes = PATCH * PATCH * p.channels * size
    else:
        s.band_bytes = (smaller(s.lines_each, s.tile_rows) * TILE + PATCH - TILE) * (
            s.columns_each * TILE + PATCH - TILE) * lanes * size
    s.band_bytes = larger(s.band_bytes, taps_bytes(s))
    return s.v_bytes + s.m_bytes + s.band_bytes + FC_SLACK


cdef int compute_again(const Problem *p, const char *wild) noexcept nogil:
    # images with something that is not finite, one at a time: the others do not matter to them
    cdef Problem one
    cdef Py_ssize_t n, size = p.kernels.itemsize
    for n in range(p.samples):
        if wild[n]:
            one = p[0]
            one.samples, one.packed = 1, NULL
            one.x += n * p.groups * p.channels * p.height * p.width * size
            one.out += n * p.out_sample * size
            if run_rows(&one) if p.channels_last else run_panels(&one):
                return -1
    return 0


cdef int run_winograd(const Problem *p) noexcept nogil:
    cdef Winograd s
    cdef int failed = -1
    cdef bint own
    cdef Py_ssize_t workspace
    cut_weights(&s, p)
    workspace = plan_winograd(&s)
    own = (p.packed == NULL and s.line_blocks * s.column_parts <= FEW_BLOCKS
           and winograd_bytes(p) >= LARGE_BYTES)
    s.packed = NULL
    if own:
        workspace += s.u_bytes
    else:
        s.packed = take_packed(p, winograd_bytes(p), pack_winograd)
    s.wild = <char *> fc_workspace_take(p.samples)
    if s.wild != NULL and (own or s.packed != NULL):
        memset(s.wild, 0, p.samples)
        failed = parallel_for(winograd_task, &s, s.tasks, p.threads, workspace)
    if s.packed != NULL:
        give_packed(p, s.packed)
    if not failed:
        failed = compute_again(p, s.wild)
    fc_workspace_give(s.wild)
    return failed
