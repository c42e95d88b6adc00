"""grad_w with stride 1 by minimal filtering: kernels/winograd.h, winograd_tiles.pxd.

    grad_w[f, c] = G' [ sum_tile D[., tile, f] * V[., tile, c] ] G

D are the transformed tiles of 4 x 4 elements of the gradient, V those of the image.  A task takes
the tiles a block after the other; the sums of a piece of channels and a panel of filters are added
to what is in memory once a block.

There is one such set of sums for each chunk of the blocks, a number that the geometry decides, and
they are added in order: the result does not depend on threads.  Where all tiles are one block, a
piece and panel are transformed back at once and no sums are kept: of many channels and filters they
would be four times as large as the weights.  The gradient for the bias is summed where the
gradient's tiles are made.
"""

from fastconv._core.bias_sums cimport BiasSums, add_chunks, begin_bias, bias_bytes
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
    stopped,
)
from fastconv._core.winograd_tiles cimport (
    PART,
    PIECE,
    POSITIONS,
    TILE,
    Block,
    Piece,
    Runs,
    Winograd,
    ask_ahead,
    cut_tiles,
    cut_weights,
    fill_band,
    find_block,
    find_piece,
    find_weights,
    first_column,
    first_row,
    make_v,
    no_runs,
    outputs_from,
    span,
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
    char *sums                  # [chunk][group][panel][piece][position][channel][filter], or NULL
    BiasSums bias
    Py_ssize_t chunks, piece_parts, panel_parts, tasks


cdef inline char *sums_of(const Gradient *d, Py_ssize_t chunk, Py_ssize_t group, Py_ssize_t panel,
                          Py_ssize_t piece) noexcept nogil:
    cdef const Winograd *s = &d.w
    return d.sums + (((chunk * s.problem.groups + group) * s.panels + panel) * s.pieces
                     + piece) * s.u_bytes


# ------------------------------------------------------------------------------------- sums

cdef void make_d(const Winograd *s, Py_ssize_t group, Py_ssize_t first, Py_ssize_t wide,
                 const Block *b, char *to, char *bias, char *band) noexcept nogil:
    # D[position][tile][filter] of a block, up to `wide` filters from `first` on; what the tiles are
    # made of is added to `bias`, unless it is NULL: columns a dilation apart must not be asked for
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, filters = smaller(wide, p.filters - first)
    cdef Py_ssize_t line, n, y, z = first_column(s, b.j0), r, j
    cdef Py_ssize_t columns = smaller(TILE * b.length, p.out_w - z)
    cdef const char *grad
    for line in range(b.first, b.first + b.lines):
        n, y = line // s.tile_rows, first_row(s, line % s.tile_rows)
        grad = p.out + (n * p.out_sample + group * p.out_group + first * p.out_filter) * size
        if not p.channels_last:
            line_first(s, grad, y, filters, wide, b, to, bias, band)
            to += b.length * wide * size
            continue
        if bias != NULL:
            z = first_column(s, b.j0)
            for r in range(outputs_from(y, p.dilation_h, p.out_h)):
                p.kernels.sum_rows(
                    grad + ((y + r * p.dilation_h) * p.out_row + z * p.out_column) * size,
                    p.out_column, columns, filters, bias)
        for j in range(b.j0, b.j0 + b.length):
            z = first_column(s, j)
            p.kernels.winograd_gradient(
                grad + (y * p.out_row + z * p.out_column) * size, p.dilation_h * p.out_row,
                p.dilation_w * p.out_column, filters, outputs_from(y, p.dilation_h, p.out_h),
                outputs_from(z, p.dilation_w, p.out_w), to, s.m_plane)
            to += wide * size


cdef void line_first(const Winograd *s, const char *grad, Py_ssize_t y, Py_ssize_t filters,
                     Py_ssize_t wide, const Block *b, char *to, char *bias,
                     char *band) noexcept nogil:
    # a line of tiles of one image whose channels come first
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, i, j, f
    cdef Py_ssize_t z0 = first_column(s, b.j0), width = span(s, b, 0)
    for i in range(ceil_div(filters, lanes)):
        f = i * lanes
        fill_band(p, grad + f * p.out_filter * size, p.out_h, p.out_w, y, z0, p.dilation_h, TILE,
                  width, smaller(lanes, filters - f), band)
        if bias != NULL:  # zeros beyond the image change nothing
            p.kernels.sum_rows(band, lanes, TILE * width, smaller(lanes, filters - f),
                               bias + f * size)
        for j in range(b.length):
            p.kernels.winograd_gradient(
                band + (first_column(s, b.j0 + j) - z0) * lanes * size, width * lanes,
                p.dilation_w * lanes, lanes, TILE, TILE, to + (j * wide + f) * size, s.m_plane)


cdef void multiply(const Winograd *s, Py_ssize_t tiles, Py_ssize_t vectors, Py_ssize_t channels,
                   const char *v, const char *d, char *sums, bint more,
                   Runs *next) noexcept nogil:
    # sums[position][c][filter] (+)= sum_tile V[position][tile][c] * D[position][tile][filter]
    # and meanwhile the weights that are written next are brought nearer
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, wide = vectors * p.kernels.lanes
    cdef Py_ssize_t groups = ceil_div(channels, s.height), _, i, c, first, high
    cdef const void *rows[FC_MAX_ROWS]
    cdef Py_ssize_t each = ceil_div(next.lines, POSITIONS * groups)
    cdef fc_epilogue e = plain_epilogue(more)
    for _ in range(POSITIONS):
        for i in range(groups):
            if next.lines > 0:
                ask_ahead(next, each, True)
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
    cdef Py_ssize_t part = task % d.piece_parts, rest = task // d.piece_parts // d.panel_parts
    cdef Py_ssize_t panels = task // d.piece_parts % d.panel_parts, lanes = p.kernels.lanes
    cdef Py_ssize_t group = rest % p.groups, chunk = rest // p.groups, index, panel, q, v0, v1
    cdef Py_ssize_t low = share(s.channel_pieces, d.piece_parts, part)
    cdef Py_ssize_t high = share(s.channel_pieces, d.piece_parts, part + 1)
    cdef Py_ssize_t start = share(s.blocks, d.chunks, chunk)
    cdef char *v = workspace
    cdef char *made = v + (high - low) * s.parts * s.v_bytes
    cdef char *band = made + s.m_bytes
    cdef char *own = band + s.band_bytes
    cdef char *sums = own
    cdef char *bias = NULL
    cdef Block b
    cdef Runs next = no_runs()
    if d.bias.out != NULL and part == 0:
        v0 = share(s.vectors, s.panels, share(s.panels, d.panel_parts, panels)) * lanes
        v1 = share(s.vectors, s.panels, share(s.panels, d.panel_parts, panels + 1)) * lanes
        bias = begin_bias(&d.bias, p.kernels, chunk, group * p.filters + v0,
                          smaller(v1, p.filters) - v0)
        bias -= v0 * p.kernels.itemsize
    for index in range(start, share(s.blocks, d.chunks, chunk + 1)):
        b = find_block(s, index)
        make_v(s, group, &b, low, high, v, band)
        for panel in range(share(s.panels, d.panel_parts, panels),
                           share(s.panels, d.panel_parts, panels + 1)):
            v0, v1 = share(s.vectors, s.panels, panel), share(s.vectors, s.panels, panel + 1)
            make_d(s, group, v0 * lanes, (v1 - v0) * lanes, &b, made,
                   NULL if bias == NULL else bias + v0 * lanes * p.kernels.itemsize, band)
            for q in range(low * s.parts, high * s.parts):
                if stopped():
                    return
                if d.sums != NULL:
                    sums = sums_of(d, chunk, group, panel, q)
                else:
                    next = find_weights(s, group, panel, q)
                multiply(s, b.lines * b.length, v1 - v0, find_piece(s, q).channels,
                         v + (q - low * s.parts) * s.v_bytes, made, sums, index > start, &next)
                if d.sums == NULL:
                    store_piece(s, group, panel, q, own, own + s.u_bytes)


# ----------------------------------------------------------------------------------- grad_w

cdef void store_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # the chunks' sums, of one piece and panel
    cdef const Gradient *d = <const Gradient *> context
    cdef const Winograd *s = &d.w
    cdef Py_ssize_t q = task % s.pieces, panel = task // s.pieces % s.panels, chunk
    cdef Py_ssize_t group = task // s.pieces // s.panels
    cdef char *sums = sums_of(d, 0, group, panel, q)
    for chunk in range(1, d.chunks):
        s.problem.kernels.scatter_add(sums_of(d, chunk, group, panel, q), sums, 1,
                                      s.u_bytes // s.problem.kernels.itemsize)
    store_piece(s, group, panel, q, sums, workspace)


cdef void store_piece(const Winograd *s, Py_ssize_t group, Py_ssize_t panel, Py_ssize_t q,
                      const char *sums, char *taps) noexcept nogil:
    # transformed back: taps[c][tap][filter]
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, c, vector
    cdef Py_ssize_t first = share(s.vectors, s.panels, panel) * lanes
    cdef Py_ssize_t wide = share(s.vectors, s.panels, panel + 1) * lanes - first
    cdef Piece piece = find_piece(s, q)
    for c in range(piece.channels):
        for vector in range(wide // lanes):
            p.kernels.winograd_kernel(
                sums + (c * wide + vector * lanes) * size, s.u_plane,
                taps + (PART * PART * c * wide + vector * lanes) * size, wide)
    scatter_taps(p, group, first, wide, &piece, taps)


cdef void scatter_taps(const Problem *p, Py_ssize_t group, Py_ssize_t first, Py_ssize_t wide,
                       const Piece *piece, const char *taps) noexcept nogil:
    # the reverse of gather_taps in winograd.pyx: w[f, c, tap] = taps[c][tap][f]
    cdef Py_ssize_t size = p.kernels.itemsize, filters = smaller(wide, p.filters - first), c, r, z
    cdef fc_copy some
    cdef fc_epilogue e = plain_epilogue(False)
    if (p.kernel_h == PART and p.kernel_w == PART and p.w_column == 1 and p.w_row == PART
            and p.w_channel == PART * PART):
        p.kernels.transpose(taps, wide, PART * PART * piece.channels, filters,
                            <char *> tap_of(p, group, first, piece.c0, 0, 0), p.w_filter,
                            PART * PART * piece.channels)
        return
    some.to, some.source, some.count = 0, 0, filters
    for r in range(smaller(PART, p.kernel_h - piece.row)):
        for z in range(smaller(PART, p.kernel_w - piece.column)):
            if p.w_filter == 1:
                p.kernels.copy_padded(
                    taps + (PART * r + z) * wide * size, PART * PART * wide, 1, piece.channels,
                    <char *> tap_of(p, group, first, piece.c0, piece.row + r, piece.column + z),
                    p.w_channel, filters, 0, filters)
                continue
            for c in range(piece.channels):
                p.kernels.scatter(
                    taps + (PART * (PART * c + r) + z) * wide * size, wide, 1, &some, 1,
                    <char *> tap_of(p, group, first, piece.c0 + c, piece.row + r, piece.column + z),
                    0, p.w_filter, &e)


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
    d.piece_parts = d.panel_parts = 1
    d.tasks = d.chunks * p.groups
    if p.threads > 1 and d.tasks < 3 * p.threads:
        d.piece_parts = smaller(s.channel_pieces, ceil_div(3 * p.threads, d.tasks))
        d.tasks *= d.piece_parts
    if p.threads > 1 and d.tasks < p.threads:  # the image's tiles are transformed once more
        d.panel_parts = smaller(s.panels, ceil_div(p.threads, d.tasks))
        d.tasks *= d.panel_parts
    taps = PART * PART * PIECE * s.m_pitch * size
    bytes = ceil_div(s.channel_pieces, d.piece_parts) * s.parts * s.v_bytes + s.m_bytes
    bytes += s.band_bytes
    return (bytes + s.u_bytes + taps if s.blocks == 1 else larger(taps, bytes)) + FC_SLACK


cdef int run_winograd_gradient(const Problem *p, char *grad_bias) noexcept nogil:
    cdef Gradient d
    cdef Py_ssize_t workspace
    cdef Py_ssize_t bytes = 0
    cdef char *taken
    cdef int failed
    cut_weights(&d.w, p)
    workspace = plan_gradient(&d)
    d.bias.out, d.bias.filters = grad_bias, p.groups * p.filters
    if d.w.blocks > 1:
        bytes = d.chunks * p.groups * d.w.panels * d.w.pieces * d.w.u_bytes
    taken = <char *> fc_workspace_take(bytes + bias_bytes(&d.bias, p.kernels, d.chunks) + FC_SLACK)
    if taken == NULL:
        return -1
    d.sums = taken if bytes else NULL
    d.bias.others = taken + bytes
    failed = parallel_for(sums_task, &d, d.tasks, p.threads, workspace)
    if d.sums != NULL and not failed:
        failed = parallel_for(store_task, &d, p.groups * d.w.panels * d.w.pieces, p.threads,
                              workspace)
    if not failed:
        add_chunks(&d.bias, p.kernels, d.chunks)
    fc_workspace_give(taken)
    return failed
