"""Gradients of pools: every element of grad is added where its maximum was, or to its window.

Of a max pool a plane of the image, or an image whose channels come last, is one piece of work:
what is added to the same pixel is added in one thread, in the order of the outputs. Only indices
tell where windows were, but the sizes have it whether their stride may have been 1 or 2; then each
pixel looks for its outputs among those around it. Where that doesn't find all of them they are
added one by one.

Of an average pool at stride 1 whose windows all count alike the gradient is an average pool of
grad; at stride 2 a plane is a piece of work, too, if windows are small. Of others a row of the
image is: the means of those rows of outputs that reach it are summed, and the sums then over the
columns that reach each pixel. Windows too wide for that, and pixels of too many channels, are
added output by output, as maxima are.
"""

from libc.stdint cimport int64_t
from libc.string cimport memset

cimport numpy as cnp

from fastconv._core.conv cimport kernels_of
from fastconv._core.pool cimport average_of, maximum_of
from fastconv._core.problem cimport floor_div, larger, round_up, share, smaller
from fastconv._core.runtime cimport (
    FC_SLACK,
    FC_SPREAD,
    fc_gather,
    fc_gather_elements,
    fc_kernels,
    fc_max_kernels,
    fc_spread,
    fc_windows,
    fc_workspace_give,
    fc_workspace_take,
)
from fastconv._core.windows cimport (
    PIECE,
    Geometry,
    columns_counted,
    divide,
    equal_columns,
    outputs_inside,
    pieces_of,
    rows_counted,
    run,
    taps_inside,
)

cdef extern from "string.h" nogil:
    void *copy_bytes "memcpy"(void *, const void *, size_t)

cnp.import_array()


cdef struct Gradient:
    Geometry geometry
    const fc_max_kernels *maximum
    const fc_kernels *average
    const char *grad
    char *out
    const int64_t *indices
    Py_ssize_t size, planes, each      # channels of a plane: all of them where they come last
    Py_ssize_t tasks
    Py_ssize_t columns, sums           # of a piece of a row: its columns, what they are sums of
    Py_ssize_t *wrong                  # a task's number of indices out of range
    int guesses                        # what windows the indices may be of, the likeliest first
    fc_gather guess[3]


cdef Gradient make_gradient(cnp.ndarray numbers, cnp.ndarray grad, cnp.ndarray out):
    cdef Gradient s
    cdef Geometry *g = &s.geometry
    g[0] = (<const Geometry *> cnp.PyArray_DATA(numbers))[0]
    s.maximum = NULL
    s.average = NULL
    s.grad, s.out = cnp.PyArray_BYTES(grad), cnp.PyArray_BYTES(out)
    s.indices = NULL
    s.wrong = NULL
    s.guesses = 0
    s.size = cnp.PyArray_ITEMSIZE(grad)
    s.planes = g.samples if g.channels_last else g.samples * g.channels
    s.each = g.channels if g.channels_last else 1
    s.columns = smaller(g.width, larger(1, PIECE // s.each))
    s.sums = ((s.columns - 1 + (g.kernel_w - 1) * g.dilation_w) // g.stride_w + 2) * s.each
    return s


cdef char *cleared_plane(const Gradient *s, Py_ssize_t plane) noexcept nogil:
    cdef Py_ssize_t bytes = s.geometry.height * s.geometry.width * s.each * s.size
    memset(s.out + plane * bytes, 0, bytes)
    return s.out + plane * bytes


# ---------------------------------------------------------------------------------- maximum

cdef bint sizes_fit(const Gradient *s, Py_ssize_t stride) noexcept nogil:
    # whether rows and columns may be those of windows of up to 3 that are `stride` apart, and there
    # is workspace for rows as long as that
    cdef const Geometry *g = &s.geometry
    return (-2 <= g.height - stride * g.out_h <= 2 and -2 <= g.width - stride * g.out_w <= 2
            and g.out_w >= 4 and g.height > 1 and g.width * s.each <= PIECE
            and g.height * g.width * s.each < 1 << 30)


cdef void guess_windows(Gradient *s) noexcept nogil:
    cdef const Geometry *g = &s.geometry
    if s.maximum.gather_indices == NULL or (s.size == 8 and s.each > 1):
        return  # vectors of so few channels bring nothing
    if sizes_fit(s, 2):
        guess(s, 2, 2, 0)
        guess(s, 3, 2, 1)
        guess(s, 3, 2, 0)
    elif (sizes_fit(s, 1) and g.out_h <= g.height and g.out_w <= g.width
          and (g.out_h == g.height) == (g.out_w == g.width)):
        guess(s, 3, 1, g.out_h == g.height)


cdef void guess(Gradient *s, Py_ssize_t kernel, Py_ssize_t stride, Py_ssize_t pad) noexcept nogil:
    cdef const Geometry *g = &s.geometry
    cdef fc_gather *windows = &s.guess[s.guesses]
    windows.height, windows.width, windows.channels = g.height, g.width, s.each
    windows.out_h, windows.out_w = g.out_h, g.out_w
    windows.kernel, windows.stride, windows.pad = kernel, stride, pad
    s.guesses += 1


cdef Py_ssize_t gather_bytes(const Gradient *s) noexcept nogil:
    if s.guesses == 0:
        return 0
    return fc_gather_elements(&s.guess[0]) * s.size


cdef void maximum_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # grad_x[indices] += grad, as long as a guess is right
    cdef const Gradient *s = <const Gradient *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t pixels = g.out_h * g.out_w, size = g.height * g.width
    cdef Py_ssize_t plane = share(s.planes, s.tasks, task)
    cdef Py_ssize_t stop = share(s.planes, s.tasks, task + 1)
    cdef Py_ssize_t at = plane * pixels * s.each
    cdef int k
    for k in range(s.guesses):
        plane += s.maximum.gather_indices(s.grad + at * s.size, s.indices + at, stop - plane,
                                          &s.guess[k], workspace,
                                          s.out + plane * size * s.each * s.size)
        at = plane * pixels * s.each
    s.wrong[task] = s.maximum.scatter_indices(s.grad + at * s.size, s.indices + at, stop - plane,
                                              pixels, s.each, size,
                                              s.out + plane * size * s.each * s.size)


# ---------------------------------------------------------------------------------- average

# A row of an image, and the rows of outputs that reach it: `count` of them, `step` apart.
cdef struct Line:
    Py_ssize_t plane, y, first, step, count


cdef Line find_line(const Geometry *g, Py_ssize_t line) noexcept nogil:
    cdef Line found
    cdef Py_ssize_t r, start, i
    found.plane, found.y = line // g.height, line % g.height
    found.first, found.step, found.count = 0, 0, 0
    for r in range(g.kernel_h - 1, -1, -1):
        start = found.y + g.pad_top - r * g.dilation_h
        i = start // g.stride_h
        if start >= 0 and start % g.stride_h == 0 and i < g.out_h:
            if found.count == 0:
                found.first = i
            elif found.count == 1:
                found.step = i - found.first
            found.count += 1
    return found


cdef bint equal_outputs(const Geometry *g) noexcept nogil:
    # whether all windows count all their taps
    return (equal_columns(g) and rows_counted(g, 0) == g.kernel_h
            and rows_counted(g, g.out_h - 1) == g.kernel_h)


cdef Geometry flip(const Geometry *g) noexcept nogil:
    # at stride 1 the outputs that have a pixel in their windows are a window, too
    cdef Geometry f = g[0]
    f.height, f.width, f.out_h, f.out_w = g.out_h, g.out_w, g.height, g.width
    f.pad_top, f.pad_left = g.kernel_h - 1 - g.pad_top, g.kernel_w - 1 - g.pad_left
    f.pad_bottom = g.height + g.kernel_h - 1 - f.pad_top - g.out_h
    f.pad_right = g.width + g.kernel_w - 1 - f.pad_left - g.out_w
    f.counts_pads = True
    return f


cdef bint means_fit(Gradient *s) noexcept nogil:
    cdef const Geometry *g = &s.geometry
    if (g.kernel_h != g.kernel_w or not 2 <= g.kernel_h <= 3 or g.stride_h != 2 or g.stride_w != 2
            or g.dilation_h != 1 or g.dilation_w != 1 or g.pad_top != g.pad_left
            or g.pad_top > g.kernel_h - 2 or s.average.spread_means == NULL
            or not sizes_fit(s, 2)):
        return False
    guess(s, g.kernel_h, 2, g.pad_top)
    return True


cdef void average_planes_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Gradient *s = <const Gradient *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t first = share(s.planes, s.tasks, task), each = s.each * s.size
    s.average.spread_means(s.grad + first * g.out_h * g.out_w * each,
                           share(s.planes, s.tasks, task + 1) - first, &s.guess[0],
                           g.kernel_h * g.kernel_w, workspace,
                           s.out + first * g.height * g.width * each)


cdef bint rows_fit(const Gradient *s) noexcept nogil:
    cdef const Geometry *g = &s.geometry
    return (g.kernel_w <= FC_SPREAD and g.stride_w <= FC_SPREAD and s.each <= PIECE
            and s.sums <= 4 * PIECE)


cdef void average_rows_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Gradient *s = <const Gradient *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t lines = s.planes * g.height, bytes = g.width * s.each * s.size, number, z, end
    cdef bint equal = equal_columns(g)
    cdef Line line, last
    cdef bint same
    cdef char *out
    last.plane, last.first, last.count = -1, 0, 0
    for number in range(share(lines, s.tasks, task), share(lines, s.tasks, task + 1)):
        line = find_line(g, number)
        out = s.out + number * bytes
        # whether the windows that reach this row are those that reach the one before it
        same = (line.plane == last.plane and line.first == last.first
                and line.count == last.count)
        last = line
        if line.count == 0:
            memset(out, 0, bytes)
            continue
        if same:
            copy_bytes(out, out - bytes, bytes)
            continue
        z = 0
        while z < g.width:
            end = smaller(z + s.columns, g.width)
            average_piece(s, &line, z, end, equal, workspace, out + z * s.each * s.size)
            z = end


cdef void average_piece(const Gradient *s, const Line *line, Py_ssize_t z, Py_ssize_t end,
                        bint equal, char *sums, char *out) noexcept nogil:
    # columns z..end-1; the sums are of all outputs that could reach them, zeros where there is none
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t pixel = s.each * s.size
    cdef Py_ssize_t low = floor_div(z + g.pad_left - (g.kernel_w - 1) * g.dilation_w, g.stride_w)
    cdef Py_ssize_t high = (end - 1 + g.pad_left) // g.stride_w + 1
    cdef Py_ssize_t left = smaller(larger(low, 0), high), right = larger(left,
                                                                         smaller(high, g.out_w))
    cdef fc_spread row
    if low < left:
        memset(sums, 0, (left - low) * pixel)
    memset(sums + (right - low) * pixel, 0, (high - right) * pixel + 2 * FC_SLACK)
    if left < right:
        sum_outputs(s, line, left, right, equal, sums + (left - low) * pixel,
                    sums + round_up(s.sums * s.size, 64) + 2 * FC_SLACK)
    row.kernel_w, row.stride, row.dilation = g.kernel_w, g.stride_w, g.dilation_w
    row.left, row.pixels, row.channels = z + g.pad_left, end - z, s.each
    s.average.spread(sums - low * pixel, &row, out)


cdef void sum_outputs(const Gradient *s, const Line *line, Py_ssize_t left, Py_ssize_t right,
                      bint equal, char *sums, char *means) noexcept nogil:
    # of columns left..right-1 of a line's rows of outputs, each divided by what its window counts
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t count = (right - left) * s.each, row = g.out_w * s.each, k, i
    cdef const char *grad = s.grad + ((line.plane * g.out_h + line.first) * g.out_w
                                      + left) * s.each * s.size
    cdef fc_windows w
    for k in range(line.count):
        equal = equal and rows_counted(g, line.first + k * line.step) == g.kernel_h
    if equal:
        w.kernel_h, w.kernel_w, w.row, w.spread, w.step = line.count, 1, line.step * row, 1, 1
        w.left, w.width, w.pixels, w.advance, w.count, w.ahead = 0, count, 1, 0, count, 0
        s.average.sum_windows(grad, &w, g.kernel_h * g.kernel_w, sums)
        return
    for k in range(line.count):
        i = line.first + k * line.step
        divide(g, s.average, rows_counted(g, i), grad + k * line.step * row * s.size, left, right,
               s.each, sums if k == 0 else means)
        if k:
            s.average.scatter_add(means, sums, 1, count)


cdef void average_outputs_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # grad_x of every pixel of a window += grad / count, one plane after the other
    cdef const Gradient *s = <const Gradient *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t pieces = pieces_of(g.out_w), plane, piece, i
    cdef char *out
    for plane in range(share(s.planes, s.tasks, task), share(s.planes, s.tasks, task + 1)):
        out = cleared_plane(s, plane)
        for i in range(g.out_h):
            for piece in range(pieces):
                average_outputs(s, plane, i, share(g.out_w, pieces, piece),
                                share(g.out_w, pieces, piece + 1), workspace, out)


cdef void average_outputs(const Gradient *s, Py_ssize_t plane, Py_ssize_t i, Py_ssize_t first,
                          Py_ssize_t stop, char *means, char *out) noexcept nogil:
    # columns first..stop-1 of a row of outputs
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t top = i * g.stride_h - g.pad_top, r, r0, r1
    taps_inside(top, g.dilation_h, g.kernel_h, g.height, &r0, &r1)
    divide(g, s.average, rows_counted(g, i),
           s.grad + ((plane * g.out_h + i) * g.out_w + first) * s.size, first, stop, 1, means)
    for r in range(r0, r1):
        average_row(s, means, first, stop, out + (top + r * g.dilation_h) * g.width * s.size)


cdef void average_row(const Gradient *s, const char *means, Py_ssize_t first, Py_ssize_t stop,
                      char *row) noexcept nogil:
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t z, shift, left, right
    for z in range(g.kernel_w):
        left, right = first, stop
        shift = outputs_inside(g, z, &left, &right)
        s.average.scatter_add(means + (left - first) * s.size,
                              row + (left * g.stride_w + shift) * s.size, g.stride_w, right - left)


cdef void average_pixels_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # the same, a pixel's vector of channels at a time
    cdef const Gradient *s = <const Gradient *> context
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t pixels = g.out_h * g.out_w, plane, q
    cdef char *out
    for plane in range(share(s.planes, s.tasks, task), share(s.planes, s.tasks, task + 1)):
        out = cleared_plane(s, plane)
        for q in range(pixels):
            average_pixel(s, s.grad + (plane * pixels + q) * g.channels * s.size, q // g.out_w,
                          q % g.out_w, workspace, out)


cdef void average_pixel(const Gradient *s, const char *grad, Py_ssize_t i, Py_ssize_t j,
                        char *means, char *image) noexcept nogil:
    cdef const Geometry *g = &s.geometry
    cdef Py_ssize_t top = i * g.stride_h - g.pad_top, side = j * g.stride_w - g.pad_left
    cdef Py_ssize_t pieces = pieces_of(g.channels), height = rows_counted(g, i)
    cdef Py_ssize_t width = columns_counted(g, j), piece, first, count, r, r0, r1, z, z0, z1, pixel
    taps_inside(top, g.dilation_h, g.kernel_h, g.height, &r0, &r1)
    taps_inside(side, g.dilation_w, g.kernel_w, g.width, &z0, &z1)
    for piece in range(pieces):
        first = share(g.channels, pieces, piece)
        count = share(g.channels, pieces, piece + 1) - first
        s.average.divide(grad + first * s.size, height * width, means, count)
        for r in range(r0, r1):
            for z in range(z0, z1):
                pixel = (top + r * g.dilation_h) * g.width + side + z * g.dilation_w
                s.average.scatter_add(means, image + (pixel * g.channels + first) * s.size, 1,
                                      count)


# ------------------------------------------------------------------------------------ entry

def max_pool_grad_x(cnp.ndarray numbers, cnp.ndarray grad, cnp.ndarray indices, cnp.ndarray out,
                    int threads):
    """Fill out with the gradient for the image; return whether every index was in range."""
    cdef Gradient s = make_gradient(numbers, grad, out)
    cdef Py_ssize_t wrong = 0, task
    s.maximum = maximum_of(grad)
    s.indices = <const int64_t *> cnp.PyArray_DATA(indices)
    s.wrong = <Py_ssize_t *> fc_workspace_take(s.planes * sizeof(Py_ssize_t))
    if s.wrong == NULL:
        raise MemoryError("no memory for the workspace of a pool")
    try:
        guess_windows(&s)
        run(&s.geometry, maximum_task, &s, &s.tasks, s.planes, threads, gather_bytes(&s))
        for task in range(s.tasks):
            wrong += s.wrong[task]
    finally:
        fc_workspace_give(s.wrong)
    return wrong == 0


cpdef avg_pool_grad_x(cnp.ndarray numbers, cnp.ndarray grad, cnp.ndarray out, int threads):
    """Fill out with the gradient for the image."""
    cdef Gradient s = make_gradient(numbers, grad, out)
    cdef const Geometry *g = &s.geometry
    cdef Geometry flipped
    s.average = kernels_of(grad)
    if equal_outputs(g) and g.stride_h == g.stride_w == g.dilation_h == g.dilation_w == 1:
        flipped = flip(g)
        average_of(&flipped, grad, out, threads)
    elif equal_outputs(g) and means_fit(&s):
        run(g, average_planes_task, &s, &s.tasks, s.planes, threads, gather_bytes(&s))
    elif rows_fit(&s):
        run(g, average_rows_task, &s, &s.tasks, s.planes * g.height, threads,
            2 * (round_up(s.sums * s.size, 64) + 2 * FC_SLACK))
    elif g.channels_last:
        run(g, average_pixels_task, &s, &s.tasks, s.planes, threads,
            smaller(g.channels, PIECE) * s.size)
    else:
        run(g, average_outputs_task, &s, &s.tasks, s.planes, threads,
            smaller(g.out_w, PIECE) * s.size)
