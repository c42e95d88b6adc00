"""Channels last with one filter a channel: which taps of an output are inside of the image."""

from fastconv._core.problem cimport Problem, ceil_div, larger, smaller


# Outputs up to `after` along one axis have the taps low..high-1 inside of the image.
cdef struct Span:
    Py_ssize_t after, low, high


cdef inline Span find_span(Py_ssize_t at, Py_ssize_t outputs, Py_ssize_t size, Py_ssize_t kernel,
                           Py_ssize_t stride, Py_ssize_t dilation, Py_ssize_t pad) noexcept nogil:
    cdef Span span
    cdef Py_ssize_t first = at * stride - pad
    span.low = smaller(kernel, ceil_div(-first, dilation)) if first < 0 else 0
    span.high = smaller(kernel, (size - 1 - first) // dilation + 1) if first < size else 0
    span.high = larger(span.low, span.high)
    span.after = outputs
    if span.low > 0:  # the tap before enters
        span.after = smaller(span.after, ceil_div(pad - (span.low - 1) * dilation, stride))
    if span.high > 0:  # the last one leaves
        span.after = smaller(span.after,
                             ceil_div(size + pad - (span.high - 1) * dilation, stride))
    return span


cdef inline Span rows_inside(const Problem *p, Py_ssize_t i) noexcept nogil:
    return find_span(i, p.out_h, p.height, p.kernel_h, p.stride_h, p.dilation_h, p.pad_top)


cdef inline Span columns_inside(const Problem *p, Py_ssize_t j) noexcept nogil:
    return find_span(j, p.out_w, p.width, p.kernel_w, p.stride_w, p.dilation_w, p.pad_left)


cdef int run_depthwise(const Problem *problem) noexcept nogil
cdef Py_ssize_t depthwise_bytes(const Problem *p) noexcept nogil
cdef int pack_depthwise(const Problem *p, char *to) noexcept nogil
