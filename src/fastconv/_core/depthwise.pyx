"""Convolution of channels-last images with one filter a channel: lanes over channels.

    out[n, i, j, c] = sum_{r, s} w[r, s, c] * x[n, y, z, c]

One output pixel after the other, from pointers to the pixels under its taps.
"""

from libc.string cimport memset

from fastconv._core.packing cimport give_packed, take_packed
from fastconv._core.problem cimport Problem, round_up, share, smaller
from fastconv._core.runtime cimport (
    FC_SLACK,
    fc_epilogue,
    parallel_for,
    plain_epilogue,
)


cdef struct Depthwise:
    const Problem *problem
    const char *packed               # [tap][channel]
    Py_ssize_t units, tasks, pointer_bytes


cdef void depthwise_task(void *context, Py_ssize_t task, char *workspace) noexcept nogil:
    # one filter a channel: lanes over channels, one output pixel after the other
    cdef const Depthwise *s = <const Depthwise *> context
    cdef const Problem *p = s.problem
    cdef Py_ssize_t size = p.kernels.itemsize, line, n, i, j, t, y, z
    cdef Py_ssize_t pixel = p.groups * size, taps = p.kernel_h * p.kernel_w
    cdef const void **from_taps = <const void **> workspace
    cdef char *zeros = workspace + s.pointer_bytes
    cdef const char *image
    cdef fc_epilogue e = plain_epilogue(False)
    e.relu = p.relu
    e.column_bias = p.bias
    memset(zeros, 0, pixel)
    for line in range(share(s.units, s.tasks, task), share(s.units, s.tasks, task + 1)):
        n = line // p.out_h
        i = line % p.out_h
        image = p.x + n * p.height * p.width * pixel
        for j in range(p.out_w):
            for t in range(taps):
                y = i * p.stride_h - p.pad_top + t // p.kernel_w * p.dilation_h
                z = j * p.stride_w - p.pad_left + t % p.kernel_w * p.dilation_w
                if 0 <= y < p.height and 0 <= z < p.width:
                    from_taps[t] = image + (y * p.width + z) * pixel
                else:
                    from_taps[t] = zeros
            p.kernels.depthwise(from_taps, taps, s.packed, p.groups,
                                p.out + (n * p.out_sample + i * p.out_row
                                         + j * p.out_column) * size, p.groups, &e)


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
    cdef Py_ssize_t size = p.kernels.itemsize, taps = p.kernel_h * p.kernel_w
    cdef int failed
    s.problem = p
    s.packed = take_packed(p, depthwise_bytes(p), pack_depthwise)
    if s.packed == NULL:
        return -1
    s.units = p.samples * p.out_h
    s.tasks = smaller(s.units, 8 * p.threads)
    s.pointer_bytes = round_up(taps * sizeof(void *), 64)
    failed = parallel_for(depthwise_task, &s, s.tasks, p.threads,
                          s.pointer_bytes + p.groups * size + FC_SLACK)
    give_packed(p, s.packed)
    return failed
