"""Pools of images whose channels come last: runs of pixels whose windows are alike.

Taps outside of the image are left out.  Where a window's step is 1, a row of pixels is one run of
values, neighbours `channels` apart.  Where pixels have so few channels that vectors of these would
be mostly empty, such a run is computed too, and every stride_w-th pixel of it kept.
"""

from libc.stdint cimport int64_t, uint8_t

from fastconv._core.problem cimport larger, round_up, share, smaller
from fastconv._core.runtime cimport FC_SLACK, fc_windows
from fastconv._core.windows cimport (
    PIECE,
    Geometry,
    Pool,
    columns_counted,
    compute,
    outputs_inside,
    pieces_of,
    rows_counted,
    taps_inside,
    tell_places,
)

cdef extern from "string.h" nogil:
    void *copy_bytes "memcpy"(void *, const void *, size_t)

cdef enum:
    DENSE_BYTES = 64         # of the pixels from one window to the next, at most
    BLOCK = 16               # bytes copied at once


# One output pixel: the taps of its window inside of the image, and the place of its tap (0, 0).
cdef struct Pixel:
    const char *image
    Py_ssize_t i, j, top, side, r0, r1, z0, z1


cdef inline Pixel make_pixel(const Pool *s, Py_ssize_t line, Py_ssize_t j) noexcept nogil:
    cdef const Geometry *g = &s.geometry
    cdef Pixel p
    p.image = s.x + line // g.out_h * g.height * g.width * g.channels * s.size
    p.i, p.j = line % g.out_h, j
    p.top, p.side = p.i * g.stride_h - g.pad_top, j * g.stride_w - g.pad_left
    taps_inside(p.top, g.dilation_h, g.kernel_h, g.height, &p.r0, &p.r1)
    taps_inside(p.side, g.dilation_w, g.kernel_w, g.width, &p.z0, &p.z1)
    return p


cdef inline Py_ssize_t place(const Geometry *g, const Pixel *p, Py_ssize_t r,
                             Py_ssize_t z) noexcept nogil:
    return (p.top + r * g.dilation_h) * g.width + p.side + z * g.dilation_w


cdef inline bint dense(const Pool *s) noexcept nogil:
    cdef const Geometry *g = &s.geometry
    return g.stride_w > 1 and g.stride_w * g.channels * s.size <= DENSE_BYTES


cdef Py_ssize_t dense_bytes(const Pool *s) noexcept nogil:
    # of a run's values, and of their codes
    if not dense(s):
        return 0
    return round_up((PIECE + DENSE_BYTES) * s.size, 64) + PIECE + DENSE_BYTES + FC_SLACK


cdef void pixels_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # rows of output pixels: many a call where all of them have all columns
    cdef const Pool *s = <const Pool *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t lines = g.samples * g.out_h, line, j, left = 0, right = g.out_w, pixels
    cdef Py_ssize_t most = larger(1, PIECE // (g.channels * (g.stride_w if dense(s) else 1)))
    outputs_inside(g, 0, &left, &right)
    outputs_inside(g, g.kernel_w - 1, &left, &right)
    for line in range(share(lines, s.tasks, task), share(lines, s.tasks, task + 1)):
        j = 0
        while j < g.out_w:
            pixels = 1
            if left <= j < right:
                pixels = smaller(most, right - j)
            some_pixels(s, line, j, pixels, workspace)
            j += pixels


cdef void some_pixels(const Pool *s, Py_ssize_t line, Py_ssize_t j, Py_ssize_t pixels,
                      char *workspace) noexcept nogil:
    cdef const Geometry *g = &s.geometry
    cdef Pixel p = make_pixel(s, line, j)
    cdef Py_ssize_t at = (line * g.out_w + j) * g.channels, pieces = pieces_of(g.channels), piece
    cdef Py_ssize_t divisor = 0, first, q
    cdef uint8_t *codes = s.codes + at if s.codes != NULL else <uint8_t *> workspace
    cdef const char *x = p.image + place(g, &p, p.r0, p.z0) * g.channels * s.size
    cdef fc_windows w
    w.kernel_h, w.kernel_w = p.r1 - p.r0, p.z1 - p.z0
    w.row, w.spread = g.dilation_h * g.width * g.channels, g.dilation_w * g.channels
    w.step, w.left, w.ahead = 1, 0, 0
    w.first, w.pitch, w.relu = p.r0 * g.kernel_w + p.z0, g.kernel_w, s.relu
    w.pixels, w.advance, w.count = 1, 0, pixels * g.channels
    if s.average != NULL:
        divisor = rows_counted(g, p.i) * columns_counted(g, j)
    if pixels > 1 and dense(s):
        w.count = ((pixels - 1) * g.stride_w + 1) * g.channels
        dense_pixels(s, x, &w, pixels, divisor, s.out + at * s.size, codes, workspace + PIECE)
    elif pixels > 1 and g.stride_w == 1:
        w.width = (w.kernel_w - 1) * w.spread + w.count
        compute(s, x, &w, divisor, s.out + at * s.size, codes)
    else:
        w.pixels, w.advance = pixels, g.stride_w * g.channels
        for piece in range(pieces):
            first = share(g.channels, pieces, piece)
            w.count = share(g.channels, pieces, piece + 1) - first
            w.width = (w.kernel_w - 1) * w.spread + w.count
            compute(s, x + first * s.size, &w, divisor, s.out + (at + first) * s.size,
                    codes if s.codes == NULL else codes + first)
            if s.indices != NULL:
                for q in range(pixels):
                    tell_places(s.places, codes + q * w.count,
                                place(g, &p, 0, 0) + q * g.stride_w, 0,
                                s.indices + at + first + q * g.channels, w.count)
        return
    if s.indices != NULL:
        for q in range(pixels):
            tell_places(s.places, codes + q * g.channels, place(g, &p, 0, 0) + q * g.stride_w, 0,
                        s.indices + at + q * g.channels, g.channels)


cdef void dense_pixels(const Pool *s, const char *x, fc_windows *w, Py_ssize_t pixels,
                       Py_ssize_t divisor, char *out, uint8_t *codes,
                       char *values) noexcept nogil:
    # the windows of all pixels from the first to the last, and what there is of them
    cdef const Geometry *g = &s.geometry
    cdef uint8_t *all_codes = <uint8_t *> values + round_up((PIECE + DENSE_BYTES) * s.size, 64)
    w.width = (w.kernel_w - 1) * w.spread + w.count
    compute(s, x, w, divisor, values, all_codes)
    pick(values, g.stride_w * g.channels * s.size, g.channels * s.size, pixels, out)
    if s.coded:
        pick(<const char *> all_codes, g.stride_w * g.channels, g.channels, pixels, <char *> codes)


cdef void pick(const char *source, Py_ssize_t step, Py_ssize_t bytes, Py_ssize_t pixels,
               char *to) noexcept nogil:
    # `bytes` of every `step`, in blocks: a pixel's passes its end, where the next one begins
    cdef char *end = to + pixels * bytes
    cdef Py_ssize_t k
    while to < end:
        k = 0
        while k < bytes:
            if end - to >= k + BLOCK:
                copy_bytes(to + k, source + k, BLOCK)
            else:
                copy_bytes(to + k, source + k, bytes - k if bytes - k < BLOCK else BLOCK)
            k += BLOCK
        source += step
        to += bytes


# ----------------------------------------------------------------------------------- indices

cdef void indexed_pixels_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # the maxima's places too, of windows whose taps no byte numbers
    cdef const Pool *s = <const Pool *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t lines = g.samples * g.out_h, pieces = pieces_of(g.channels)
    cdef Py_ssize_t line, j, piece, first, stop
    cdef Pixel pixel
    for line in range(share(lines, s.tasks, task), share(lines, s.tasks, task + 1)):
        for j in range(g.out_w):
            pixel = make_pixel(s, line, j)
            for piece in range(pieces):
                first = share(g.channels, pieces, piece)
                stop = share(g.channels, pieces, piece + 1)
                pixel_maxima(s, &pixel, first, stop - first, <int64_t *> workspace,
                             (line * g.out_w + j) * g.channels + first)


cdef void pixel_maxima(const Pool *s, const Pixel *p, Py_ssize_t first, Py_ssize_t count,
                       int64_t *code, Py_ssize_t at) noexcept nogil:
    cdef const Geometry *g = &s.geometry
    cdef const char *x = p.image + first * s.size
    cdef char *out = s.out + at * s.size
    cdef Py_ssize_t r, z, t = 0, columns = p.z1 - p.z0
    s.maximum.start(x + place(g, p, p.r0, p.z0) * g.channels * s.size, 1, out, code, count, 0)
    for r in range(p.r0, p.r1):
        for z in range(p.z0, p.z1):
            s.maximum.fold(x + place(g, p, r, z) * g.channels * s.size, 1, out, code, count, t)
            t += 1
    for t in range(count):
        s.indices[at + t] = place(g, p, p.r0 + code[t] // columns, p.z0 + code[t] % columns)
