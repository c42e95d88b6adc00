"""Pools of planes: rows of outputs, a strip of them at a time.

To the left and right of the image, taps fall on a copy of its rows with the lowest value (zero for
averages) around them, and that only where a window reaches there; above and below they are left
out.
"""

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memset

from fastconv._core.problem cimport ceil_div, first_inside, larger, round_up, share, smaller
from fastconv._core.runtime cimport fc_windows
from fastconv._core.windows cimport (
    PIECE,
    Geometry,
    Pool,
    count_columns,
    outputs_inside,
    padded_width,
    pieces_of,
    rows_counted,
    take_planes_as_images,
    taps_inside,
    tell_places,
    window,
)

cdef extern from "string.h" nogil:
    void *copy_bytes "memcpy"(void *, const void *, size_t)
    int same_bytes "memcmp"(const void *, const void *, size_t)

cdef enum:
    STRIP_BYTES = 1 << 17    # of padded rows, where windows are small
    MORE_BYTES = 1 << 20     # where they are large; columns are then cut
    MOST_BYTES = 1 << 23     # windows that need more are taken tap by tap
    FEWEST_COLUMNS = 64      # what neighbouring windows share is copied once for so many
    MOST_ROWS = 1 << 16      # of a window: there is a pointer to each


cdef void cut_columns(Pool *s) noexcept nogil:
    # as wide as their padded rows and what they divide by fit in a thread's workspace
    cdef Geometry *g = &s.geometry
    cdef Py_ssize_t rows = smaller(g.kernel_h, ceil_div(g.height, g.dilation_h)), columns, room
    cdef bint inside = g.pad_left == 0 and padded_width(g, g.out_w) <= g.width
    columns = smaller(g.out_w, PIECE)
    if not inside:
        room = MORE_BYTES // (rows * s.size) - padded_width(g, 1)
        columns = smaller(columns, larger(FEWEST_COLUMNS, 1 + room // g.stride_w))
    s.pieces = ceil_div(g.out_w, columns)
    columns = ceil_div(g.out_w, s.pieces)
    s.width = padded_width(g, columns)
    s.held = 0 if inside else rows
    s.beside_bytes = 0
    if s.average != NULL:
        s.beside_bytes = round_up(columns * sizeof(Py_ssize_t), 64)
    elif s.coded and s.codes == NULL:
        s.beside_bytes = round_up(columns, 64)
    s.pointer_bytes = round_up(rows * sizeof(void *), 64)
    if rows > MOST_ROWS or s.held * s.width * s.size > MOST_BYTES:
        take_planes_as_images(g)


cdef void cut_rows(Pool *s, int threads) noexcept nogil:
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t all_rows = g.samples * g.channels * s.pieces * g.out_h, held
    cdef Py_ssize_t rows = larger(1, STRIP_BYTES // s.width // g.stride_h // s.size)
    if threads > 1:  # a few strips for each thread
        rows = larger(1, smaller(rows, ceil_div(all_rows, 4 * threads)))
    held = smaller(g.height, (rows - 1) * g.stride_h + (g.kernel_h - 1) * g.dilation_h + 1)
    if held * s.width * s.size > MORE_BYTES:
        rows = 1
    s.strips = ceil_div(g.out_h, rows)
    if s.held and s.strips < g.out_h:
        s.held = held


# Where the rows that a unit reads lie: the image's row y begins at start + (y - first) * pitch, and
# the row of the next tap is `tap` bytes on.
cdef struct Strip:
    const char *start
    Py_ssize_t first, pitch, tap


cdef void fill(const Pool *s, char *to, Py_ssize_t count) noexcept nogil:
    if s.average == NULL:
        s.maximum.fill_lowest(to, count)
    else:
        memset(to, 0, count * s.size)


cdef Strip make_strip(const Pool *s, Py_ssize_t plane, Py_ssize_t row, Py_ssize_t rows,
                      Py_ssize_t side, Py_ssize_t width, char *memory) noexcept nogil:
    # the image rows that `rows` output rows from `row` on touch, `width` columns from `side` on
    cdef const Geometry *g = &s.geometry
    cdef const char *x = s.x + plane * g.height * g.width * s.size
    cdef Py_ssize_t left = larger(0, -side), right = larger(0, side + width - g.width)
    cdef Py_ssize_t inside = width - left - right, top = row * g.stride_h - g.pad_top
    cdef Py_ssize_t low, high, last, step, y
    cdef Strip strip
    strip.start, strip.first, strip.pitch = x + side * s.size, 0, g.width * s.size
    strip.tap = g.dilation_h * strip.pitch
    if left == 0 and right == 0:
        return strip
    strip.start, strip.pitch = memory, width * s.size
    if rows == 1:  # none of those between its taps
        taps_inside(top, g.dilation_h, g.kernel_h, g.height, &low, &high)
        strip.first, strip.tap = top + low * g.dilation_h, strip.pitch
        last, step = top + (high - 1) * g.dilation_h, g.dilation_h
    else:
        strip.first, strip.tap = larger(0, top), g.dilation_h * strip.pitch
        last, step = top + (rows - 1) * g.stride_h + (g.kernel_h - 1) * g.dilation_h, 1
    y = strip.first
    while y <= smaller(last, g.height - 1):
        if left:
            fill(s, memory, left)
        copy_bytes(memory + left * s.size, x + (y * g.width + side + left) * s.size,
                   inside * s.size)
        if right:
            fill(s, memory + (left + inside) * s.size, right)
        memory += strip.pitch
        y += step
    return strip


cdef void rows_unit(const Pool *s, Py_ssize_t unit, Py_ssize_t first, Py_ssize_t stop,
                    Py_ssize_t step, char *workspace) noexcept nogil:
    # columns first..stop-1 of a strip of output rows of one plane
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t plane = unit // s.strips // s.pieces, i, r, low, high, top
    cdef Py_ssize_t row = share(g.out_h, s.strips, unit % s.strips)
    cdef Py_ssize_t end = share(g.out_h, s.strips, unit % s.strips + 1)
    cdef Py_ssize_t width = (stop - first - 1) * g.stride_w + (g.kernel_w - 1) * g.dilation_w + 1
    cdef const Py_ssize_t *widths = <const Py_ssize_t *> workspace
    cdef const void **rows = <const void **> (workspace + s.beside_bytes)
    cdef Strip strip = make_strip(s, plane, row, end - row, first * g.stride_w - g.pad_left, width,
                                  workspace + s.beside_bytes + s.pointer_bytes)
    cdef const char *x
    cdef char *out
    cdef uint8_t *codes = <uint8_t *> workspace
    for i in range(row, end):
        top = i * g.stride_h - g.pad_top
        taps_inside(top, g.dilation_h, g.kernel_h, g.height, &low, &high)
        x = strip.start + (top + low * g.dilation_h - strip.first) * strip.pitch
        for r in range(high - low):
            rows[r] = x + r * strip.tap
        if s.coded:
            coded_row(s, rows, low, high, plane * g.out_h + i, first, stop, codes)
            continue
        out = s.out + ((plane * g.out_h + i) * g.out_w + first) * s.size
        window(s, rows, high - low, g.kernel_w, g.stride_w, g.dilation_w, out, stop - first)
        if s.average != NULL:
            s.average.divide(out, rows_counted(g, i), widths, step, out, stop - first)


cdef void coded_row(const Pool *s, const void **rows, Py_ssize_t low, Py_ssize_t high,
                    Py_ssize_t line, Py_ssize_t first, Py_ssize_t stop,
                    uint8_t *codes) noexcept nogil:
    # a row's maxima and their codes; or, of codes that are kept nowhere, their indices
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t top = line % g.out_h * g.stride_h - g.pad_top, at = line * g.out_w + first
    cdef Py_ssize_t j = first, side = first * g.stride_w - g.pad_left
    cdef fc_windows windows
    if s.codes != NULL:
        codes = s.codes + at
    windows.kernel_h, windows.kernel_w = high - low, g.kernel_w
    windows.first, windows.pitch = low * g.kernel_w, g.kernel_w
    windows.step, windows.spread = g.stride_w, g.dilation_w
    windows.pixels, windows.advance, windows.count = 1, 0, stop - first
    windows.relu = s.relu
    s.maximum.max_codes(rows, &windows, s.out + at * s.size, codes)
    # of equal values the first counts, which was padding if all others are the lowest
    while j < stop and j * g.stride_w < g.pad_left and not s.relu:
        if same_bytes(s.out + (line * g.out_w + j) * s.size, s.lowest, s.size) == 0:
            codes[j - first] = windows.first + first_inside(j * g.stride_w - g.pad_left,
                                                            g.dilation_w, 0)
        j += 1
    if s.indices != NULL:
        tell_places(s.places, codes, top * g.width + side, g.stride_w, s.indices + at, stop - first)


cdef void rows_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # plane by plane, piece by piece, strip by strip: columns are seldom counted anew
    cdef const Pool *s = <const Pool *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t units = g.samples * g.channels * s.pieces * s.strips, unit
    cdef Py_ssize_t counted = -1, step = 0, piece, first, stop
    for unit in range(share(units, s.tasks, task), share(units, s.tasks, task + 1)):
        piece = unit // s.strips % s.pieces
        first = share(g.out_w, s.pieces, piece)
        stop = share(g.out_w, s.pieces, piece + 1)
        if s.average != NULL and piece != counted:
            step = count_columns(g, first, stop, <Py_ssize_t *> workspace)
            counted = piece
        rows_unit(s, unit, first, stop, step, workspace)


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
