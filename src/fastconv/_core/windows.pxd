"""One pool as its drivers see it: sizes, the taps of a window that count, and how work is run.

    max: out[n, c, i, j] = max_{r, s} x[n, c, y, z]     avg: the mean over r, s, by the count's rule
    y = i * stride_h - pad_top + r * dilation_h,  z = j * stride_w - pad_left + s * dilation_w

Taps outside of the image are left out.  Every window has one inside.
"""

from libc.stdint cimport int64_t, uint8_t

from fastconv._core.problem cimport after_inside, ceil_div, first_inside, larger, smaller
from fastconv._core.runtime cimport (
    FC_SLACK,
    fc_kernels,
    fc_max_kernels,
    fc_windows,
    parallel_for,
    raise_failure,
    task_function,
)

cdef enum:
    # The longest run of outputs, or of channels of a pixel, that workspace is kept for at a time.
    PIECE = 1 << 14
    CODES = 256              # numbers of a byte: of the taps of a window, and FC_NO_TAP
    TASK_WORK = 1 << 22      # elements read, of the longest task: signals are handled between them


# PoolGeometry.numbers
cdef struct Geometry:
    Py_ssize_t samples, channels, height, width, kernel_h, kernel_w
    Py_ssize_t stride_h, stride_w, dilation_h, dilation_w
    Py_ssize_t pad_top, pad_bottom, pad_left, pad_right, out_h, out_w, channels_last, counts_pads


# The forward pass.
cdef struct Pool:
    Geometry geometry
    const fc_max_kernels *maximum      # NULL for an average pool
    const fc_kernels *average          # NULL for a max pool
    const char *x
    char *out
    int64_t *indices
    uint8_t *codes
    Py_ssize_t size, tasks
    Py_ssize_t pieces, strips          # how pool_rows cuts a plane's columns, and its rows
    # where maxima have codes: from a window's first tap to each, and the value that none is below
    bint coded, relu
    int64_t places[CODES]
    char lowest[8]


cdef inline Py_ssize_t padded_width(const Geometry *g, Py_ssize_t columns) noexcept nogil:
    return (columns - 1) * g.stride_w + (g.kernel_w - 1) * g.dilation_w + 1


cdef inline void take_planes_as_images(Geometry *g) noexcept nogil:
    # Windows far larger than the image, or than memory allows to copy: a plane is an image of one
    # channel, and channels last takes only the taps inside of it, as they lie.
    g.samples, g.channels, g.channels_last = g.samples * g.channels, 1, 1


# A max pool's maxima have codes, row * kernel_w + column of the window, if these fit in a byte; of
# larger windows there are indices alone.
cdef inline bint has_codes(const Geometry *g) noexcept nogil:
    return (g.kernel_h < CODES and g.kernel_w < CODES
            and g.kernel_h * g.kernel_w < CODES)


cdef inline void list_places(const Geometry *g, int64_t *places) noexcept nogil:
    cdef Py_ssize_t code
    for code in range(CODES):
        places[code] = 0
    for code in range(g.kernel_h * g.kernel_w):
        places[code] = (code // g.kernel_w * g.dilation_h * g.width
                        + code % g.kernel_w * g.dilation_w)


cdef inline void tell_places(const int64_t *places, const uint8_t *codes, int64_t first,
                             Py_ssize_t step, int64_t *indices, Py_ssize_t count) noexcept nogil:
    # of outputs whose windows begin at `first`, first + step, ...
    cdef Py_ssize_t q
    for q in range(count):
        indices[q] = places[codes[q]] + first + q * step


cdef inline Py_ssize_t pieces_of(Py_ssize_t length) noexcept nogil:
    return ceil_div(length, PIECE)


cdef inline void taps_inside(Py_ssize_t start, Py_ssize_t dilation, Py_ssize_t kernel,
                             Py_ssize_t size, Py_ssize_t *low, Py_ssize_t *high) noexcept nogil:
    # taps low..high-1 of a window that begins at `start` lie in 0..size-1
    low[0] = smaller(kernel, first_inside(start, dilation, 0))
    high[0] = larger(low[0], after_inside(start, dilation, size, kernel))


cdef inline Py_ssize_t outputs_inside(const Geometry *g, Py_ssize_t z, Py_ssize_t *left,
                                      Py_ssize_t *right) noexcept nogil:
    # narrows outputs left..right-1 of a row to those whose tap z is inside; output j's is at
    # j * stride_w + the result
    cdef Py_ssize_t shift = z * g.dilation_w - g.pad_left, high = right[0]
    left[0] = smaller(high, first_inside(shift, g.stride_w, left[0]))
    right[0] = larger(left[0], after_inside(shift, g.stride_w, g.width, high))
    return shift


# How many rows or columns of a window a mean divides by: PyTorch's rule.
cdef inline Py_ssize_t taps_counted(Py_ssize_t start, Py_ssize_t dilation, Py_ssize_t kernel,
                                    Py_ssize_t size, Py_ssize_t pad_after,
                                    bint counts_pads) noexcept nogil:
    cdef Py_ssize_t low, high
    if counts_pads:
        return after_inside(start, dilation, size + pad_after, kernel)
    taps_inside(start, dilation, kernel, size, &low, &high)
    return high - low


cdef inline Py_ssize_t rows_counted(const Geometry *g, Py_ssize_t i) noexcept nogil:
    return taps_counted(i * g.stride_h - g.pad_top, g.dilation_h, g.kernel_h, g.height,
                        g.pad_bottom, g.counts_pads)


cdef inline Py_ssize_t columns_counted(const Geometry *g, Py_ssize_t j) noexcept nogil:
    return taps_counted(j * g.stride_w - g.pad_left, g.dilation_w, g.kernel_w, g.width,
                        g.pad_right, g.counts_pads)


cdef inline bint equal_columns(const Geometry *g) noexcept nogil:
    # whether all columns count alike; those at the edges count least
    return (columns_counted(g, 0) == g.kernel_w
            and columns_counted(g, g.out_w - 1) == g.kernel_w)


cdef inline void divide(const Geometry *g, const fc_kernels *kernels, Py_ssize_t height,
                        const char *source, Py_ssize_t first, Py_ssize_t stop,
                        Py_ssize_t channels, char *to) noexcept nogil:
    # by what is counted of windows `height` tall, columns first..stop-1; between the edges all
    # count alike
    cdef Py_ssize_t left = first, right = stop, j = first, end, step
    outputs_inside(g, 0, &left, &right)
    outputs_inside(g, g.kernel_w - 1, &left, &right)
    step = channels * kernels.itemsize
    while j < stop:
        end = right if left <= j < right else j + 1
        kernels.divide(source + (j - first) * step, height * columns_counted(g, j),
                       to + (j - first) * step, (end - j) * channels)
        j = end


# The windows of a max pool or an average pool at x, where the driver says what of them there is.
cdef inline void compute(const Pool *s, const char *x, const fc_windows *windows,
                         Py_ssize_t divisor, char *out, uint8_t *codes) noexcept nogil:
    if s.average != NULL:
        s.average.sum_windows(x, windows, divisor, out)
    elif s.coded:
        s.maximum.max_codes(x, windows, out, codes)
    else:
        s.maximum.max_windows(x, windows, out)


cdef inline Py_ssize_t work_of(const Geometry *g) noexcept nogil:
    # of one call, in elements read
    return g.samples * g.channels * g.out_h * g.out_w * smaller(g.kernel_h * g.kernel_w, 1 << 20)


cdef inline int useful_threads(const Geometry *g, int threads) noexcept nogil:
    # there is work below which starting threads costs more than it brings
    return <int> larger(1, smaller(threads, work_of(g) // (1 << 16)))


cdef inline int run(const Geometry *g, task_function task, void *context, Py_ssize_t *tasks,
                    Py_ssize_t units, int threads, Py_ssize_t workspace) except -1:
    # `tasks` is where the context keeps their number
    cdef int failed
    threads = useful_threads(g, threads)
    tasks[0] = smaller(units, larger(8 * threads if threads > 1 else 1, work_of(g) // TASK_WORK))
    with nogil:
        failed = parallel_for(task, context, tasks[0], threads, workspace + FC_SLACK)
    if failed:
        raise_failure("no memory for the workspace of a pool")
    return 0
