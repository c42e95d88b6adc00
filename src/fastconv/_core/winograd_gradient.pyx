"""grad_w of 3 x 3 kernels, stride 1, by minimal filtering: kernels/winograd.h.

    grad_w[f, c] = G' [ sum_tile D[., tile, f] * V[., tile, c] ] G

D are the transformed tiles of 4 x 4 elements of the gradient, V those of the image.  A task takes
the tiles a block after the other; the sums of a piece of channels and a panel of filters are added
to what is in memory once a block.

There is one such set of sums for each chunk of the blocks, a number that the geometry decides, and
they are added in order: the result does not depend on threads.
"""

from fastconv._core.problem cimport Problem, ceil_div, larger, share, smaller
from fastconv._core.runtime cimport (
    FC_MAX_ROWS,
    FC_SLACK,
    fc_copy,
    fc_epilogue,
    fc_workspace_give,
    fc_workspace_take,
    parallel_for,
    plain_epilogue,
)
from fastconv._core.winograd_tiles cimport (
    PIECE,
    POSITIONS,
    TILE,
    Block,
    Winograd,
    cut_tiles,
    cut_weights,
    fill_band,
    find_block,
    make_v,
    tap_of,
)

cdef enum:
    BLOCK_BYTES = 9 << 18       # of V and D of one piece and panel, of a block
    V_BYTES = 8 << 20           # of the V of all channels
    MOST = 192                  # tiles of a block
    CHUNKS = 8
    CHUNK_BYTES = 8 << 20       # of the sums of all chunks, if there are several


cdef struct Gradient:
    Winograd w
    char *sums                  # [chunk][group][panel][piece][position][channel][filter]
    Py_ssize_t chunks, piece_parts, tasks


cdef inline char *sums_of(const Gradient *d, Py_ssize_t chunk, Py_ssize_t group, Py_ssize_t panel,
                          Py_ssize_t piece) noexcept nogil:
    cdef const Winograd *s = &d.w
    return d.sums + (((chunk * s.problem.groups + group) * s.panels + panel) * s.pieces
                     + piece) * s.u_bytes


# ------------------------------------------------------------------------------------- sums

cdef void make_d(const Winograd *s, Py_ssize_t group, Py_ssize_t first, Py_ssize_t wide,
                 const Block *b, char *to, char *band) noexcept nogil:
    # D[position][tile][filter] of a block, up to `wide` filters from `first` on
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, filters = smaller(wide, p.filters - first)
    cdef Py_ssize_t line, n, row, j, rows
    cdef const char *grad
    for line in range(b.first, b.first + b.lines):
        n, row = line // s.tile_rows, line % s.tile_rows * TILE
        rows = smaller(TILE, p.out_h - row)
        grad = p.out + (n * p.out_sample + group * p.out_group + first * p.out_filter) * size
        if not p.channels_last:
            line_first(s, grad, row, filters, wide, b, to, band)
            to += b.length * wide * size
            continue
        for j in range(b.j0, b.j0 + b.length):
            p.kernels.winograd_gradient(
                grad + (row * p.out_row + j * TILE * p.out_column) * size, p.out_row, p.out_column,
                filters, rows, smaller(TILE, p.out_w - j * TILE), to, s.m_plane)
            to += wide * size


cdef void line_first(const Winograd *s, const char *grad, Py_ssize_t row, Py_ssize_t filters,
                     Py_ssize_t wide, const Block *b, char *to, char *band) noexcept nogil:
    # a line of tiles of one image whose channels come first
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, i, j, f
    cdef Py_ssize_t width = b.length * TILE
    for i in range(ceil_div(filters, lanes)):
        f = i * lanes
        fill_band(p, grad + f * p.out_filter * size, p.out_h, p.out_w, row, b.j0 * TILE, TILE,
                  width, smaller(lanes, filters - f), band)
        for j in range(b.length):
            p.kernels.winograd_gradient(band + j * TILE * lanes * size, width * lanes, lanes, lanes,
                                        TILE, TILE, to + (j * wide + f) * size, s.m_plane)


cdef void multiply(const Winograd *s, Py_ssize_t tiles, Py_ssize_t vectors, Py_ssize_t channels,
                   const char *v, const char *d, char *sums, bint more) noexcept nogil:
    # sums[position][c][filter] (+)= sum_tile V[position][tile][c] * D[position][tile][filter]
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, wide = vectors * p.kernels.lanes
    cdef Py_ssize_t groups = ceil_div(channels, s.height), _, i, c, first, high
    cdef const void *rows[FC_MAX_ROWS]
    cdef fc_epilogue e = plain_epilogue(more)
    for _ in range(POSITIONS):
        for i in range(groups):
            first = share(channels, groups, i)
            high = share(channels, groups, i + 1) - first
            for c in range(high):
                rows[c] = v + (first + c) * size
            p.kernels.rows[high][vectors](rows, 1, tiles, s.v_pitch, d,
                                          sums + first * wide * size, wide, wide, &e)
        v += s.v_plane * size
        d += s.m_plane * size
        sums += s.u_plane * size


cdef void sums_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Gradient *d = <const Gradient *> context
    cdef const Winograd *s = &d.w
    cdef const Problem *p = s.problem
    cdef Py_ssize_t part = task % d.piece_parts, rest = task // d.piece_parts, lanes
    cdef Py_ssize_t group = rest % p.groups, chunk = rest // p.groups, index, panel, piece, v0, v1
    cdef Py_ssize_t piece0 = share(s.pieces, d.piece_parts, part)
    cdef Py_ssize_t piece1 = share(s.pieces, d.piece_parts, part + 1)
    cdef Py_ssize_t start = share(s.blocks, d.chunks, chunk)
    cdef char *v = workspace
    cdef char *made = v + (piece1 - piece0) * s.v_bytes
    cdef char *band = made + s.m_bytes
    cdef Block b
    lanes = p.kernels.lanes
    for index in range(start, share(s.blocks, d.chunks, chunk + 1)):
        b = find_block(s, index)
        make_v(s, group, &b, piece0, piece1, v, band)
        for panel in range(s.panels):
            v0, v1 = share(s.vectors, s.panels, panel), share(s.vectors, s.panels, panel + 1)
            make_d(s, group, v0 * lanes, (v1 - v0) * lanes, &b, made, band)
            for piece in range(piece0, piece1):
                multiply(s, b.lines * b.length, v1 - v0, smaller(PIECE, p.channels - piece * PIECE),
                         v + (piece - piece0) * s.v_bytes, made,
                         sums_of(d, chunk, group, panel, piece), index > start)


# ----------------------------------------------------------------------------------- grad_w

cdef void store_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # the chunks' sums, transformed back: taps[c][tap][filter] of one piece and panel
    cdef const Gradient *d = <const Gradient *> context
    cdef const Winograd *s = &d.w
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, piece = task % s.pieces
    cdef Py_ssize_t panel = task // s.pieces % s.panels, group = task // s.pieces // s.panels
    cdef Py_ssize_t first = share(s.vectors, s.panels, panel) * lanes, chunk, c, vector
    cdef Py_ssize_t wide = share(s.vectors, s.panels, panel + 1) * lanes - first
    cdef Py_ssize_t channels = smaller(PIECE, p.channels - piece * PIECE)
    cdef char *sums = sums_of(d, 0, group, panel, piece)
    for chunk in range(1, d.chunks):
        p.kernels.scatter_add(sums_of(d, chunk, group, panel, piece), sums, 1, s.u_bytes // size)
    for c in range(channels):
        for vector in range(wide // lanes):
            p.kernels.winograd_kernel(sums + (c * wide + vector * lanes) * size, s.u_plane,
                                      workspace + (9 * c * wide + vector * lanes) * size, wide)
    scatter_taps(p, group, first, wide, piece * PIECE, channels, workspace)


cdef void scatter_taps(const Problem *p, Py_ssize_t group, Py_ssize_t first, Py_ssize_t wide,
                       Py_ssize_t c0, Py_ssize_t count, const char *taps) noexcept nogil:
    # the reverse of gather_taps in winograd.pyx: w[f, c, tap] = taps[c][tap][f]
    cdef Py_ssize_t size = p.kernels.itemsize, filters = smaller(wide, p.filters - first), q
    cdef fc_copy some
    cdef fc_epilogue e = plain_epilogue(False)
    if p.w_column == 1 and p.w_row == 3 and p.w_channel == 9:
        p.kernels.transpose(taps, wide, 9 * count, filters,
                            <char *> tap_of(p, group, first, c0, 0, 0), p.w_filter, 9 * count)
        return
    some.to, some.source, some.count = 0, 0, filters
    for q in range(9 * count):
        p.kernels.scatter(taps + q * wide * size, wide, 1, &some, 1,
                          <char *> tap_of(p, group, first, c0 + q // 9, q % 9 // 3, q % 3), 0,
                          p.w_filter, &e)


# ------------------------------------------------------------------------------------- plan

cdef Py_ssize_t plan_gradient(Gradient *d) noexcept nogil:
    # returns the bytes of workspace a thread needs
    cdef Winograd *s = &d.w
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, tiles, bytes, taps
    tiles = smaller(MOST, BLOCK_BYTES // (POSITIONS * size * (s.v_pitch + s.m_pitch)))
    tiles = smaller(tiles, V_BYTES // (POSITIONS * size * s.v_pitch * s.pieces))
    cut_tiles(s, larger(1, tiles))
    bytes = p.groups * s.panels * s.pieces * s.u_bytes
    d.chunks = larger(1, smaller(smaller(s.blocks, CHUNKS), CHUNK_BYTES // bytes))
    d.piece_parts = 1
    if d.chunks * p.groups < 3 * p.threads:
        d.piece_parts = smaller(s.pieces, ceil_div(3 * p.threads, d.chunks * p.groups))
    d.tasks = d.chunks * p.groups * d.piece_parts
    taps = 9 * PIECE * s.m_pitch * size
    return larger(taps, ceil_div(s.pieces, d.piece_parts) * s.v_bytes + s.m_bytes
                  + s.band_bytes) + FC_SLACK


cdef int run_winograd_gradient(const Problem *p) noexcept nogil:
    cdef Gradient d
    cdef Py_ssize_t workspace
    cdef int failed
    cut_weights(&d.w, p)
    workspace = plan_gradient(&d)
    d.sums = <char *> fc_workspace_take(d.chunks * p.groups * d.w.panels * d.w.pieces
                                        * d.w.u_bytes)
    if d.sums == NULL:
        return -1
    failed = parallel_for(sums_task, &d, d.tasks, p.threads, workspace)
    if not failed:
        failed = parallel_for(store_task, &d, p.groups * d.w.panels * d.w.pieces, p.threads,
                              workspace)
    fc_workspace_give(d.sums)
    return failed
