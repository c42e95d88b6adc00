"""Convolution of channels-last images with one filter a channel: lanes over channels.

    out[n, i, j, c] = sum_{r, s} w[r, s, c] * x[n, y, z, c]

Nothing is copied: a row of outputs is cut where taps enter or leave the image, and each piece sums
the taps that are inside.
"""

from fastconv._core.packing cimport give_packed, take_packed
from fastconv._core.problem cimport Problem, count_tasks, share
from fastconv._core.runtime cimport FC_SLACK, fc_epilogue, fc_tap, parallel_for, plain_epilogue


cdef struct Depthwise:
    const Problem *problem
    const char *packed               # [tap][channel]
    Py_ssize_t units, tasks


cdef inline Py_ssize_t list_taps(const Problem *p, const Span *rows, const Span *columns,
                                 fc_tap *taps) noexcept nogil:
    # those inside, from the pixel of the first tap of all
    cdef Py_ssize_t pixel = p.groups, r, z, k = 0
    for r in range(rows.low, rows.high):
        for z in range(columns.low, columns.high):
            taps[k].x = (r * p.dilation_h * p.width + z * p.dilation_w) * pixel
            taps[k].w = (r * p.kernel_w + z) * pixel
            k += 1
    return k


cdef void depthwise_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    cdef const Depthwise *s = <const Depthwise *> context
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, pixel = p.groups, line, n, i, j, y, z, count
    cdef fc_tap *taps = <fc_tap *> workspace
    cdef Span rows, columns
    cdef fc_epilogue e = plain_epilogue(False)
    e.relu = p.relu
    e.column_bias = p.bias
    for line in range(share(s.units, s.tasks, task), share(s.units, s.tasks, task + 1)):
        n = line // p.out_h
        i = line % p.out_h
        rows = rows_inside(p, i)
        y = n * p.height + i * p.stride_h - p.pad_top
        j = 0
        while j < p.out_w:
            columns = columns_inside(p, j)
            count = list_taps(p, &rows, &columns, taps)
            z = j * p.stride_w - p.pad_left
            p.kernels.depthwise(p.x + (y * p.width + z) * pixel * size, taps, count,
                                p.stride_w * pixel, s.packed,
                                p.out + (n * p.out_sample + i * p.out_row
                                         + j * p.out_column) * size,
                                p.out_column, columns.after - j, pixel, &e)
            j = columns.after


cdef Py_ssize_t depthwise_bytes(const Problem *p) noexcept nogil:
    return p.kernel_h * p.kernel_w * p.groups * p.kernels.itemsize


cdef int pack_depthwise(const Problem *p, char *to) noexcept nogil:
    cdef Py_ssize_t size = p.kernels.itemsize, t
    cdef const char *tap
    for t in range(p.kernel_h * p.kernel_w):
        tap = p.w + (t // p.kernel_w * p.w_row + t % p.kernel_w * p.w_column) * size
        p.kernels.copy(tap, p.w_group, to, p.groups)
        to += p.groups * size
    return 0


cdef int run_depthwise(const Problem *problem) noexcept nogil:
    cdef Depthwise s
    cdef const Problem *p = problem
    cdef int failed
    s.problem = p
    s.packed = take_packed(p, depthwise_bytes(p), pack_depthwise)
    if s.packed == NULL:
        return -1
    s.units = p.samples * p.out_h
    s.tasks = count_tasks(p, s.units)
    failed = parallel_for(depthwise_task, &s, s.tasks, p.threads,
                          p.kernel_h * p.kernel_w * sizeof(fc_tap) + FC_SLACK)
    give_packed(p, s.packed)
    return failed
