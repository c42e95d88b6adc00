"""Convolution with stride 1 by minimal filtering, kernels of 3 x 3 and sums of them:
kernels/winograd.h, winograd_tiles.pxd.

    out[tile] = A' [ sum_c U[., c, f] * V[., tile, c] ] A

U are the transformed weights, V the tiles of 6 x 6 pixels, four apart.  A block of tiles goes
through all three steps in one thread: V is made, multiplied with U, a panel of filters at a time,
and transformed back.  Lanes are channels of V, and filters of U and the products; images whose
channels come first are transposed on the way in and out, a band of rows at a time.

A sum over channels is cut into pieces, for the sake of its error and of the caches: the U, V and
products of one piece and panel fit in the second one.  U is made once, or by those who need it
where that costs less than to write it all to memory.

What is not finite would spread over a tile: an image in which that happened is computed again,
without tiles.
"""

from libc.string cimport memset

from fastconv._core.packing cimport PARALLEL_BYTES, give_packed, take_packed
from fastconv._core.panels cimport run_panels
from fastconv._core.problem cimport Problem, ceil_div, larger, share, smaller
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
    stopped,
)
from fastconv._core.winograd_tiles cimport (
    PART,
    POSITIONS,
    TILE,
    Block,
    Piece,
    Runs,
    Winograd,
    as_they_lie,
    ask_ahead,
    cut_tiles,
    cut_weights,
    find_block,
    find_piece,
    find_weights,
    first_column,
    first_row,
    lines_together,
    make_v,
    no_runs,
    outputs_from,
    span,
    tap_of,
)

cdef enum:
    GATHERED = FC_MAX_LANES     # channels whose weights are gathered at a time
    BLOCK_BYTES = 9 << 17       # of the V and the products of one piece of channels, and panel
    V_BYTES = 8 << 20           # of the V of all channels
    MOST = 96                   # tiles of a block
    FEW_BLOCKS = 4              # so few make U for themselves,
    LARGE_BYTES = 1 << 20       # if it is so large


cdef struct Forward:
    Winograd w
    const char *packed          # U, or NULL
    char *wild                  # a byte an image: whether something is not finite
    Py_ssize_t panel_parts, tasks
    bint own                    # every task transforms the weights it needs


# ---------------------------------------------------------------------------------- weights

cdef Py_ssize_t winograd_bytes(const Problem *p) noexcept nogil:
    cdef Winograd s
    cut_weights(&s, p)
    return p.groups * s.panels * s.pieces * s.u_bytes


cdef void gather_neighbours(const Problem *p, Py_ssize_t group, Py_ssize_t first, Py_ssize_t wide,
                            Py_ssize_t c0, Py_ssize_t count, Py_ssize_t r, Py_ssize_t z,
                            Py_ssize_t taps, char *to) noexcept nogil:
    # taps that are neighbours in memory, in a gradient backwards; see gather_taps
    cdef Py_ssize_t size = p.kernels.itemsize, filters = smaller(wide, p.filters - first), c
    cdef const char *w = tap_of(p, group, first, c0, r, z)
    if p.w_column < 0:
        w -= (taps - 1) * size
        to += (taps - 1) * wide * size
    for c in range(count):
        p.kernels.transpose(w + c * p.w_channel * size, p.w_filter, filters, taps,
                            to + c * PART * PART * wide * size, p.w_column * wide, wide)


cdef void gather_row(const Problem *p, Py_ssize_t group, Py_ssize_t first, Py_ssize_t wide,
                     Py_ssize_t c0, Py_ssize_t count, Py_ssize_t r, Py_ssize_t z, Py_ssize_t taps,
                     char *to) noexcept nogil:
    # some taps of a row of the kernel, see gather_taps
    cdef Py_ssize_t size = p.kernels.itemsize, filters = smaller(wide, p.filters - first), c, t
    cdef Py_ssize_t channel = PART * PART * wide
    cdef const char *w
    for t in range(taps):
        w = tap_of(p, group, first, c0, r, z + t)
        if p.w_filter == 1:
            p.kernels.copy_padded(w, p.w_channel, 1, count, to + t * wide * size, channel, wide, 0,
                                  filters)
        elif p.w_channel == 1:
            p.kernels.transpose(w, p.w_filter, filters, count, to + t * wide * size, channel, wide)
        else:
            for c in range(count):
                p.kernels.copy(w + c * p.w_channel * size, p.w_filter,
                               to + (c * channel + t * wide) * size, filters)
                memset(to + (c * channel + t * wide + filters) * size, 0, (wide - filters) * size)


cdef void gather_taps(const Problem *p, Py_ssize_t group, Py_ssize_t first, Py_ssize_t wide,
                      const Piece *piece, Py_ssize_t c0, Py_ssize_t count,
                      char *to) noexcept nogil:
    # to[c][tap][filter] of `count` channels, `wide` filters from `first` on, zeros after the last
    # filter and beyond the kernel
    cdef Py_ssize_t size = p.kernels.itemsize, i
    cdef Py_ssize_t rows = smaller(PART, p.kernel_h - piece.row)
    cdef Py_ssize_t columns = smaller(PART, p.kernel_w - piece.column)
    if rows < PART or columns < PART:
        memset(to, 0, count * PART * PART * wide * size)
    elif p.w_column == 1 and p.w_row == PART and p.w_channel == PART * PART:
        p.kernels.transpose(tap_of(p, group, first, c0, 0, 0), p.w_filter,
                            smaller(wide, p.filters - first), PART * PART * count, to, wide, wide)
        return
    if p.w_filter == 1 or p.w_channel == 1 or (p.w_column != 1 and p.w_column != -1):
        for i in range(rows):
            gather_row(p, group, first, wide, c0, count, piece.row + i, piece.column, columns,
                       to + i * PART * wide * size)
    elif rows == columns == PART and p.w_row == PART * p.w_column:
        gather_neighbours(p, group, first, wide, c0, count, piece.row, piece.column,
                          PART * PART, to)
    else:
        for i in range(rows):
            gather_neighbours(p, group, first, wide, c0, count, piece.row + i, piece.column,
                              columns, to + i * PART * wide * size)


cdef void make_u(const Winograd *s, Py_ssize_t group, Py_ssize_t panel, Py_ssize_t q, char *to,
                 char *taps) noexcept nogil:
    # U[position][channel][filter] of one piece, and one panel of the filters
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, vector, c, c0, i, count
    cdef Py_ssize_t v0 = share(s.vectors, s.panels, panel)
    cdef Py_ssize_t wide = (share(s.vectors, s.panels, panel + 1) - v0) * lanes
    cdef Piece piece = find_piece(s, q)
    if p.w_filter == 1 and as_they_lie(p) and (v0 * lanes + wide) <= p.filters:
        for c in range(piece.channels):
            for vector in range(wide // lanes):
                p.kernels.winograd_weights(
                    tap_of(p, group, (v0 + vector) * lanes, piece.c0 + c, 0, 0), p.w_column,
                    to + (c * wide + vector * lanes) * size, s.u_plane)
        return
    for i in range(ceil_div(piece.channels, GATHERED)):
        c0 = i * GATHERED
        count = smaller(GATHERED, piece.channels - c0)
        gather_taps(p, group, v0 * lanes, wide, &piece, piece.c0 + c0, count, taps)
        for c in range(count):
            for vector in range(wide // lanes):
                p.kernels.winograd_weights(
                    taps + (PART * PART * c * wide + vector * lanes) * size, wide,
                    to + ((c0 + c) * wide + vector * lanes) * size, s.u_plane)


cdef inline Py_ssize_t taps_bytes(const Winograd *s) noexcept nogil:
    return PART * PART * GATHERED * s.m_pitch * s.problem.kernels.itemsize + FC_SLACK


cdef void pack_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Forward *d = <const Forward *> context
    cdef const Winograd *s = &d.w
    make_u(s, task // s.pieces // s.panels, task // s.pieces % s.panels, task % s.pieces,
           <char *> d.packed + task * s.u_bytes, workspace)


cdef int pack_winograd(const Problem *p, char *to) noexcept nogil:
    cdef Forward d
    cut_weights(&d.w, p)
    d.packed = <const char *> to
    return parallel_for(pack_task, &d, p.groups * d.w.panels * d.w.pieces,
                        p.threads if winograd_bytes(p) > PARALLEL_BYTES else 1, taps_bytes(&d.w))


# --------------------------------------------------------------------------------- products

cdef void multiply(const Winograd *s, Py_ssize_t tiles, Py_ssize_t wide, Py_ssize_t q,
                   const char *u, const char *v, char *m, Runs *next) noexcept nogil:
    # m[position][tile][filter] (+)= sum_c V[position][tile][c] * U[position][c][filter]
    # and meanwhile the weights that are transformed next are brought nearer
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, groups = ceil_div(tiles, s.height)
    cdef Py_ssize_t depth = find_piece(s, q).channels, _, i, t, first, high
    cdef Py_ssize_t each = ceil_div(next.lines, POSITIONS * groups)
    cdef const void *rows[FC_MAX_ROWS]
    cdef fc_epilogue e = plain_epilogue(q > 0)
    for _ in range(POSITIONS):
        for i in range(groups):
            if next.lines > 0:
                ask_ahead(next, each, False)
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
    # out of some lines of one phase of one image whose channels come first
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, f, i, j, k, r, rows, some, y
    cdef Py_ssize_t z0 = first_column(s, b.j0), width = span(s, b, 0)
    cdef Py_ssize_t columns = smaller(width, p.out_w - z0)
    cdef int finite = 1
    cdef const char *shift = NULL
    for i in range(lines):
        y = first_row(s, row + i)
        rows = outputs_from(y, p.dilation_h, p.out_h)
        for j in range(ceil_div(filters, lanes)):
            f = j * lanes
            if bias != NULL:
                shift = bias + f * size
            some = smaller(lanes, filters - f)
            for k in range(b.length):
                finite &= p.kernels.winograd_output(
                    m + ((i * b.length + k) * s.m_pitch + f) * size, s.m_plane, some, shift, p.relu,
                    band + (first_column(s, b.j0 + k) - z0) * lanes * size, width * lanes,
                    p.dilation_w * lanes, rows, TILE)
            for r in range(rows):
                p.kernels.transpose(
                    band + r * width * lanes * size, lanes, columns, some,
                    out + (f * p.out_filter + (y + r * p.dilation_h) * p.out_row + z0) * size,
                    p.out_filter, columns)
    return finite


cdef int outputs_last(const Winograd *s, char *out, Py_ssize_t row, Py_ssize_t lines,
                      const Block *b, const char *m, Py_ssize_t filters,
                      const char *bias) noexcept nogil:
    # the same where they come last
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, i, j, y, z
    cdef int finite = 1
    cdef char *to
    for i in range(lines):
        y = first_row(s, row + i)
        for j in range(b.length):
            z = first_column(s, b.j0 + j)
            to = out + (y * p.out_row + z * p.out_column) * size
            finite &= p.kernels.winograd_output(
                m, s.m_plane, filters, bias, p.relu, to,
                p.dilation_h * p.out_row, p.dilation_w * p.out_column,
                outputs_from(y, p.dilation_h, p.out_h), outputs_from(z, p.dilation_w, p.out_w))
            m += s.m_pitch * size
    return finite


cdef void write_outputs(const Forward *d, Py_ssize_t group, Py_ssize_t first, Py_ssize_t filters,
                        const Block *b, const char *m, char *band) noexcept nogil:
    # of `filters` filters from `first` on
    cdef const Winograd *s = &d.w
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, line = b.first, lines, n, row
    cdef const char *bias = NULL
    cdef char *out
    cdef int finite
    if p.bias != NULL:
        bias = p.bias + (group * p.filters + first) * size
    while line < b.first + b.lines:
        n, row = line // s.tile_rows, line % s.tile_rows
        lines = lines_together(s, line, b.first + b.lines)
        out = p.out + (n * p.out_sample + group * p.out_group + first * p.out_filter) * size
        if p.channels_last:
            finite = outputs_last(s, out, row, lines, b, m, filters, bias)
        else:
            finite = outputs_first(s, out, row, lines, b, m, filters, bias, band)
        if not finite:
            mark(d.wild + n)
        m += lines * b.length * s.m_pitch * size
        line += lines


cdef void winograd_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Forward *d = <const Forward *> context
    cdef const Winograd *s = &d.w
    cdef const Problem *p = s.problem
    cdef Py_ssize_t lanes = p.kernels.lanes, part = task % d.panel_parts, panel, piece, v0, v1
    cdef Py_ssize_t rest = task // d.panel_parts, group = rest // s.blocks
    cdef Block b = find_block(s, rest % s.blocks)
    cdef char *v = workspace
    cdef char *m = v + s.pieces * s.v_bytes
    cdef char *made = m + s.m_bytes
    cdef char *band = made + (0 if d.packed != NULL else s.u_bytes)
    cdef const char *u
    cdef Runs next = no_runs()
    make_v(s, group, &b, 0, s.channel_pieces, v, band)
    for panel in range(share(s.panels, d.panel_parts, part),
                       share(s.panels, d.panel_parts, part + 1)):
        v0, v1 = share(s.vectors, s.panels, panel), share(s.vectors, s.panels, panel + 1)
        for piece in range(s.pieces):
            if stopped():
                return
            if d.packed == NULL:
                make_u(s, group, panel, piece, made, band)
                u = made
                next = find_weights(s, group, panel + (piece + 1) // s.pieces,
                                    (piece + 1) % s.pieces)
            else:
                u = d.packed + ((group * s.panels + panel) * s.pieces + piece) * s.u_bytes
            multiply(s, b.lines * b.length, v1 - v0, piece, u, v + piece * s.v_bytes, m,
                     &next)
        write_outputs(d, group, v0 * lanes, smaller(p.filters, v1 * lanes) - v0 * lanes, &b, m,
                      band)


# ------------------------------------------------------------------------------------- plan

cdef Py_ssize_t plan_forward(Forward *d) noexcept nogil:
    # returns the bytes of workspace a thread needs but for U
    cdef Winograd *s = &d.w
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, tiles, outputs
    tiles = smaller(MOST, BLOCK_BYTES // (POSITIONS * size * (s.v_pitch + s.m_pitch)))
    tiles = smaller(tiles, V_BYTES // (POSITIONS * size * s.v_pitch * s.pieces))
    cut_tiles(s, larger(1, tiles))
    # few tiles for large weights: threads share out the filters, so that each transforms its own
    d.own = p.packed == NULL and s.blocks <= FEW_BLOCKS and winograd_bytes(p) >= LARGE_BYTES
    if p.threads > 1 and not (d.own and p.groups * s.blocks * s.panels >= 2 * p.threads):
        outputs = p.samples * ceil_div(p.out_h, TILE) * ceil_div(p.out_w, TILE) * p.groups
        tiles = smaller(tiles, larger(2 * s.height, ceil_div(outputs, 3 * p.threads)))
        cut_tiles(s, larger(1, tiles))
        d.own = d.own and s.blocks <= FEW_BLOCKS
    d.panel_parts, d.tasks = 1, p.groups * s.blocks
    if p.threads > 1 and d.tasks < 3 * p.threads:
        d.panel_parts = smaller(s.panels, ceil_div(3 * p.threads, d.tasks))
        d.tasks *= d.panel_parts
    return s.pieces * s.v_bytes + s.m_bytes + larger(s.band_bytes, taps_bytes(s)) + FC_SLACK


cdef int compute_again(const Problem *p, const char *wild) noexcept nogil:
    cdef Problem one
    cdef Py_ssize_t n, size = p.kernels.itemsize
    for n in range(p.samples):
        if wild[n]:
            one = p[0]
            one.samples, one.packed = 1, NULL
            one.x += n * p.groups * p.channels * p.height * p.width * size
            one.out += n * p.out_sample * size
            if (run_rows(&one) if p.channels_last else run_panels(&one)) or stopped():
                return -1
    return 0


cdef int run_winograd(const Problem *p) noexcept nogil:
    cdef Forward d
    cdef int failed = -1
    cdef Py_ssize_t workspace
    cut_weights(&d.w, p)
    workspace = plan_forward(&d)
    d.packed = NULL
    if d.own:
        workspace += d.w.u_bytes
    else:
        d.packed = take_packed(p, winograd_bytes(p), pack_winograd)
    d.wild = <char *> fc_workspace_take(p.samples)
    if d.wild != NULL and (d.own or d.packed != NULL):
        memset(d.wild, 0, p.samples)
        failed = parallel_for(winograd_task, &d, d.tasks, p.threads, workspace)
    if d.packed != NULL:
        give_packed(p, d.packed)
    if not failed:
        failed = compute_again(p, d.wild)
    fc_workspace_give(d.wild)
    return failed
