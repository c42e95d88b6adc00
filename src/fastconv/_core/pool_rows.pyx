"""Pools of planes: rows of outputs, many of them a call.

To the left and right of the image, and above and below, taps are left out.
"""

from libc.stdint cimport int64_t, uint8_t

from fastconv._core.problem cimport ceil_div, first_inside, larger, share, smaller
from fastconv._core.runtime cimport fc_windows
from fastconv._core.windows cimport (
    PIECE,
    Geometry,
    Pool,
    compute,
    divide,
    equal_columns,
    outputs_inside,
    pieces_of,
    rows_counted,
    taps_inside,
    tell_places,
)

cdef extern from "string.h" nogil:
    int same_bytes "memcmp"(const void *, const void *, size_t)

cdef enum:
    AHEAD_BYTES = 1 << 12    # from a window's rows to lines asked for: memory is far away


cdef void cut_planes(Pool *s, int threads) noexcept nogil:
    # columns so that a row's codes fit in workspace, rows for a few pieces of work a thread
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t rows = g.samples * g.channels * g.out_h
    s.pieces = pieces_of(g.out_w)
    s.strips = 1
    if threads > 1:
        s.strips = ceil_div(g.out_h, larger(1, smaller(g.out_h, ceil_div(rows, 4 * threads))))


cdef void rows_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # a strip of rows of one plane, a piece of their columns
    cdef const Pool *s = <const Pool *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t units = g.samples * g.channels * s.pieces * s.strips, unit, plane, strip, piece
    cdef Py_ssize_t low = 0, high = g.out_h, i, end, rows
    cdef bint equal = s.average == NULL or equal_columns(g)
    # output rows low..high-1 have all their taps inside
    low = smaller(high, first_inside(-g.pad_top, g.stride_h, 0))
    while high > low and ((high - 1) * g.stride_h - g.pad_top
                          + (g.kernel_h - 1) * g.dilation_h >= g.height):
        high -= 1
    for unit in range(share(units, s.tasks, task), share(units, s.tasks, task + 1)):
        plane = unit // s.strips // s.pieces
        piece, strip = unit // s.strips % s.pieces, unit % s.strips
        i, end = share(g.out_h, s.strips, strip), share(g.out_h, s.strips, strip + 1)
        while i < end:
            rows = 1
            if s.pieces == 1 and low <= i < high:
                rows = smaller(smaller(end, high) - i, larger(1, PIECE // g.out_w))
            some_rows(s, plane, i, rows, share(g.out_w, s.pieces, piece),
                      share(g.out_w, s.pieces, piece + 1), equal, <uint8_t *> workspace)
            i += rows


cdef void some_rows(const Pool *s, Py_ssize_t plane, Py_ssize_t row, Py_ssize_t rows,
                    Py_ssize_t first, Py_ssize_t stop, bint equal,
                    uint8_t *codes) noexcept nogil:
    # columns first..stop-1 of rows whose windows have the same rows of taps inside
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t top = row * g.stride_h - g.pad_top, line = plane * g.out_h + row
    cdef Py_ssize_t at = line * g.out_w + first, low, high, i, divisor = 0
    cdef char *out = s.out + at * s.size
    cdef fc_windows w
    taps_inside(top, g.dilation_h, g.kernel_h, g.height, &low, &high)
    w.kernel_h, w.kernel_w = high - low, g.kernel_w
    w.row, w.spread, w.step = g.dilation_h * g.width, g.dilation_w, g.stride_w
    w.left, w.width = g.pad_left - first * g.stride_w, g.width
    w.pixels, w.advance, w.count = rows, g.stride_h * g.width, stop - first
    w.ahead = 0 if s.pieces > 1 else (w.kernel_h - 1) * w.row + AHEAD_BYTES // s.size
    w.first, w.pitch, w.relu = low * g.kernel_w, g.kernel_w, s.relu
    if s.codes != NULL:
        codes = s.codes + at
    if s.average != NULL and equal:
        divisor = rows_counted(g, row) * g.kernel_w
    compute(s, s.x + (plane * g.height + top + low * g.dilation_h) * g.width * s.size, &w, divisor,
            out, codes)
    if s.coded:
        for i in range(rows):
            tell_row(s, line + i, low, first, stop, codes + i * w.count)
    elif not equal:
        for i in range(rows):
            divide(g, s.average, rows_counted(g, row + i), out + i * w.count * s.size, first, stop,
                   1, out + i * w.count * s.size)


cdef void tell_row(const Pool *s, Py_ssize_t line, Py_ssize_t low, Py_ssize_t first,
                   Py_ssize_t stop, uint8_t *codes) noexcept nogil:
    # codes of a row as they are told: of what is inside, or as indices
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t top = line % g.out_h * g.stride_h - g.pad_top, at = line * g.out_w + first
    cdef Py_ssize_t j = first
    # of equal values the first counts, which was padding if all others are the lowest
    while j < stop and j * g.stride_w < g.pad_left and not s.relu:
        if same_bytes(s.out + (line * g.out_w + j) * s.size, s.lowest, s.size) == 0:
            codes[j - first] = low * g.kernel_w + first_inside(j * g.stride_w - g.pad_left,
                                                               g.dilation_w, 0)
        j += 1
    if s.indices != NULL:
        tell_places(s.places, codes, top * g.width + first * g.stride_w - g.pad_left, g.stride_w,
                    s.indices + at, stop - first)


cdef void indexed_rows_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # the maximum's place too, of windows whose taps no byte numbers
    cdef const Pool *s = <const Pool *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t lines = g.samples * g.channels * g.out_h, line, piece
    cdef Py_ssize_t pieces = pieces_of(g.out_w)
    for line in range(share(lines, s.tasks, task), share(lines, s.tasks, task + 1)):
        for piece in range(pieces):
            indexed_row(s, line, share(g.out_w, pieces, piece), share(g.out_w, pieces, piece + 1),
                        <int64_t *> workspace)


cdef void indexed_row(const Pool *s, Py_ssize_t line, Py_ssize_t first, Py_ssize_t stop,
                      int64_t *code) noexcept nogil:
    # every tap is folded where it falls inside of the image
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t top = line % g.out_h * g.stride_h - g.pad_top
    cdef Py_ssize_t j, r, z, shift, low, high, left, right
    cdef int64_t *indices = s.indices + line * g.out_w
    cdef char *out = s.out + line * g.out_w * s.size
    cdef const char *row
    taps_inside(top, g.dilation_h, g.kernel_h, g.height, &low, &high)
    row = s.x + (line // g.out_h * g.height + top + low * g.dilation_h) * g.width * s.size
    # the first tap inside, found from the last: it is the maximum until a greater one comes
    for z in range(g.kernel_w - 1, -1, -1):
        left, right = first, stop
        shift = outputs_inside(g, z, &left, &right)
        s.maximum.start(row + (left * g.stride_w + shift) * s.size, g.stride_w,
                        out + left * s.size, code + left - first, right - left, z)
    for r in range(low, high):
        for z in range(g.kernel_w):
            left, right = first, stop
            shift = outputs_inside(g, z, &left, &right)
            s.maximum.fold(row + (left * g.stride_w + shift) * s.size, g.stride_w,
                           out + left * s.size, code + left - first, right - left,
                           (r - low) * g.kernel_w + z)
        row += g.dilation_h * g.width * s.size
    for j in range(first, stop):
        r = low + code[j - first] // g.kernel_w
        z = code[j - first] % g.kernel_w
        indices[j] = ((top + r * g.dilation_h) * g.width
                      + j * g.stride_w - g.pad_left + z * g.dilation_w)
