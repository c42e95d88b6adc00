"""Minimal filtering along rows: weights and images transformed, see strip_tiles.pxd."""

from libc.string cimport memset

from fastconv._core.packing cimport PARALLEL_BYTES
from fastconv._core.problem cimport (
    Problem,
    after_inside,
    ceil_div,
    common_divisor,
    first_inside,
    larger,
    make_blocking,
    round_up,
    smaller,
    tile_start,
)
from fastconv._core.runtime cimport FC_SLACK, parallel_for


# ---------------------------------------------------------------------------------- the kernel

cdef inline Py_ssize_t taps_of_phase(const Problem *p, Py_ssize_t phase) noexcept nogil:
    return ceil_div(p.kernel_w - phase, p.stride_w)


cdef Py_ssize_t count_products(const Problem *p, Py_ssize_t taps) noexcept nogil:
    # for a strip, a channel and a row of the kernel
    cdef Py_ssize_t phase, there, products = 0
    for phase in range(smaller(p.stride_w, p.kernel_w)):
        there = taps_of_phase(p, phase)
        products += there // taps * (taps + STRIP - 1)
        if there % taps:
            products += STRIP if there % taps == 1 else taps + STRIP - 1
    return products


cdef void cut_kernel(Strips *s, const Problem *p) noexcept nogil:
    # the parts with the fewest products; shorter ones, whose error is smaller, if they are as few
    cdef Py_ssize_t taps, phase, there, first, pass_
    cdef Part *part = s.part
    s.problem = p
    s.taps = 2
    for taps in range(3, MOST_TAPS + 1):
        if count_products(p, taps) < count_products(p, s.taps):
            s.taps = taps
    s.positions = s.taps + STRIP - 1
    s.parts = s.singles = 0
    for pass_ in range(2):
        for phase in range(smaller(p.stride_w, p.kernel_w)):
            there = taps_of_phase(p, phase)
            first = 0
            while first < there:
                if (there - first == 1) == (pass_ == 1):
                    part.phase, part.first, part.taps = phase, first, smaller(s.taps, there - first)
                    part += 1
                    if pass_:
                        s.singles += 1
                    else:
                        s.parts += 1
                first += s.taps
    s.depth = p.channels * p.kernel_h * s.parts
    s.single_depth = p.channels * p.kernel_h * s.singles
    s.blocking = make_blocking(p, 8)


cdef Py_ssize_t strips_bytes(const Problem *p) noexcept nogil:
    cdef Strips s
    cut_kernel(&s, p)
    return p.groups * p.filters * filter_depth(&s) * p.kernels.itemsize


cdef inline Py_ssize_t wide_filters(const Strips *s) noexcept nogil:
    return round_up(s.problem.filters, s.problem.kernels.lanes)


cdef void gather_row(const Strips *s, const char *w, char *to) noexcept nogil:
    # to[tap][filter] of a row of one channel's taps, zeros after the last filter
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, wide = wide_filters(s), t
    if p.w_column == 1:
        p.kernels.transpose(w, p.w_filter, p.filters, p.kernel_w, to, wide, wide)
        return
    for t in range(p.kernel_w):
        p.kernels.copy_padded(w + t * p.w_column * size, 0, p.w_filter, 1, to + t * wide * size, 0,
                              wide, 0, p.filters)


cdef void pack_row(const Strips *s, Py_ssize_t group, Py_ssize_t k, const char *row, char *made,
                   char *to) noexcept nogil:
    # the weights of one channel and row of the kernel, number k, to all tiles of the filters
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, wide = wide_filters(s), n, tile, first, height
    cdef const Part *part
    cdef const char *taps
    cdef char *at
    for n in range(s.parts + s.singles):
        part = &s.part[n]
        taps = row + (part.phase + part.first * p.stride_w) * wide * size
        if n < s.parts:
            p.kernels.strips_weights(taps, p.stride_w * wide, part.taps, wide, s.taps, made, wide)
        for tile in range(s.blocking.tiles):
            first = tile_start(&s.blocking, tile)
            height = tile_start(&s.blocking, tile + 1) - first
            at = to + (group * p.filters + first) * filter_depth(s) * size
            if n >= s.parts:
                at += (s.positions * s.depth + k * s.singles + n - s.parts) * height * size
                p.kernels.copy(taps + first * size, 1, at, height)
                continue
            p.kernels.copy_padded(made + first * size, wide, 1, s.positions,
                                  at + (k * s.parts + n) * height * size, s.depth * height, height,
                                  0, height)


cdef void pack_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Strips *s = <const Strips *> context
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, group = task // p.channels, c = task % p.channels, r
    cdef char *made = workspace + p.kernel_w * wide_filters(s) * size
    for r in range(p.kernel_h):
        gather_row(s, p.w + (group * p.w_group + c * p.w_channel + r * p.w_row) * size, workspace)
        pack_row(s, group, c * p.kernel_h + r, workspace, made, <char *> s.packed)


cdef int pack_strips(const Problem *p, char *to) noexcept nogil:
    cdef Strips s
    cut_kernel(&s, p)
    s.packed = to
    return parallel_for(
        pack_task, &s, p.groups * p.channels, p.threads if strips_bytes(p) > PARALLEL_BYTES else 1,
        (p.kernel_w + s.positions) * wide_filters(&s) * p.kernels.itemsize + FC_SLACK)


# ----------------------------------------------------------------------------------- the image

cdef void cut_image(Strips *s) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef Py_ssize_t most = 0, n
    s.strips = ceil_div(p.out_w, STRIP)
    s.phases_h = smaller(p.kernel_h, p.stride_h // common_divisor(p.stride_h, p.dilation_h))
    s.shift_h = (p.kernel_h - 1) * p.dilation_h // p.stride_h
    for n in range(s.parts + s.singles):
        most = larger(most, s.part[n].first + (s.taps if n < s.parts else 1))
    s.columns = s.strips + ceil_div(most - 1, STRIP)


cdef void fill_phase(const Strips *s, const char *image, Py_ssize_t y, Py_ssize_t rows,
                     Py_ssize_t phase, char *lines, char *split) noexcept nogil:
    # split[i][row * columns + t] = element 4 t + i of a phase of some rows' columns, zeros outside
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, shift = phase - p.pad_left, wide = s.columns * STRIP
    cdef Py_ssize_t low = smaller(wide, first_inside(shift, p.stride_w, 0))
    cdef Py_ssize_t high = larger(low, after_inside(shift, p.stride_w, p.width, wide))
    if low == high:
        memset(lines, 0, rows * wide * size)
    else:
        p.kernels.copy_padded(image + (y * p.width + low * p.stride_w + shift) * size,
                              p.stride_h * p.width, p.stride_w, rows, lines, wide, wide, low, high)
    p.kernels.transpose(lines, STRIP, rows * s.columns, STRIP, split,
                        s.split_bytes // STRIP // size, rows * s.columns)


cdef void transform_rows(const Strips *s, const char *image, Py_ssize_t y, Py_ssize_t rows,
                         Py_ssize_t c, Py_ssize_t at, char *v, char *lines) noexcept nogil:
    # rows y, y + stride, ... of channel c, all inside of the image, from row `at` of V on
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, n, i, e, done = -1
    cdef Py_ssize_t ldf = s.split_bytes // STRIP // size
    cdef const Part *part
    cdef char *split = lines + s.lines_bytes
    for n in range(s.parts + s.singles):
        part = &s.part[n]
        if part.phase != done:
            fill_phase(s, image, y, rows, part.phase, lines, split)
            done = part.phase
        if n < s.parts:
            p.kernels.strips_input(split, ldf, s.columns, part.first, rows, s.strips, s.taps,
                                   rows_of(s, c, n, 0, at, v), s.plane)
            continue
        for i in range(STRIP):
            e = part.first + i
            p.kernels.copy_padded(split + (e % STRIP * ldf + e // STRIP) * size, s.columns, 1, rows,
                                  rows_of(s, c, n, i, at, v), s.strips, s.strips, 0, s.strips)


cdef inline char *rows_of(const Strips *s, Py_ssize_t c, Py_ssize_t n, Py_ssize_t position,
                          Py_ssize_t at, char *v) noexcept nogil:
    # where V has part n of channel c, from its row `at` on
    cdef Py_ssize_t plane = position * s.plane + (c * s.parts + n) * s.part_rows * s.strips
    if n >= s.parts:
        plane = s.positions * s.plane + position * s.single_plane + (
            c * s.singles + n - s.parts) * s.part_rows * s.strips
    return v + (plane + at * s.strips) * s.problem.kernels.itemsize


cdef void clear_rows(const Strips *s, Py_ssize_t c, Py_ssize_t at, Py_ssize_t rows,
                     char *v) noexcept nogil:
    # rows of V of a channel that are outside of the image
    cdef Py_ssize_t bytes = rows * s.strips * s.problem.kernels.itemsize, n, i
    if rows == 0:
        return
    for n in range(s.parts + s.singles):
        for i in range(s.positions if n < s.parts else STRIP):
            memset(rows_of(s, c, n, i, at, v), 0, bytes)


cdef void make_v(const Strips *s, Py_ssize_t n, Py_ssize_t group, Py_ssize_t row, char *v,
                 char *lines) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, each = p.groups * p.channels, c, h, shift, low, high
    cdef Py_ssize_t at, y = row * p.stride_h - p.pad_top, plane = p.height * p.width, some
    cdef Py_ssize_t y0 = 0
    cdef const char *image = p.x + (n * each + group * p.channels) * plane * size
    cdef const char *channel
    cdef char *first = lines + s.lines_bytes + s.split_bytes
    if p.channels_last:  # some channels at a time are brought to planes of the rows that are needed
        y0 = larger(0, y)
        plane = (larger(y0, smaller(p.height, y + s.band_rows)) - y0) * p.width
        image = p.x + ((n * p.height + y0) * p.width * each + group * p.channels) * size
    for c in range(p.channels):
        if p.channels_last and c % p.kernels.lanes == 0 and plane:
            some = smaller(p.kernels.lanes, p.channels - c)
            p.kernels.transpose(image + c * size, each, plane, some, first, plane, plane)
        channel = image + c * plane * size
        if p.channels_last:
            channel = first + c % p.kernels.lanes * plane * size
        for h in range(s.phases_h):
            shift = y + h * p.dilation_h % p.stride_h
            low = smaller(s.held_rows, first_inside(shift, p.stride_h, 0))
            high = larger(low, after_inside(shift, p.stride_h, p.height, s.held_rows))
            at = h * s.held_rows
            clear_rows(s, c, at, low, v)
            if high > low:
                transform_rows(s, channel, low * p.stride_h + shift - y0, high - low, c, at + low,
                               v, lines)
            clear_rows(s, c, at + high, s.held_rows - high, v)


cdef void list_offsets(const Strips *s, Py_ssize_t parts, Py_ssize_t *offsets) noexcept nogil:
    cdef const Problem *p = s.problem
    cdef Py_ssize_t c, r, n, k = 0
    for c in range(p.channels):
        for r in range(p.kernel_h):
            for n in range(parts):
                offsets[k] = ((c * parts + n) * s.part_rows + r % s.phases_h * s.held_rows
                              + r * p.dilation_h // p.stride_h) * s.strips
                k += 1
