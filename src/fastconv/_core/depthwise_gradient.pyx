"""grad_w of channels-last images with one filter a channel: lanes over channels.

    grad_w[r, s, c] = sum_{n, i, j} grad[n, i, j, c] * x[n, y, z, c]

Nothing is copied: outputs are cut where taps enter or leave the image, and the sums of all taps
that are inside stay in registers over a block of outputs.  There is one set of sums for each chunk
of the rows, a number that the geometry decides, and they are added in order: the result does not
depend on threads.
"""

from libc.string cimport memset

from fastconv._core.bias_sums cimport BiasSums, add_chunks, begin_bias, bias_bytes
from fastconv._core.depthwise cimport Span, columns_inside, rows_inside
from fastconv._core.problem cimport Problem, ceil_div, larger, share, smaller
from fastconv._core.runtime cimport (
    FC_SLACK,
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
    CHUNKS = 8
    CHUNK_BYTES = 1 << 20       # of the sums of all chunks, if there are several
    CHUNK_PIXELS = 512          # fewer are no chunk of their own
    BLOCK = 256                 # the longest sum before it is added to the others
    WIDE = 64                   # channels of a part, if they are cut


cdef struct Gradient:
    const Problem *problem
    char *sums                  # [chunk][tap][channel]
    BiasSums bias
    Py_ssize_t chunks, parts, block


cdef Py_ssize_t list_taps(const Problem *p, const Span *rows, const Span *columns,
                          fc_tap *taps) noexcept nogil:
    # those inside; three neighbours of a row after the other, as the kernel likes them
    cdef Py_ssize_t pixel = p.groups, r, z = columns.low, some, q, k = 0
    while z < columns.high:
        some = 3 if z + 3 <= columns.high else 1
        for r in range(rows.low, rows.high):
            for q in range(z, z + some):
                taps[k].x = (r * p.dilation_h * p.width + q * p.dilation_w) * pixel
                taps[k].w = (r * p.kernel_w + q) * pixel
                k += 1
        z += some
    return k


cdef void add_rows(const Gradient *d, Py_ssize_t n, Py_ssize_t i, Py_ssize_t count,
                   const Span *rows, Py_ssize_t c0, Py_ssize_t c1, char *sums,
                   fc_tap *taps) noexcept nogil:
    # `count` rows of outputs that have the same rows of the kernel inside
    cdef const Problem *p = d.problem
    cdef Py_ssize_t size = p.kernels.itemsize, pixel = p.groups, j = 0, y, z, some, listed
    cdef Span columns
    cdef fc_pixels x, grad
    x.row, x.step = p.stride_h * p.width * pixel, p.stride_w * pixel
    grad.row, grad.step = p.out_row, p.out_column
    y = n * p.height + i * p.stride_h - p.pad_top
    while j < p.out_w:
        columns = columns_inside(p, j)
        listed = list_taps(p, rows, &columns, taps)
        while j < columns.after:
            some = smaller(columns.after - j, d.block)
            z = j * p.stride_w - p.pad_left
            x.first = p.x + ((y * p.width + z) * pixel + c0) * size
            grad.first = p.out + (n * p.out_sample + i * p.out_row + j * p.out_column + c0) * size
            p.kernels.depthwise_gradient(&x, &grad, count, some, taps, listed, sums + c0 * size,
                                         c1 - c0)
            j += some


cdef void gradient_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Gradient *d = <const Gradient *> context
    cdef const Problem *p = d.problem
    cdef Py_ssize_t size = p.kernels.itemsize, taps = p.kernel_h * p.kernel_w, t, count
    cdef Py_ssize_t chunk = task // d.parts, part = task % d.parts, lines = p.samples * p.out_h
    cdef Py_ssize_t line = share(lines, d.chunks, chunk), end = share(lines, d.chunks, chunk + 1)
    cdef Py_ssize_t wide = ceil_div(p.groups, WIDE), c0 = share(wide, d.parts, part) * WIDE
    cdef Py_ssize_t c1 = smaller(p.groups, share(wide, d.parts, part + 1) * WIDE)
    cdef char *sums = d.sums + chunk * taps * p.groups * size
    cdef char *bias = NULL
    cdef Span rows
    if d.bias.out != NULL:
        bias = begin_bias(&d.bias, p.kernels, chunk, c0, c1 - c0)
    for t in range(taps):
        memset(sums + (t * p.groups + c0) * size, 0, (c1 - c0) * size)
    while line < end and not stopped():
        rows = rows_inside(p, line % p.out_h)
        count = smaller(rows.after - line % p.out_h, end - line)
        count = smaller(count, larger(1, d.block // p.out_w))
        add_rows(d, line // p.out_h, line % p.out_h, count, &rows, c0, c1, sums,
                 <fc_tap *> workspace)
        if bias != NULL:
            p.kernels.sum_rows(
                p.out + (line // p.out_h * p.out_sample + line % p.out_h * p.out_row + c0) * size,
                p.out_column, count * p.out_w, c1 - c0, bias)
        line += count


cdef void store_sums(const Gradient *d) noexcept nogil:
    cdef const Problem *p = d.problem
    cdef Py_ssize_t size = p.kernels.itemsize, taps = p.kernel_h * p.kernel_w, chunk, t
    cdef fc_epilogue e = plain_epilogue(False)
    cdef fc_copy all_channels
    all_channels.to, all_channels.source, all_channels.count = 0, 0, p.groups
    for chunk in range(1, d.chunks):
        p.kernels.scatter_add(d.sums + chunk * taps * p.groups * size, d.sums, 1, taps * p.groups)
    for t in range(taps):
        p.kernels.scatter(d.sums + t * p.groups * size, 0, 1, &all_channels, 1,
                          <char *> p.w + (t // p.kernel_w * p.w_row
                                          + t % p.kernel_w * p.w_column) * size,
                          0, p.w_group, &e)


cdef int run_depthwise_gradient(const Problem *problem, char *grad_bias) noexcept nogil:
    cdef Gradient d
    cdef const Problem *p = problem
    cdef Py_ssize_t taps = p.kernel_h * p.kernel_w, bytes = taps * p.groups * p.kernels.itemsize
    cdef int failed
    d.problem = p
    d.block = smaller(BLOCK, p.depth_limit)
    d.chunks = smaller(smaller(CHUNKS, p.samples * p.out_h), CHUNK_BYTES // bytes)
    d.chunks = larger(1, smaller(d.chunks, p.samples * p.out_h * p.out_w // CHUNK_PIXELS))
    d.parts = smaller(ceil_div(p.groups, WIDE), ceil_div(3 * p.threads, d.chunks))
    if p.threads == 1:
        d.parts = 1
    d.bias.out, d.bias.filters = grad_bias, p.groups
    d.sums = <char *> fc_workspace_take(
        d.chunks * bytes + bias_bytes(&d.bias, p.kernels, d.chunks) + FC_SLACK)
    if d.sums == NULL:
        return -1
    d.bias.others = d.sums + d.chunks * bytes
    failed = parallel_for(gradient_task, &d, d.chunks * d.parts, p.threads,
                          taps * sizeof(fc_tap) + FC_SLACK)
    if not failed:
        store_sums(&d)
        add_chunks(&d.bias, p.kernels, d.chunks)
    fc_workspace_give(d.sums)
    return failed
