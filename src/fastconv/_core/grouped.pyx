"""Channels-last images, groups of few filters: a vector holds the filters of several groups.

    out[n, i, j, g, f] = sum_{c, r, s} w[g, f, c, r, s] * x[n, y, z, g, c]

A band of padded rows is spread first: vector c of a pixel has, in the lane of every filter, channel
c of that filter's group.  What is left has one channel a filter for every (c, tap), which is what
the kernels of depthwise.h sum, forward and for grad_w.  So lanes are idle at the end of a block of
groups only.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from fastconv._core.packing cimport PARALLEL_BYTES, give_packed, take_packed
from fastconv._core.problem cimport Problem, ceil_div, count_tasks, larger, round_up, share, smaller
from fastconv._core.runtime cimport (
    FC_SLACK,
    FC_SPREAD_EACH,
    fc_copy,
    fc_epilogue,
    fc_pixels,
    fc_tap,
    fc_workspace_give,
    fc_workspace_take,
    parallel_for,
    plain_epilogue,
    stopped,
)

cdef enum:
    BAND_BYTES = 24 << 10       # in the first cache, beside what is read and written
    MOST_BAND_BYTES = 1 << 21
    CHUNKS = 8                  # of grad_w, as in depthwise_gradient.pyx
    CHUNK_BYTES = 1 << 20
    CHUNK_PIXELS = 512
    LONGEST = 256
    FEWEST = 8                  # rows and columns of a piece, if they fit: a tile's pixels


# A thread's workspace: the taps, which channels go to which lanes, then the band.
cdef struct Grouped:
    const Problem *problem
    char *packed                 # [block][tap of list_taps][lane]: weights, or sums of a chunk
    Py_ssize_t groups_each, pieces, blocks, depth
    Py_ssize_t width, strips, cuts, units, tasks, chunks, parts
    Py_ssize_t tap_bytes, index_bytes


# the filters of one vector: `filters` from `first` on of groups that begin with `group`
cdef struct Block:
    Py_ssize_t group, groups, first, filters


# some outputs of an image
cdef struct Piece:
    Py_ssize_t n, row, rows, column, columns


cdef inline Piece find_piece(const Grouped *s, Py_ssize_t unit) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef Py_ssize_t cut = unit % s.cuts, strip = unit // s.cuts % s.strips
    cdef Piece piece
    piece.n = unit // s.cuts // s.strips
    piece.row = share(p.out_h, s.strips, strip)
    piece.rows = share(p.out_h, s.strips, strip + 1) - piece.row
    piece.column = share(p.out_w, s.cuts, cut)
    piece.columns = share(p.out_w, s.cuts, cut + 1) - piece.column
    return piece


cdef inline Block find_block(const Grouped *s, Py_ssize_t index) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef Block b
    b.group = index // s.pieces * s.groups_each
    b.groups = smaller(s.groups_each, p.groups - b.group)
    b.first = index % s.pieces * p.kernels.lanes
    b.filters = smaller(b.groups * p.filters - b.first, p.kernels.lanes)
    return b


cdef inline Py_ssize_t reach(const Problem *p) noexcept nogil:
    return (p.kernel_h - 1) * p.dilation_h + 1


cdef void list_taps(const Grouped *s, fc_tap *taps) noexcept nogil:
    # three neighbours of a row after the other, as the kernels like them
    cdef const Problem *p = s.problem
    cdef Py_ssize_t lanes = p.kernels.lanes, z = 0, some, r, c, q, k = 0
    while z < p.kernel_w:
        some = 3 if z + 3 <= p.kernel_w else 1
        for r in range(p.kernel_h):
            for c in range(p.channels):
                for q in range(z, z + some):
                    taps[k].x = ((r * p.dilation_h * s.width + q * p.dilation_w) * p.channels
                                 + c) * lanes
                    taps[k].w = k * lanes
                    k += 1
        z += some


cdef inline char *tap_of(const Problem *p, const Block *b, Py_ssize_t k) noexcept nogil:
    # where w has the tap that is k-th in the list, for the first filter of a block
    cdef Py_ssize_t each = p.kernel_h * p.channels, z = k // (3 * each) * 3, some = 3, rest
    if z + 3 > p.kernel_w:
        z = p.kernel_w - p.kernel_w % 3
        some = 1
        rest = k - z * each
        z += rest // each
        rest %= each
    else:
        rest = k - z * each
        z += rest % some
    rest = rest // some
    return <char *> p.w + (b.group * p.w_group + b.first * p.w_filter
                           + rest % p.channels * p.w_channel + rest // p.channels * p.w_row
                           + z * p.w_column) * p.kernels.itemsize


cdef void list_lanes(const Grouped *s, char *index) noexcept nogil:
    # which channel goes to each lane of vector c, counted as spread_groups wants it
    cdef const Problem *p = s.problem
    cdef Py_ssize_t lanes = p.kernels.lanes, c, j, channel
    for c in range(p.channels):
        for j in range(lanes):
            channel = c % FC_SPREAD_EACH
            if j < s.groups_each * p.filters:
                channel += j // p.filters * p.channels
            if p.kernels.itemsize == 4:
                (<int32_t *> index)[c * lanes + j] = <int32_t> channel
            else:
                (<int64_t *> index)[c * lanes + j] = channel


cdef void fill_band(const Grouped *s, const Block *b, const Piece *piece, const char *index,
                    char *band) noexcept nogil:
    # band[q][z][c] = the vector of channels c of a block, of all pixels that a piece reads
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, pixel = p.channels * p.groups, q, y
    cdef Py_ssize_t column = p.channels * p.kernels.lanes * size, row = s.width * column
    cdef Py_ssize_t top = piece.row * p.stride_h - p.pad_top
    cdef Py_ssize_t left = piece.column * p.stride_w - p.pad_left
    cdef Py_ssize_t low = smaller(s.width, larger(0, -left))
    cdef Py_ssize_t high = larger(low, smaller(s.width, p.width - left))
    for q in range((piece.rows - 1) * p.stride_h + reach(p)):
        y = top + q
        if 0 <= y < p.height:
            memset(band, 0, low * column)
            p.kernels.spread_groups(
                p.x + (((piece.n * p.height + y) * p.width + left + low) * pixel
                       + b.group * p.channels) * size, pixel, high - low,
                b.groups * p.channels, index, p.channels, band + low * column)
            memset(band + high * column, 0, row - high * column)
        else:
            memset(band, 0, row)
        band += row


# ---------------------------------------------------------------------------------- forward

cdef void grouped_unit(const Grouped *s, Py_ssize_t unit, char *workspace) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, i
    cdef Py_ssize_t index = unit % s.blocks
    cdef Piece piece = find_piece(s, unit // s.blocks)
    cdef Block b = find_block(s, index)
    cdef Py_ssize_t first = b.group * p.filters + b.first
    cdef char *band = workspace + s.tap_bytes + s.index_bytes
    cdef char *out = p.out + (piece.n * p.out_sample + piece.row * p.out_row
                              + piece.column * p.out_column + first) * size
    cdef fc_epilogue e = plain_epilogue(False)
    e.relu = p.relu
    if p.bias != NULL:
        e.column_bias = p.bias + first * size
    fill_band(s, &b, &piece, workspace + s.tap_bytes, band)
    for i in range(piece.rows):
        p.kernels.depthwise(band + i * p.stride_h * p.channels * s.width * lanes * size,
                            <const fc_tap *> workspace, s.depth, p.stride_w * p.channels * lanes,
                            s.packed + index * s.depth * lanes * size, out + i * p.out_row * size,
                            p.out_column, piece.columns, b.filters, &e)


cdef void grouped_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Grouped *s = <const Grouped *> context
    cdef Py_ssize_t unit
    list_taps(s, <fc_tap *> workspace)
    list_lanes(s, workspace + s.tap_bytes)
    for unit in range(share(s.units * s.blocks, s.tasks, task),
                      share(s.units * s.blocks, s.tasks, task + 1)):
        grouped_unit(s, unit, workspace)


cdef void pack_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Grouped *s = <const Grouped *> context
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, k, g
    cdef Block b = find_block(s, task)
    cdef char *to = s.packed + task * s.depth * lanes * size
    cdef const char *tap
    for k in range(s.depth):
        tap = tap_of(p, &b, k)
        memset(to + b.filters * size, 0, (lanes - b.filters) * size)
        for g in range(b.groups):
            p.kernels.copy(tap + g * p.w_group * size, p.w_filter, to + g * p.filters * size,
                           smaller(p.filters, b.filters))
        to += lanes * size


# ----------------------------------------------------------------------------------- grad_w

cdef void add_piece(const Grouped *s, Py_ssize_t index, Py_ssize_t unit, char *sums,
                    char *workspace) noexcept nogil:
    # what a piece of an image adds to the sums of a block
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, i = 0, j, rows, columns
    cdef Py_ssize_t longest = smaller(LONGEST, p.depth_limit)
    cdef Piece piece = find_piece(s, unit)
    cdef Block b = find_block(s, index)
    cdef char *band = workspace + s.tap_bytes + s.index_bytes
    cdef const char *first = p.out + (piece.n * p.out_sample + piece.row * p.out_row
                                      + piece.column * p.out_column + b.group * p.filters
                                      + b.first) * size
    cdef fc_pixels x, grad
    x.step = p.stride_w * p.channels * lanes
    x.row = p.stride_h * p.channels * s.width * lanes
    grad.row, grad.step = p.out_row, p.out_column
    fill_band(s, &b, &piece, workspace + s.tap_bytes, band)
    while i < piece.rows:
        rows = smaller(piece.rows - i, larger(1, longest // piece.columns))
        j = 0
        while j < piece.columns:
            columns = smaller(piece.columns - j, longest)
            x.first = band + (i * x.row + j * x.step) * size
            grad.first = first + (i * grad.row + j * grad.step) * size
            p.kernels.depthwise_gradient(&x, &grad, rows, columns, <const fc_tap *> workspace,
                                         s.depth, sums, b.filters)
            j += columns
        i += rows


cdef void sums_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # a chunk of the pieces, some of the blocks
    cdef const Grouped *s = <const Grouped *> context
    cdef Py_ssize_t bytes = s.depth * s.problem.kernels.lanes * s.problem.kernels.itemsize
    cdef Py_ssize_t chunk = task // s.parts, part = task % s.parts, unit, index
    cdef Py_ssize_t first = share(s.blocks, s.parts, part)
    cdef Py_ssize_t last = share(s.blocks, s.parts, part + 1)
    cdef char *sums = s.packed + chunk * s.blocks * bytes
    list_taps(s, <fc_tap *> workspace)
    list_lanes(s, workspace + s.tap_bytes)
    memset(sums + first * bytes, 0, (last - first) * bytes)
    for unit in range(share(s.units, s.chunks, chunk), share(s.units, s.chunks, chunk + 1)):
        if stopped():
            return
        for index in range(first, last):
            add_piece(s, index, unit, sums + index * bytes, workspace)


cdef void store_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # w = the sums of all chunks, in order
    cdef const Grouped *s = <const Grouped *> context
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, lanes = p.kernels.lanes, chunk, k
    cdef Block b = find_block(s, task)
    cdef char *sums = s.packed + task * s.depth * lanes * size
    cdef fc_epilogue e = plain_epilogue(False)
    cdef fc_copy filters
    filters.to, filters.source, filters.count = 0, 0, b.filters
    for chunk in range(1, s.chunks):
        p.kernels.scatter_add(sums + chunk * s.blocks * s.depth * lanes * size, sums, 1,
                              s.depth * lanes)
    for k in range(s.depth):
        p.kernels.scatter(sums + k * lanes * size, 0, 1, &filters, 1, tap_of(p, &b, k), 0,
                          p.w_filter, &e)


# ------------------------------------------------------------------------------------- plan

cdef void plan_blocks(Grouped *s, const Problem *p) noexcept nogil:
    cdef Py_ssize_t lanes = p.kernels.lanes, reached
    s.problem = p
    s.depth = p.kernel_h * p.kernel_w * p.channels
    # as many groups as lanes hold, and as two vectors of channels reach
    reached = 2 * lanes - smaller(p.channels, FC_SPREAD_EACH)
    s.groups_each = larger(1, smaller(lanes // p.filters, reached // p.channels + 1))
    s.pieces = ceil_div(p.filters, lanes)
    s.blocks = ceil_div(p.groups, s.groups_each) * s.pieces


cdef Py_ssize_t plan_pieces(Grouped *s) noexcept nogil:
    # Returns the bytes of workspace a thread needs.  Squarish pieces read least beside themselves.
    cdef const Problem *p = s.problem
    cdef Py_ssize_t pixel = p.channels * p.kernels.lanes * p.kernels.itemsize
    cdef Py_ssize_t beside = (p.kernel_w - 1) * p.dilation_w + 1, rows = FEWEST * 2, columns = 0
    while rows > 1 and columns < FEWEST:
        rows //= 2
        columns = BAND_BYTES // pixel // ((rows - 1) * p.stride_h + reach(p))
        columns = (columns - beside) // p.stride_w + 1 if columns > beside else 0
    s.strips = ceil_div(p.out_h, rows)
    s.cuts = ceil_div(p.out_w, larger(FEWEST, columns))
    rows = ceil_div(p.out_h, s.strips)
    s.width = (ceil_div(p.out_w, s.cuts) - 1) * p.stride_w + beside
    s.units = p.samples * s.strips * s.cuts
    s.tap_bytes = round_up(s.depth * sizeof(fc_tap), 64)
    s.index_bytes = round_up(p.channels * p.kernels.lanes * p.kernels.itemsize, 64)
    return s.tap_bytes + s.index_bytes + FC_SLACK + (
        ((rows - 1) * p.stride_h + reach(p)) * s.width * pixel)


cdef Py_ssize_t grouped_bytes(const Problem *p) noexcept nogil:
    cdef Grouped s
    plan_blocks(&s, p)
    return s.blocks * s.depth * p.kernels.lanes * p.kernels.itemsize


cdef int pack_grouped(const Problem *p, char *to) noexcept nogil:
    cdef Grouped s
    plan_blocks(&s, p)
    s.packed = to
    return parallel_for(pack_task, &s, s.blocks,
                        p.threads if grouped_bytes(p) > PARALLEL_BYTES else 1, 0)


cdef int run_grouped(const Problem *problem) noexcept nogil:
    cdef Grouped s
    cdef int failed
    cdef Py_ssize_t workspace
    plan_blocks(&s, problem)
    s.packed = <char *> take_packed(problem, grouped_bytes(problem), pack_grouped)
    if s.packed == NULL:
        return -1
    workspace = plan_pieces(&s)
    s.tasks = count_tasks(problem, s.units * s.blocks)
    failed = parallel_for(grouped_task, &s, s.tasks, problem.threads, workspace)
    give_packed(problem, s.packed)
    return failed


cdef int run_grouped_gradient(const Problem *problem) noexcept nogil:
    cdef Grouped s
    cdef const Problem *p = problem
    cdef Py_ssize_t bytes = grouped_bytes(p), workspace
    cdef int failed
    plan_blocks(&s, p)
    workspace = plan_pieces(&s)
    s.chunks = smaller(smaller(CHUNKS, s.units), CHUNK_BYTES // bytes)
    s.chunks = larger(1, smaller(s.chunks, p.samples * p.out_h * p.out_w // CHUNK_PIXELS))
    s.packed = <char *> fc_workspace_take(s.chunks * bytes + FC_SLACK)
    if s.packed == NULL:
        return -1
    s.parts = 1
    if p.threads > 1:
        s.parts = smaller(s.blocks, ceil_div(3 * p.threads, s.chunks))
    failed = parallel_for(sums_task, &s, s.chunks * s.parts, p.threads, workspace)
    if not failed:
        failed = parallel_for(store_task, &s, s.blocks, p.threads, 0)
    fc_workspace_give(s.packed)
    return failed


cdef bint groups_share(const Problem *p) noexcept nogil:
    # whatever the instruction set: the widest vectors hold two groups of floats
    cdef Py_ssize_t width = (p.out_w - 1) * p.stride_w + (p.kernel_w - 1) * p.dilation_w + 1
    if p.groups == 1 or p.filters > 8 or p.channels > 16:
        return False
    if reach(p) > MOST_BAND_BYTES or width > MOST_BAND_BYTES:
        return False
    return reach(p) * width * p.channels * 64 <= MOST_BAND_BYTES
