"""Pools and their gradients: rows of outputs when channels come first, pixels when they come last.

    max: out[n, c, i, j] = max_{r, s} x[n, c, y, z]     avg: the mean over r, s, by the count's rule
    y = i * stride_h - pad_top + r * dilation_h,  z = j * stride_w - pad_left + s * dilation_w

Taps above and below the image are left out; to the left and right of it they fall on a copy of the
row with the lowest value (zero for averages) around it, and that only if a window reaches there.
"""

from libc.stdint cimport int64_t
from libc.string cimport memset

cimport numpy as cnp

from fastconv._core.conv cimport kernels_of
from fastconv._core.problem cimport (
    after_inside,
    ceil_div,
    first_inside,
    larger,
    round_up,
    share,
    smaller,
)
from fastconv._core.runtime cimport (
    FC_POOL_FLOAT32,
    FC_POOL_FLOAT64,
    FC_POOL_INT8,
    FC_POOL_INT16,
    FC_POOL_INT32,
    FC_POOL_INT64,
    FC_POOL_UINT8,
    FC_POOL_UINT16,
    FC_POOL_UINT32,
    FC_POOL_UINT64,
    FC_SLACK,
    fc_kernels,
    fc_max_kernels,
    fc_workspace_give,
    fc_workspace_take,
    parallel_for,
    pool_kernels,
    task_function,
)

cnp.import_array()

cdef enum:
    STRIP_BYTES = 1 << 17


# PoolGeometry.numbers
cdef struct Geometry:
    Py_ssize_t samples, channels, height, width, kernel_h, kernel_w
    Py_ssize_t stride_h, stride_w, dilation_h, dilation_w
    Py_ssize_t pad_top, pad_bottom, pad_left, pad_right, out_h, out_w, channels_last, counts_pads


cdef struct Pool:
    Geometry geometry
    const fc_max_kernels *maximum
    const fc_kernels *average          # NULL for a max pool
    const char *x                      # the gradient's: grad
    char *out                          # the gradient's: grad_x
    int64_t *indices
    Py_ssize_t size, inside, width     # of a padded row
    Py_ssize_t strips, tasks
    Py_ssize_t pointer_bytes, code_bytes
    Py_ssize_t *heights                # rows and columns that a mean divides by
    Py_ssize_t *widths
    Py_ssize_t width_step
    Py_ssize_t *wrong                  # a task's number of indices out of range


cdef int dtype_of(cnp.ndarray array):
    cdef int kind = ord(array.dtype.kind), size = cnp.PyArray_ITEMSIZE(array)
    if kind == c"f":
        return FC_POOL_FLOAT32 if size == 4 else FC_POOL_FLOAT64
    if kind == c"i":
        return {1: FC_POOL_INT8, 2: FC_POOL_INT16, 4: FC_POOL_INT32, 8: FC_POOL_INT64}[size]
    return {1: FC_POOL_UINT8, 2: FC_POOL_UINT16, 4: FC_POOL_UINT32, 8: FC_POOL_UINT64}[size]


cdef inline void taps_inside(Py_ssize_t start, Py_ssize_t dilation, Py_ssize_t kernel,
                             Py_ssize_t size, Py_ssize_t *low, Py_ssize_t *high) noexcept nogil:
    # taps low..high-1 of a window that begins at `start` lie in 0..size-1
    low[0] = smaller(kernel, first_inside(start, dilation, 0))
    high[0] = larger(low[0], after_inside(start, dilation, size, kernel))


# --------------------------------------------------------------------------- channels first

cdef const char *padded_rows(const Pool *s, Py_ssize_t plane, Py_ssize_t row, Py_ssize_t rows,
                             char *strip, Py_ssize_t *first) noexcept nogil:
    # the image rows that `rows` output rows from `row` on touch; *first is the number of the first
    cdef const Geometry *g = &s.geometry
    cdef const char *x = s.x + plane * g.height * g.width * s.size
    cdef Py_ssize_t y, last, right = s.width - g.pad_left - g.width
    cdef char *to = strip
    if s.inside:
        first[0] = 0
        return x
    first[0] = larger(0, row * g.stride_h - g.pad_top)
    last = smaller(g.height - 1, (row + rows - 1) * g.stride_h - g.pad_top
                   + (g.kernel_h - 1) * g.dilation_h)
    for y in range(first[0], last + 1):
        if s.average != NULL:
            memset(to, 0, g.pad_left * s.size)
            memset(to + (g.pad_left + g.width) * s.size, 0, larger(0, right) * s.size)
        else:
            s.maximum.fill_lowest(to, g.pad_left)
            s.maximum.fill_lowest(to + (g.pad_left + g.width) * s.size, larger(0, right))
        copy_bytes(to + g.pad_left * s.size, x + y * g.width * s.size,
                   smaller(g.width, s.width - g.pad_left) * s.size)
        to += s.width * s.size
    return strip


cdef extern from "string.h" nogil:
    void *copy_bytes "memcpy"(void *, const void *, size_t)


cdef void rows_unit(const Pool *s, Py_ssize_t unit, char *workspace) noexcept nogil:
    # a strip of output rows of one plane, values alone
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t plane = unit // s.strips, strip = unit % s.strips, i, r, low, high, first
    cdef Py_ssize_t row = share(g.out_h, s.strips, strip)
    cdef Py_ssize_t stop = share(g.out_h, s.strips, strip + 1), start
    cdef Py_ssize_t width = g.width if s.inside else s.width
    cdef const void **rows = <const void **> workspace
    cdef const char *x = padded_rows(s, plane, row, stop - row, workspace + s.pointer_bytes, &first)
    cdef char *out
    for i in range(row, stop):
        start = i * g.stride_h - g.pad_top
        taps_inside(start, g.dilation_h, g.kernel_h, g.height, &low, &high)
        for r in range(low, high):
            rows[r - low] = x + (start + r * g.dilation_h - first) * width * s.size
        out = s.out + (plane * g.out_h + i) * g.out_w * s.size
        if s.average == NULL:
            s.maximum.max_window(rows, high - low, g.kernel_w, g.stride_w, g.dilation_w, out,
                                 g.out_w)
        else:
            s.average.sum_window(rows, high - low, g.kernel_w, g.stride_w, g.dilation_w, out,
                                 g.out_w)
            s.average.divide(out, s.heights[i], s.widths, s.width_step, out, g.out_w)


cdef void rows_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Pool *s = <const Pool *> context
    cdef Py_ssize_t units = s.geometry.samples * s.geometry.channels * s.strips, unit
    for unit in range(share(units, s.tasks, task), share(units, s.tasks, task + 1)):
        rows_unit(s, unit, workspace)


cdef void indexed_rows_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # the maximum's place too: every tap is folded where it falls inside of the image
    cdef const Pool *s = <const Pool *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t rows = g.samples * g.channels * g.out_h, line, i, j, r, z, start, shift
    cdef Py_ssize_t low, high, left, right
    cdef int64_t *code = <int64_t *> workspace
    cdef const char *row
    cdef char *out
    for line in range(share(rows, s.tasks, task), share(rows, s.tasks, task + 1)):
        i = line % g.out_h
        start = i * g.stride_h - g.pad_top
        out = s.out + line * g.out_w * s.size
        taps_inside(start, g.dilation_h, g.kernel_h, g.height, &low, &high)
        row = s.x + (line // g.out_h * g.height + start + low * g.dilation_h) * g.width * s.size
        # the first tap inside, found from the last: it is the maximum until a greater one comes
        for z in range(g.kernel_w - 1, -1, -1):
            shift = z * g.dilation_w - g.pad_left
            left = smaller(g.out_w, first_inside(shift, g.stride_w, 0))
            right = larger(left, after_inside(shift, g.stride_w, g.width, g.out_w))
            s.maximum.start(row + (left * g.stride_w + shift) * s.size, g.stride_w,
                            out + left * s.size, code + left, right - left,
                            z)
        for r in range(low, high):
            for z in range(g.kernel_w):
                shift = z * g.dilation_w - g.pad_left
                left = smaller(g.out_w, first_inside(shift, g.stride_w, 0))
                right = larger(left, after_inside(shift, g.stride_w, g.width, g.out_w))
                s.maximum.fold(row + (left * g.stride_w + shift) * s.size, g.stride_w,
                               out + left * s.size, code + left, right - left,
                               ((r - low) * g.kernel_w + z))
            row += g.dilation_h * g.width * s.size
        for j in range(g.out_w):
            s.indices[line * g.out_w + j] = (
                (start + (low + code[j] // g.kernel_w) * g.dilation_h) * g.width
                + j * g.stride_w - g.pad_left + code[j] % g.kernel_w * g.dilation_w)


# ---------------------------------------------------------------------------- channels last

cdef void pixels_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # rows of output pixels; a tap is a vector of channels
    cdef const Pool *s = <const Pool *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t rows = g.samples * g.out_h, line, n, i, j, r, z, top, side, count, t, y, x
    cdef Py_ssize_t r0, r1, z0, z1
    cdef const void **taps = <const void **> workspace
    cdef int64_t *code = <int64_t *> (workspace + s.pointer_bytes)
    cdef const char *image
    cdef char *out
    for line in range(share(rows, s.tasks, task), share(rows, s.tasks, task + 1)):
        n = line // g.out_h
        i = line % g.out_h
        image = s.x + n * g.height * g.width * g.channels * s.size
        top = i * g.stride_h - g.pad_top
        taps_inside(top, g.dilation_h, g.kernel_h, g.height, &r0, &r1)
        for j in range(g.out_w):
            side = j * g.stride_w - g.pad_left
            taps_inside(side, g.dilation_w, g.kernel_w, g.width, &z0, &z1)
            count = 0
            for r in range(r0, r1):
                y = top + r * g.dilation_h
                for z in range(z0, z1):
                    x = side + z * g.dilation_w
                    taps[count] = image + (y * g.width + x) * g.channels * s.size
                    count += 1
            out = s.out + (line * g.out_w + j) * g.channels * s.size
            if s.average != NULL:
                s.average.sum_window(taps, count, 1, 1, 1, out, g.channels)
                s.average.divide(out, s.heights[i], &s.widths[j * s.width_step], 0, out, g.channels)
            elif s.indices == NULL:
                s.maximum.max_window(taps, count, 1, 1, 1, out, g.channels)
            else:
                s.maximum.start(taps[0], 1, out, code, g.channels, 0)
                for t in range(count):
                    s.maximum.fold(taps[t], 1, out, code, g.channels, t)
                for t in range(g.channels):
                    r = top + (r0 + code[t] // (z1 - z0)) * g.dilation_h
                    z = side + (z0 + code[t] % (z1 - z0)) * g.dilation_w
                    s.indices[(line * g.out_w + j) * g.channels + t] = r * g.width + z


# -------------------------------------------------------------------------------- gradients

cdef void max_grad_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # grad_x[indices] += grad, one plane or one image after the other
    cdef const Pool *s = <const Pool *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t planes = g.samples * (1 if g.channels_last else g.channels), plane, q
    cdef Py_ssize_t pixels = g.out_h * g.out_w, size = g.height * g.width, wrong = 0
    cdef Py_ssize_t each = g.channels if g.channels_last else 1
    cdef char *out
    for plane in range(share(planes, s.tasks, task), share(planes, s.tasks, task + 1)):
        out = s.out + plane * size * each * s.size
        memset(out, 0, size * each * s.size)
        if not g.channels_last:
            wrong += s.maximum.scatter_indices(s.x + plane * pixels * s.size,
                                               s.indices + plane * pixels, pixels, size, out, 1, 0)
            continue
        for q in range(plane * pixels, (plane + 1) * pixels):
            wrong += s.maximum.scatter_indices(s.x + q * each * s.size, s.indices + q * each, each,
                                               size, out, each, 1)
    s.wrong[task] = wrong


cdef void average_grad_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # grad_x of every pixel of a window += grad / count
    cdef const Pool *s = <const Pool *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t planes = g.samples * (1 if g.channels_last else g.channels), plane, i, r, r0, r1
    cdef Py_ssize_t each = g.channels if g.channels_last else 1, top
    cdef char *out
    cdef const char *grad
    for plane in range(share(planes, s.tasks, task), share(planes, s.tasks, task + 1)):
        out = s.out + plane * g.height * g.width * each * s.size
        memset(out, 0, g.height * g.width * each * s.size)
        for i in range(g.out_h):
            grad = s.x + (plane * g.out_h + i) * g.out_w * each * s.size
            top = i * g.stride_h - g.pad_top
            taps_inside(top, g.dilation_h, g.kernel_h, g.height, &r0, &r1)
            if g.channels_last:
                average_grad_pixels(s, grad, out, i, r0, r1, workspace)
                continue
            s.average.divide(grad, s.heights[i], s.widths, s.width_step, workspace, g.out_w)
            for r in range(r0, r1):
                average_grad_row(s, workspace,
                                 out + (top + r * g.dilation_h) * g.width * s.size)


cdef void average_grad_row(const Pool *s, const char *grad, char *row) noexcept nogil:
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t z, shift, left, right
    for z in range(g.kernel_w):
        shift = z * g.dilation_w - g.pad_left
        left = smaller(g.out_w, first_inside(shift, g.stride_w, 0))
        right = larger(left, after_inside(shift, g.stride_w, g.width, g.out_w))
        s.average.scatter_add(grad + left * s.size, row + (left * g.stride_w + shift) * s.size,
                              g.stride_w, right - left)


cdef void average_grad_pixels(const Pool *s, const char *grad, char *image, Py_ssize_t i,
                              Py_ssize_t r0, Py_ssize_t r1, char *workspace) noexcept nogil:
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t j, r, z, z0, z1, side, y
    for j in range(g.out_w):
        side = j * g.stride_w - g.pad_left
        taps_inside(side, g.dilation_w, g.kernel_w, g.width, &z0, &z1)
        s.average.divide(grad + j * g.channels * s.size, s.heights[i],
                         &s.widths[j * s.width_step], 0, workspace, g.channels)
        for r in range(r0, r1):
            y = i * g.stride_h - g.pad_top + r * g.dilation_h
            for z in range(z0, z1):
                s.average.scatter_add(
                    workspace,
                    image + (y * g.width + side + z * g.dilation_w) * g.channels * s.size,
                    1, g.channels)


# ------------------------------------------------------------------------------------ entry

cdef Pool make_pool(cnp.ndarray numbers, cnp.ndarray x, cnp.ndarray out, bint average,
                    int threads):
    cdef Pool s
    cdef Geometry *g = &s.geometry
    cdef Py_ssize_t rows, planes, seen
    g[0] = (<const Geometry *> cnp.PyArray_DATA(numbers))[0]
    planes = g.samples * g.channels
    s.width = (g.out_w - 1) * g.stride_w + (g.kernel_w - 1) * g.dilation_w + 1
    if not g.channels_last and s.width > 4 * g.width + 64:
        # Windows far larger than the image: a plane is an image of one channel, and channels last
        # takes only the taps inside of it.
        g.samples, g.channels, g.channels_last = planes, 1, 1
    s.average = kernels_of(x) if average else NULL
    s.maximum = NULL if average else pool_kernels(dtype_of(x))
    s.x, s.out = cnp.PyArray_BYTES(x), cnp.PyArray_BYTES(out)
    s.indices = NULL
    s.wrong = NULL
    s.heights = s.widths = NULL
    s.size = cnp.PyArray_ITEMSIZE(x)
    s.inside = g.pad_left == 0 and s.width <= g.width
    rows = larger(1, STRIP_BYTES // s.width // g.stride_h // s.size)
    if threads > 1:  # a few strips for each thread
        rows = larger(1, smaller(rows, ceil_div(g.out_h * planes, 4 * threads)))
    s.strips = ceil_div(g.out_h, rows)
    seen = smaller(g.kernel_h, ceil_div(g.height, g.dilation_h))  # taps inside at the most
    if g.channels_last:
        seen *= smaller(g.kernel_w, ceil_div(g.width, g.dilation_w))
    s.pointer_bytes = round_up(seen * sizeof(void *), 64)
    return s


cdef Py_ssize_t strip_bytes(const Pool *s) noexcept nogil:
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t rows = (ceil_div(g.out_h, s.strips) - 1) * g.stride_h
    rows = smaller(g.height, rows + (g.kernel_h - 1) * g.dilation_h + 1)
    return 0 if s.inside else rows * larger(s.width, g.pad_left + g.width) * s.size


# work of one call, in elements read, below which starting threads costs more than it brings
cdef inline int useful_threads(const Geometry *g, int threads) noexcept nogil:
    cdef Py_ssize_t work = g.samples * g.channels * g.out_h * g.out_w * smaller(
        g.kernel_h * g.kernel_w, 1 << 20)
    return <int> larger(1, smaller(threads, work // (1 << 16)))


cdef int count_taps(Pool *s) noexcept nogil:
    # how many rows and columns of a window a mean divides by: PyTorch's rule
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t i, low, high
    s.heights = <Py_ssize_t *> fc_workspace_take((g.out_h + g.out_w) * sizeof(Py_ssize_t))
    if s.heights == NULL:
        return -1
    s.widths = s.heights + g.out_h
    s.width_step = 0
    for i in range(g.out_h):
        if g.counts_pads:
            s.heights[i] = after_inside(i * g.stride_h - g.pad_top, g.dilation_h,
                                        g.height + g.pad_bottom, g.kernel_h)
        else:
            taps_inside(i * g.stride_h - g.pad_top, g.dilation_h, g.kernel_h, g.height, &low, &high)
            s.heights[i] = high - low
    for i in range(g.out_w):
        if g.counts_pads:
            s.widths[i] = after_inside(i * g.stride_w - g.pad_left, g.dilation_w,
                                       g.width + g.pad_right, g.kernel_w)
        else:
            taps_inside(i * g.stride_w - g.pad_left, g.dilation_w, g.kernel_w, g.width, &low, &high)
            s.widths[i] = high - low
        if s.widths[i] != s.widths[0]:
            s.width_step = 1
    return 0


cdef run(Pool *s, task_function task, Py_ssize_t units, int threads, Py_ssize_t workspace):
    cdef int failed
    threads = useful_threads(&s.geometry, threads)
    s.tasks = smaller(units, 8 * threads)
    with nogil:
        failed = count_taps(s) if s.average != NULL else 0
        if not failed:
            failed = parallel_for(task, s, s.tasks, threads, workspace + FC_SLACK)
        fc_workspace_give(s.heights)
    if failed:
        raise MemoryError("no memory for the workspace of a pool")


def max_pool(cnp.ndarray numbers, cnp.ndarray x, cnp.ndarray out, indices, int threads):
    """Fill out with the maxima, and indices with their places unless it is None."""
    cdef Pool s = make_pool(numbers, x, out, False, threads)
    cdef const Geometry *g = &s.geometry
    if indices is not None:
        s.indices = <int64_t *> cnp.PyArray_DATA(indices)
    if g.channels_last:
        run(&s, pixels_task, g.samples * g.out_h, threads, s.pointer_bytes + g.channels * 8)
    elif indices is None:
        run(&s, rows_task, g.samples * g.channels * s.strips, threads,
            s.pointer_bytes + strip_bytes(&s))
    else:
        run(&s, indexed_rows_task, g.samples * g.channels * g.out_h, threads, g.out_w * 8)


def avg_pool(cnp.ndarray numbers, cnp.ndarray x, cnp.ndarray out, int threads):
    """Fill out with the means."""
    cdef Pool s = make_pool(numbers, x, out, True, threads)
    cdef const Geometry *g = &s.geometry
    if g.channels_last:
        run(&s, pixels_task, g.samples * g.out_h, threads, s.pointer_bytes)
    else:
        run(&s, rows_task, g.samples * g.channels * s.strips, threads,
            s.pointer_bytes + strip_bytes(&s))


def max_pool_grad_x(cnp.ndarray numbers, cnp.ndarray grad, cnp.ndarray indices, cnp.ndarray out,
                    int threads):
    """Fill out with the gradient for the image; return whether every index was in range."""
    cdef Pool s = make_pool(numbers, grad, out, False, threads)
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t planes = g.samples * (1 if g.channels_last else g.channels), wrong = 0, task
    s.indices = <int64_t *> cnp.PyArray_DATA(indices)
    s.wrong = <Py_ssize_t *> fc_workspace_take(8 * threads * sizeof(Py_ssize_t))
    if s.wrong == NULL:
        raise MemoryError("no memory for the workspace of a pool")
    try:
        run(&s, max_grad_task, planes, threads, 0)
        for task in range(s.tasks):
            wrong += s.wrong[task]
    finally:
        fc_workspace_give(s.wrong)
    return wrong == 0


def avg_pool_grad_x(cnp.ndarray numbers, cnp.ndarray grad, cnp.ndarray out, int threads):
    """Fill out with the gradient for the image."""
    cdef Pool s = make_pool(numbers, grad, out, True, threads)
    cdef const Geometry *g = &s.geometry
    run(&s, average_grad_task, g.samples * (1 if g.channels_last else g.channels), threads,
        larger(g.out_w, g.channels) * s.size)
