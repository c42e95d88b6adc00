"""Convolution by minimal filtering along rows, F(4, r): kernels/strips.h, strip_tiles.pxd.

    out[f, i, 4 t + .] = A' [ sum_{c, row, part} U[position, f, c, row, part]
                              * V[position, c, part, i * stride + row, t] ]

A band of rows is transformed once, V; then, for some panels of strips, all positions are multiplied
by the taps kernel, a tile of filters at a time, and transformed back.  So it is `direct` with fewer
products, where channels are too few for tiles of two dimensions, or a stride is in the way.

What is not finite would spread over a strip: such an image is computed again, without them.
"""

from libc.string cimport memset

from fastconv._core.packing cimport give_packed, take_packed
from fastconv._core.prefetch cimport ask_write
from fastconv._core.problem cimport (
    Problem,
    ceil_div,
    count_tasks,
    larger,
    round_up,
    share,
    smaller,
    tile_start,
)
from fastconv._core.runtime cimport (
    FC_SLACK,
    fc_copy,
    fc_epilogue,
    fc_workspace_give,
    fc_workspace_take,
    parallel_for,
    plain_epilogue,
    stopped,
)
from fastconv._core.strip_tiles cimport (
    LINE,
    MOST_PARTS,
    STRIP,
    Strips,
    bytes_of_rows,
    cut_image,
    cut_kernel,
    filter_depth,
    list_offsets,
    make_v,
    pack_strips,
    strips_bytes,
)
from fastconv._core.winograd cimport compute_again, mark
from fastconv._core.winograd_tiles cimport off_pages

cdef enum:
    V_BYTES = 5 << 17           # of a band, in the second-level cache
    SLAB_BYTES = 5 << 13        # of a position of V and the products of some strips, in the first
    M_BYTES = 1 << 18           # of the products of all tiles of these, in the second


# --------------------------------------------------------------------------------- products

# Lines that are written when products are done, asked for a few at a time meanwhile.
cdef struct Ahead:
    const char *out
    Py_ssize_t pitch, row, lines, done      # bytes from filter to filter; lines of one, and of all


cdef inline void ask(Ahead *a, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t stop = smaller(a.lines, a.done + count)
    while a.done < stop:
        ask_write(a.out + a.done // a.row * a.pitch + a.done % a.row * LINE)
        a.done += 1


cdef void multiply(const Strips *s, Py_ssize_t depth, const char *u, Py_ssize_t height,
                   const char *v, const Py_ssize_t *offsets, Py_ssize_t vectors,
                   char *m, Ahead *ahead) noexcept nogil:
    # m[filter][strip] = sum_k u[k][filter] * v[offsets[k] + strip] of one position, panel by panel
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, i, wide, block, k0, k1
    cdef Py_ssize_t first
    cdef Py_ssize_t panels = ceil_div(vectors, s.blocking.vectors)
    cdef Py_ssize_t blocks = ceil_div(depth, p.depth_limit)
    cdef fc_epilogue e
    if depth == 0:  # a phase of grad_x with one tap a row, which is a single one
        memset(m, 0, height * vectors * lanes * size)
    for block in range(blocks):
        k0, k1 = share(depth, blocks, block), share(depth, blocks, block + 1)
        e = plain_epilogue(block > 0)
        for i in range(panels):
            first = share(vectors, panels, i)
            wide = share(vectors, panels, i + 1) - first
            ask(ahead, ceil_div(ahead.lines, s.positions * panels))
            p.kernels.taps[height][wide](
                u + k0 * height * size, k1 - k0, v + first * lanes * size, offsets + k0,
                m + first * lanes * size, vectors * lanes, wide * lanes, &e)


cdef inline Py_ssize_t group_start(const Strips *s, Py_ssize_t total, Py_ssize_t n) noexcept nogil:
    # where group n of the strips that are multiplied together begins: whole vectors
    cdef Py_ssize_t lanes = s.problem.kernels.lanes
    return smaller(total, share(ceil_div(total, lanes), ceil_div(total, s.group_strips), n) * lanes)


cdef Py_ssize_t find_segments(const Strips *s, Py_ssize_t start, Py_ssize_t stop,
                              fc_copy *segments) noexcept nogil:
    # the outputs of the flattened strips start..stop-1, row by row
    cdef const Problem *p = s.problem
    cdef Py_ssize_t at = start, i, j, count = 0
    while at < stop:
        i, j = at // s.strips, at % s.strips
        segments[count].to = i * p.out_row + j * STRIP * p.out_column
        segments[count].source = (at - start) * STRIP
        segments[count].count = smaller(p.out_w - j * STRIP, (stop - at) * STRIP)
        count += 1
        at += s.strips - j
    return count


cdef inline Py_ssize_t height_of(const Strips *s, Py_ssize_t tile) noexcept nogil:
    return tile_start(&s.blocking, tile + 1) - tile_start(&s.blocking, tile)


cdef inline Ahead lines_of(const Strips *s, Py_ssize_t tile, Py_ssize_t start, Py_ssize_t stop,
                           const char *out) noexcept nogil:
    # those that a tile's outputs fill, if a filter's are neighbours; its share of all filters' if
    # pixels are
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, height = height_of(s, tile), low, high, lines
    cdef bint last = p.channels_last
    cdef Ahead a
    low = start // s.strips * p.out_row + start % s.strips * STRIP * p.out_column
    high = stop // s.strips * p.out_row + stop % s.strips * STRIP * p.out_column
    a.out, a.pitch, a.done = out + low * size, p.out_filter * size, 0
    a.row = lines = (high - low) * size // LINE
    if p.out_row != p.out_w * p.out_column or p.out_column != (p.filters if last else 1):
        a.row = 0
    elif last:
        a.out += share(lines, s.blocking.tiles, tile) * LINE
        a.row = share(lines, s.blocking.tiles, tile + 1) - share(lines, s.blocking.tiles, tile)
    else:
        a.out += tile_start(&s.blocking, tile) * a.pitch
    a.lines = a.row if last else height * a.row
    return a


cdef void multiply_tiles(const Strips *s, Py_ssize_t group, Py_ssize_t low, Py_ssize_t high,
                         Py_ssize_t start, Py_ssize_t stop, Py_ssize_t vectors, const char *v,
                         const Py_ssize_t *offsets, char *out, char *m) noexcept nogil:
    # m[tile][position][filter][strip] of some vectors of strips; a position of V stays in the first
    # cache for all tiles
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, i, tile, height, first, plane
    cdef const char *u
    cdef char *to
    cdef Ahead ahead
    for i in range(s.positions + (STRIP if s.singles else 0)):
        for tile in range(low, high):
            first, height = tile_start(&s.blocking, tile), height_of(s, tile)
            u = s.packed + (group * p.filters + first) * filter_depth(s) * size
            plane = m_plane(s, height, vectors)
            to = m + (tile - low) * s.m_bytes + i * plane * size
            ahead = lines_of(s, tile, start, stop, out)
            ahead.done = smaller(ahead.lines, i * ceil_div(ahead.lines, s.positions))
            if i < s.positions:
                multiply(s, s.depth, u + i * s.depth * height * size, height,
                         v + (i * s.plane + start) * size, offsets, vectors, to, &ahead)
            else:
                multiply(s, s.single_depth, u + s.positions * s.depth * height * size, height,
                         v + (s.positions * s.plane + (i - s.positions) * s.single_plane
                              + start) * size, offsets + s.depth, vectors, to, &ahead)


cdef inline Py_ssize_t m_plane(const Strips *s, Py_ssize_t height,
                               Py_ssize_t vectors) noexcept nogil:
    # elements from position to position
    cdef const Problem *p = s.problem
    return height * vectors * p.kernels.lanes + LINE // p.kernels.itemsize


cdef int transform_tile(const Strips *s, Py_ssize_t height, Py_ssize_t vectors,
                        Py_ssize_t outputs, const char *m, char *to, Py_ssize_t ldt,
                        const fc_epilogue *e) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef Py_ssize_t plane = m_plane(s, height, vectors)
    return p.kernels.strips_output(
        m, plane, m + s.positions * plane * p.kernels.itemsize if s.singles else NULL,
        vectors * p.kernels.lanes, height, s.taps, to, ldt, outputs, e)


cdef int write_strips(const Strips *s, Py_ssize_t group, Py_ssize_t low, Py_ssize_t high,
                      Py_ssize_t start, Py_ssize_t stop, char *out, char *m) noexcept nogil:
    # the outputs of tiles low..high-1 of the filters, strips start..stop-1; whether they are finite
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, tile, first, height, i
    cdef Py_ssize_t vectors = ceil_div(stop - start, lanes), outputs = (stop - start) * STRIP
    cdef Py_ssize_t ldh = vectors * lanes * STRIP, before = tile_start(&s.blocking, low), count
    cdef bint whole = p.out_column == 1 and p.out_row == p.out_w == s.strips * STRIP
    cdef char *held = m + s.tiles_each * s.m_bytes
    cdef char *to
    cdef fc_copy *segments = <fc_copy *> (held + s.held_bytes)
    cdef fc_epilogue e = plain_epilogue(False), plain = plain_epilogue(False)
    cdef int finite = 1
    e.relu = p.relu
    count = 0 if whole else find_segments(s, start, stop, segments)
    for tile in range(low, high):
        first, height = tile_start(&s.blocking, tile), height_of(s, tile)
        to = out + first * p.out_filter * size
        if p.bias != NULL:
            e.row_bias = p.bias + (group * p.filters + first) * size
        if whole:
            finite &= transform_tile(s, height, vectors, outputs, m, to + start * STRIP * size,
                                     p.out_filter, &e)
        elif p.channels_last:
            finite &= transform_tile(s, height, vectors, outputs, m,
                                     held + (first - before) * ldh * size, ldh, &e)
        else:
            finite &= transform_tile(s, height, vectors, outputs, m, held, ldh, &plain)
            p.kernels.scatter(held, ldh, height, segments, count, to, p.out_filter, p.out_column,
                              &e)
        m += s.m_bytes
    if p.channels_last:
        first = tile_start(&s.blocking, high) - before
        for i in range(count):
            p.kernels.transpose(held + segments[i].source * size, ldh, first, segments[i].count,
                                out + (segments[i].to + before) * size, p.out_column, first)
    return finite


cdef void strips_unit(const Strips *s, Py_ssize_t unit, const Py_ssize_t *offsets,
                      char *v) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef Py_ssize_t part = unit % s.tile_parts, band = unit // s.tile_parts % s.bands
    cdef Py_ssize_t image = unit // (s.tile_parts * s.bands)
    cdef Py_ssize_t n = image // p.groups, group = image % p.groups
    cdef Py_ssize_t row = share(p.out_h, s.bands, band)
    cdef Py_ssize_t total = (share(p.out_h, s.bands, band + 1) - row) * s.strips
    cdef Py_ssize_t low = share(s.blocking.tiles, s.tile_parts, part)
    cdef Py_ssize_t high = share(s.blocking.tiles, s.tile_parts, part + 1), lanes, i, tile, after
    cdef Py_ssize_t groups = ceil_div(total, s.group_strips), start, stop
    cdef char *m = v + s.v_bytes
    cdef char *out = p.out + (n * p.out_sample + group * p.out_group
                              + row * p.out_row) * p.kernels.itemsize
    lanes = p.kernels.lanes
    make_v(s, n, group, row, v, m)
    for i in range(groups):
        start, stop = group_start(s, total, i), group_start(s, total, i + 1)
        for tile from low <= tile < high by s.tiles_each:
            if stopped():
                return
            after = smaller(high, tile + s.tiles_each)
            multiply_tiles(s, group, tile, after, start, stop, ceil_div(stop - start, lanes), v,
                           offsets, out, m)
            if not write_strips(s, group, tile, after, start, stop, out, m):
                mark(s.wild + n)


cdef void strips_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Strips *s = <const Strips *> context
    cdef Py_ssize_t unit, size = s.problem.kernels.itemsize, i
    cdef Py_ssize_t *offsets = <Py_ssize_t *> workspace
    cdef char *v = workspace + s.offsets_bytes
    list_offsets(s, s.parts, offsets)
    list_offsets(s, s.singles, offsets + s.depth)
    # what lies behind the last of the rows is read by unused lanes: no slow denormal numbers
    for i in range(s.positions):
        memset(v + ((i + 1) * s.plane - s.gap) * size, 0, s.gap * size)
    for i in range(STRIP):
        memset(v + (s.positions * s.plane + (i + 1) * s.single_plane - s.single_gap) * size, 0,
               s.single_gap * size)
    memset(v + s.v_bytes - FC_SLACK, 0, FC_SLACK)
    memset(v + s.v_bytes + s.lines_bytes, 0, s.split_bytes)
    for unit in range(share(s.units, s.tasks, task), share(s.units, s.tasks, task + 1)):
        strips_unit(s, unit, offsets, v)


# ------------------------------------------------------------------------------------- plan

cdef Py_ssize_t plan_strips(Strips *s) noexcept nogil:
    # returns the bytes of workspace a thread needs
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, rows, images, height, all_m
    cdef Py_ssize_t split
    images = p.samples * p.groups
    rows = larger(1, smaller(p.out_h, V_BYTES // bytes_of_rows(s) - s.shift_h))
    if p.threads > 1:  # a few pieces for each thread
        rows = larger(smaller(rows, 4), smaller(rows, ceil_div(p.out_h * images, 4 * p.threads)))
    s.bands = ceil_div(p.out_h, rows)
    rows = ceil_div(p.out_h, s.bands)
    s.held_rows = rows + s.shift_h
    s.part_rows = s.phases_h * s.held_rows
    s.band_rows = s.held_rows * p.stride_h
    s.plane = s.single_plane = s.part_rows * s.strips * p.channels
    s.plane *= s.parts
    s.single_plane *= s.singles
    s.gap = off_pages(s.plane, size) - s.plane
    s.single_gap = off_pages(s.single_plane, size) - s.single_plane
    s.plane += s.gap
    s.single_plane += s.single_gap
    s.v_bytes = (s.positions * s.plane + STRIP * s.single_plane) * size + FC_SLACK
    s.tile_parts = 1
    if images * s.bands < p.threads:
        s.tile_parts = smaller(s.blocking.tiles, ceil_div(2 * p.threads, images * s.bands))
    s.units = images * s.bands * s.tile_parts
    s.tasks = count_tasks(p, s.units)
    height = s.blocking.tile_height + (1 if s.blocking.taller_tiles else 0)
    all_m = s.positions + (STRIP if s.singles else 0)
    s.group_strips = larger(
        s.blocking.vectors, SLAB_BYTES // ((s.depth + all_m * height) * lanes * size)) * lanes
    s.group_strips = smaller(s.group_strips, round_up(rows * s.strips, lanes))
    s.m_bytes = all_m * (height * s.group_strips * size + LINE)
    s.tiles_each = smaller(s.blocking.tiles, larger(1, M_BYTES // s.m_bytes))
    s.held_bytes = height * s.group_strips * STRIP * size
    if p.channels_last:
        s.held_bytes *= s.tiles_each
    s.lines_bytes = round_up(s.held_rows * s.columns * STRIP * size, LINE)
    s.split_bytes = STRIP * (round_up(s.held_rows * s.columns * size, LINE) + 3 * LINE)
    s.offsets_bytes = round_up((s.depth + s.single_depth) * sizeof(Py_ssize_t), LINE)
    split = s.lines_bytes + s.split_bytes
    if p.channels_last:
        split += smaller(lanes, p.channels) * smaller(s.band_rows, p.height) * p.width * size
    return s.offsets_bytes + s.v_bytes + FC_SLACK + larger(
        split, s.tiles_each * s.m_bytes + s.held_bytes + (s.group_strips + 2) * sizeof(fc_copy))


cdef bint fits_strips(const Problem *p) noexcept nogil:
    cdef Strips s
    if p.dilation_w > 1 or p.kernel_w > MOST_PARTS or p.kernel_w < 2:
        return False
    cut_kernel(&s, p)
    cut_image(&s)
    if s.parts == 0 or s.depth > 1 << 14:
        return False
    return bytes_of_rows(&s) * (4 + s.shift_h) <= 2 * V_BYTES


cdef int run_strips(const Problem *p) noexcept nogil:
    cdef Strips s
    cdef int failed = -1
    cdef Py_ssize_t workspace
    cut_kernel(&s, p)
    cut_image(&s)
    s.packed = take_packed(p, strips_bytes(p), pack_strips)
    s.wild = <char *> fc_workspace_take(p.samples)
    if s.packed != NULL and s.wild != NULL:
        memset(s.wild, 0, p.samples)
        workspace = plan_strips(&s)
        failed = parallel_for(strips_task, &s, s.tasks, p.threads, workspace)
    if s.packed != NULL:
        give_packed(p, s.packed)
    if not failed:
        failed = compute_again(p, s.wild)
    fc_workspace_give(s.wild)
    return failed
