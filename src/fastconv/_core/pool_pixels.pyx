"""Pools of images whose channels come last: pixel by pixel; a tap is a vector of channels.

Taps outside of the image are left out.
"""

from libc.stdint cimport int64_t, uint8_t

from fastconv._core.problem cimport larger, share, smaller
from fastconv._core.runtime cimport fc_windows
from fastconv._core.windows cimport (
    CODES,
    PIECE,
    TAPS,
    Geometry,
    Pool,
    columns_counted,
    outputs_inside,
    pieces_of,
    rows_counted,
    taps_inside,
    tell_places,
    window,
)


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


cdef void pixels_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # rows of output pixels; a tap is a vector of channels
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
                if s.indices == NULL:
                    pixel_values(s, &pixel, first, stop - first, workspace,
                                 s.out + ((line * g.out_w + j) * g.channels + first) * s.size)
                else:
                    pixel_maxima(s, &pixel, first, stop - first, <int64_t *> workspace,
                                 (line * g.out_w + j) * g.channels + first)


cdef void pixel_values(const Pool *s, const Pixel *p, Py_ssize_t first, Py_ssize_t count,
                       char *workspace, char *out) noexcept nogil:
    cdef const Geometry *g = &s.geometry
    cdef const void **taps = <const void **> workspace
    cdef const char *x = p.image + first * s.size
    cdef Py_ssize_t r, z, width, listed = 0
    cdef char *to = out
    for r in range(p.r0, p.r1):
        for z in range(p.z0, p.z1):
            if listed == TAPS:
                add_taps(s, taps, listed, out, to, count)
                to = workspace + TAPS * sizeof(void *)
                listed = 0
            taps[listed] = x + place(g, p, r, z) * g.channels * s.size
            listed += 1
    add_taps(s, taps, listed, out, to, count)
    if s.average != NULL:
        width = columns_counted(g, p.j)
        s.average.divide(out, rows_counted(g, p.i), &width, 0, out, count)


cdef void add_taps(const Pool *s, const void **taps, Py_ssize_t listed, char *out, char *to,
                   Py_ssize_t count) noexcept nogil:
    # the first of a window go to out itself; the others beside it, and then to it
    cdef const void *both[2]
    window(s, taps, listed, 1, 1, 1, to, count)
    if to == out:
        return
    if s.average != NULL:
        s.average.scatter_add(to, out, 1, count)
    else:
        both[0] = out
        both[1] = to
        s.maximum.max_window(both, 2, 1, 1, 1, out, count)


cdef void pixel_maxima(const Pool *s, const Pixel *p, Py_ssize_t first, Py_ssize_t count,
                       int64_t *code, Py_ssize_t at) noexcept nogil:
    # the maxima's places too, of windows whose taps no byte numbers
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


# ------------------------------------------------------------------------------------- codes

cdef void coded_pixels_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # maxima and the codes of their taps: many pixels a call where all of them have all columns
    cdef const Pool *s = <const Pool *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t lines = g.samples * g.out_h, line, j, left = 0, right = g.out_w, pixels
    cdef Py_ssize_t most = larger(1, PIECE // g.channels)
    outputs_inside(g, 0, &left, &right)
    outputs_inside(g, g.kernel_w - 1, &left, &right)
    for line in range(share(lines, s.tasks, task), share(lines, s.tasks, task + 1)):
        j = 0
        while j < g.out_w:
            pixels = 1
            if left <= j < right:
                pixels = smaller(most, right - j)
            coded_pixels(s, line, j, pixels, <uint8_t *> workspace)
            j += pixels


cdef void coded_pixels(const Pool *s, Py_ssize_t line, Py_ssize_t j, Py_ssize_t pixels,
                       uint8_t *codes) noexcept nogil:
    cdef const Geometry *g = &s.geometry
    cdef Pixel p = make_pixel(s, line, j)
    cdef Py_ssize_t pieces = pieces_of(g.channels), piece, first, r, q, at
    cdef const void *rows[CODES]
    cdef fc_windows windows
    windows.kernel_h, windows.kernel_w = p.r1 - p.r0, p.z1 - p.z0
    windows.first, windows.pitch = p.r0 * g.kernel_w + p.z0, g.kernel_w
    windows.step, windows.spread = 1, g.dilation_w * g.channels
    windows.pixels, windows.advance = pixels, g.stride_w * g.channels
    windows.relu = s.relu
    for piece in range(pieces):
        first = share(g.channels, pieces, piece)
        windows.count = share(g.channels, pieces, piece + 1) - first
        at = (line * g.out_w + j) * g.channels + first
        for r in range(p.r0, p.r1):
            rows[r - p.r0] = p.image + (place(g, &p, r, p.z0) * g.channels + first) * s.size
        if s.codes != NULL:
            codes = s.codes + at
        s.maximum.max_codes(rows, &windows, s.out + at * s.size, codes)
        if s.indices != NULL:
            for q in range(pixels):
                tell_places(s.places, codes + q * windows.count,
                            place(g, &p, 0, 0) + q * g.stride_w, 0,
                            s.indices + at + q * g.channels, windows.count)
