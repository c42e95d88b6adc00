"""One convolution as the drivers see it: sizes, strides and where results go.

    out[n, g, f, i, j] = sum_{c, r, s} w[g, f, c, r, s] * x[n, g, c, y, z]
    y = i * stride_h - pad_top + r * dilation_h,  z = j * stride_w - pad_left + s * dilation_w

with x zero outside of the image.  The forward pass is one such problem; grad_x is stride_h *
stride_w of them, one for each phase of the image's rows and columns, with the kernel flipped and
its two channel axes swapped: pads may then be negative, and results go to every stride-th pixel.
"""

from libc.math cimport sqrt

from fastconv._core.runtime cimport fc_kernels


# ConvGeometry.numbers
cdef struct Geometry:
    Py_ssize_t samples, channels, height, width, filters, kernel_h, kernel_w
    Py_ssize_t stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left, groups
    Py_ssize_t out_h, out_w, channels_last


# Strides and offsets count elements; channels and filters are those of one group.
cdef struct Problem:
    const fc_kernels *kernels
    const char *x
    const char *x_end
    const char *w
    const char *packed                           # w as the driver packs it, or NULL: it does so now
    const char *bias
    char *out
    int relu, threads, channels_last
    Py_ssize_t depth_limit                       # the longest sum before it is added to the others
    Py_ssize_t samples, groups, channels, filters
    Py_ssize_t height, width, out_h, out_w
    Py_ssize_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left
    Py_ssize_t w_group, w_filter, w_channel, w_row, w_column
    Py_ssize_t out_sample, out_group, out_filter, out_row, out_column


# Row tiles and depth blocks of the multiplication: how the work on one problem is cut.
cdef struct Blocking:
    Py_ssize_t tiles, tile_height, taller_tiles  # `taller_tiles` tiles are tile_height + 1 high
    Py_ssize_t vectors                           # widest panel, in vectors
    Py_ssize_t blocks, channels_each, parts, taps_each


# Cython's min and max do not take a const member beside a variable
cdef inline Py_ssize_t smaller(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a < b else b


cdef inline Py_ssize_t larger(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a > b else b


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline Py_ssize_t floor_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    # C truncates towards zero
    return a // b if a >= 0 else -((-a + b - 1) // b)


cdef inline Py_ssize_t round_up(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return ceil_div(a, b) * b


cdef inline Py_ssize_t common_divisor(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    # the greatest one: Euclid
    cdef Py_ssize_t rest
    while b:
        rest = a % b
        a = b
        b = rest
    return a


# the first of the `count` equal shares (as equal as can be) of `total` begins at 0, ...
cdef inline Py_ssize_t share(Py_ssize_t total, Py_ssize_t count, Py_ssize_t index) noexcept nogil:
    return total // count * index + smaller(index, total % count)


# positions j in [low, high) whose pixel j * stride + shift lies in 0..size-1
cdef inline Py_ssize_t first_inside(Py_ssize_t shift, Py_ssize_t stride,
                                    Py_ssize_t low) noexcept nogil:
    return low if low * stride + shift >= 0 else ceil_div(-shift, stride)


cdef inline Py_ssize_t after_inside(Py_ssize_t shift, Py_ssize_t stride, Py_ssize_t size,
                                    Py_ssize_t high) noexcept nogil:
    # compared before anything is multiplied past what the image admits
    if size - 1 - shift < 0:
        return smaller(high, 0)
    return smaller(high, (size - 1 - shift) // stride + 1)


# A sum of n in pieces rounds least where there are as many pieces as each is long.
cdef inline Py_ssize_t exact_length(Py_ssize_t n) noexcept nogil:
    return larger(8, smaller(64, <Py_ssize_t> sqrt(<double> n)))


cdef inline Py_ssize_t depth_limit(const fc_kernels *kernels, Py_ssize_t depth,
                                   bint highest) noexcept nogil:
    # A panel this deep and its weights stay in the second-level cache, a tile's weights in the
    # first.
    if highest:
        return exact_length(depth)
    return 384 if kernels.itemsize == 4 else 256


cdef inline Blocking make_blocking(const Problem *p, Py_ssize_t max_vectors) noexcept nogil:
    cdef Blocking b
    cdef Py_ssize_t taps = p.kernel_h * p.kernel_w, limit = p.depth_limit
    b.tiles = ceil_div(p.filters, p.kernels.max_rows)
    b.tile_height = p.filters // b.tiles
    b.taller_tiles = p.filters % b.tiles
    b.vectors = smaller(max_vectors,
                    p.kernels.taps_vectors[b.tile_height + (1 if b.taller_tiles else 0)])
    if taps <= limit:
        b.parts = 1
        b.taps_each = taps
        b.blocks = ceil_div(p.channels, larger(1, limit // taps))
        b.channels_each = ceil_div(p.channels, b.blocks)
        b.blocks = ceil_div(p.channels, b.channels_each)
    else:
        b.channels_each = 1
        b.parts = ceil_div(taps, limit)
        b.taps_each = ceil_div(taps, b.parts)
        b.parts = ceil_div(taps, b.taps_each)
        b.blocks = p.channels * b.parts
    return b


cdef inline Py_ssize_t tile_start(const Blocking *b, Py_ssize_t tile) noexcept nogil:
    return tile * b.tile_height + smaller(tile, b.taller_tiles)


# One depth block: channels c0..c1-1, taps t0..t1-1, and how deep it and what is before it are.
cdef struct Depth:
    Py_ssize_t c0, c1, t0, t1, before, depth


cdef inline Depth depth_block(const Problem *p, const Blocking *b, Py_ssize_t block) noexcept nogil:
    cdef Depth d
    cdef Py_ssize_t taps = p.kernel_h * p.kernel_w
    d.c0 = block // b.parts * b.channels_each
    d.c1 = smaller(d.c0 + b.channels_each, p.channels)
    d.t0 = block % b.parts * b.taps_each
    d.t1 = smaller(d.t0 + b.taps_each, taps)
    d.before = d.c0 * taps + d.t0
    d.depth = (d.c1 - d.c0) * (d.t1 - d.t0)
    return d


cdef enum:
    TASK_WORK = 1 << 24         # products of the longest task: milliseconds


# How many tasks for so many pieces of work: some for each thread, so that all end together; more
# where these would take long, for signals are handled between tasks.
cdef inline Py_ssize_t count_tasks(const Problem *p, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t outputs = p.samples * p.out_h * p.out_w * p.groups * p.filters
    cdef Py_ssize_t depth = p.channels * p.kernel_h * p.kernel_w
    cdef Py_ssize_t least = 8 * p.threads if p.threads > 1 else 1
    return smaller(units, larger(least, outputs // ceil_div(TASK_WORK, depth)))


# First tap that reaches a phase of a strided axis, and how the taps that do follow each other.
cdef struct Phase:
    Py_ssize_t first, taps, every, pad, step, low, count


cdef inline Phase find_phase(Py_ssize_t size, Py_ssize_t kernel, Py_ssize_t stride,
                             Py_ssize_t dilation, Py_ssize_t pad, Py_ssize_t phase) noexcept nogil:
    # Pixel y takes grad[i] * w[r] with i * stride = y + pad - r * dilation.  Write
    # y = q * stride + phase - pad: the taps r with r * dilation = phase (mod stride) reach it.
    cdef Phase found
    cdef Py_ssize_t common = common_divisor(stride, dilation), rest, reach
    found.every = stride // common
    found.step = dilation // common  # grad rows between two taps: every * dilation / stride
    found.first = 0
    while found.first < smaller(found.every, kernel):
        if (found.first * dilation - phase) % stride == 0:
            break
        found.first += 1
    found.taps = 0
    if found.first < smaller(found.every, kernel):
        found.taps = ceil_div(kernel - found.first, found.every)
    found.low = ceil_div(pad - phase, stride) if pad > phase else -((phase - pad) // stride)
    rest = floor_div(size - 1 + pad - phase, stride)
    found.count = larger(0, rest - found.low + 1)
    # the flipped kernel's first tap is the last one: it reads row q + low + reach - (taps-1) * step
    reach = floor_div(phase - found.first * dilation, stride)
    found.pad = (found.taps - 1) * found.step - found.low - reach
    return found
